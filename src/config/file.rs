//! Reads the configuration file without parsing it, since an opt-out in it counts even if the rest
//! is wrong.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::settings::Keys;
use crate::error::Error;

/// The path at which the manifest mounts the ConfigMap.
pub(crate) const DEFAULT_FILE: &str = "/etc/metrics-responder/config.yaml";

/// The largest file that is parsed. The keys need a few hundred bytes, but a malicious YAML file
/// can cost the parser seconds and many megabytes.
pub(super) const MAX_FILE: usize = 64 << 10;

/// The largest ConfigMap. The program reads this much, because an opt-out also counts in a file
/// that is too large to be parsed.
const MAX_CONFIG_MAP: u64 = 1 << 20;

/// The text of the file, or the error from reading it.
#[derive(Debug)]
pub struct File {
    origin: String,
    pub(super) text: io::Result<Vec<u8>>,
}

impl File {
    /// Reads the file, or `DEFAULT_FILE` if `path` is `None`; only the latter may be absent.
    pub fn read(path: Option<&Path>) -> Self {
        let file = path.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match beginning(file, MAX_CONFIG_MAP) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.is_none() => Ok(Vec::new()),
            text => text,
        };
        Self { origin: file.display().to_string(), text }
    }

    /// Makes a file with this text.
    pub fn of(origin: &str, text: &[u8]) -> Self {
        Self { origin: origin.to_owned(), text: Ok(text.to_owned()) }
    }

    /// Names a key together with this file.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.origin)
    }

    pub(super) fn keys(self) -> Result<Keys, Error> {
        let Self { origin, text } = self;
        match text {
            Err(error) => Err(Error::config(origin, error)),
            Ok(text) if text.len() > MAX_FILE => {
                Err(Error::config(origin, format!("larger than {MAX_FILE} bytes")))
            }
            Ok(text) => Keys::parse(&text).map_err(|error| Error::config(origin, error)),
        }
    }
}

/// Reads a file; a file larger than `limit` is an error.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let text = beginning(path, limit + 1)?;
    if text.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(text)
}

fn beginning(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(length).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_be_as_large_as_the_limit() {
        let (file, size) = (Path::new("LICENSE"), fs::metadata("LICENSE").unwrap().len());
        assert_eq!(read(file, size).unwrap().len() as u64, size);
        assert!(read(file, size - 1).is_err());
    }
}
