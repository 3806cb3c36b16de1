//! The environment, as the only place where the process's variables are read, so that tests bring their own.

use std::ffi::OsString;

use crate::error::Error;

/// A set of environment variables.
#[derive(Debug)]
pub enum Env {
    /// That of this process.
    Process,
    /// These variables and no others.
    Of(Vec<(String, String)>),
}

impl Env {
    /// These variables and no others.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::Of(pairs.iter().map(own).collect())
    }

    fn value(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Of(pairs) => {
                let found = pairs.iter().find(|(n, _)| n == name);
                found.map(|(_, value)| value.into())
            }
        }
    }

    /// A variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Result<Option<String>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => {
                let text = value.into_string();
                text.map(Some).map_err(|_| Error::config(name, "not UTF-8"))
            }
        }
    }

    /// The first of several variables that is set, with its name.
    pub fn first<'a>(&self, names: &[&'a str]) -> Result<Option<(&'a str, String)>, Error> {
        for name in names {
            if let Some(value) = self.get(name)? {
                return Ok(Some((name, value)));
            }
        }
        Ok(None)
    }
}
