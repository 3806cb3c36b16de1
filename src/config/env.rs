//! Reads environment variables. No other module reads those of the process, so that tests can set
//! their own.

use std::ffi::OsString;

use crate::error::Error;

/// A set of environment variables.
#[derive(Debug)]
pub enum Env {
    /// The environment of this process.
    Process,
    /// These variables and no others.
    Of(Vec<(String, String)>),
}

impl Env {
    /// Makes an environment of these variables and no others.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::Of(pairs.iter().map(own).collect())
    }

    /// Returns the value of a variable; an empty value counts as unset.
    pub(crate) fn raw(&self, name: &str) -> Option<OsString> {
        let value = match self {
            Self::Process => std::env::var_os(name),
            Self::Of(pairs) => {
                let found = pairs.iter().find(|(n, _)| n == name);
                found.map(|(_, value)| value.into())
            }
        };
        value.filter(|value| !value.is_empty())
    }

    /// Returns the value of a variable, which has to be UTF-8.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>, Error> {
        let text = self.raw(name).map(OsString::into_string);
        text.transpose().map_err(|_| Error::config(name, "not UTF-8"))
    }

    /// Returns the names of all variables that are set, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let text = |(name, _): (OsString, _)| name.to_string_lossy().into_owned();
        let mut names: Vec<_> = match self {
            Self::Process => std::env::vars_os().map(text).collect(),
            Self::Of(pairs) => pairs.iter().map(|(name, _)| name.clone()).collect(),
        };
        // A name that is not UTF-8 cannot be looked up.
        names.retain(|name| name.contains('\u{fffd}') || self.raw(name).is_some());
        names.sort();
        names
    }

    /// Returns name and value of the first of these variables that is set.
    pub(crate) fn first(
        &self,
        names: &[&'static str],
    ) -> Result<Option<(&'static str, String)>, Error> {
        let found = names.iter().find_map(|name| Some((*name, self.get(name).transpose()?)));
        found.map(|(name, value)| Ok((name, value?))).transpose()
    }
}
