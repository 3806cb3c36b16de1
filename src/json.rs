//! Reads JSON from a peer that is not trusted, and limits the memory that it can use.

pub(crate) mod cursor;
pub(crate) mod object;

use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use object::Object;

/// Reads one JSON object, and the stream to its end, so that the connection can be used again.
pub(crate) fn read<T: DeserializeOwned>(reader: impl Read) -> Result<T, JsonError> {
    let Object(value) = serde_json::from_reader(BufReader::new(reader))?;
    Ok(value)
}

/// The reason why a body is not the expected JSON.
#[derive(Debug)]
pub enum JsonError {
    /// The stream could not be read to its end: timeout, lost connection, size limit.
    Io(io::Error),
    /// The stream is JSON, but has unexpected keys or types.
    Shape(String),
    /// The stream is not JSON, ends too early, or exceeds a limit.
    Syntax(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Shape(reason) | Self::Syntax(reason) => f.write_str(reason),
        }
    }
}

impl From<serde_json::Error> for JsonError {
    /// Keeps the position, and drops the text, which may quote the peer. With [`cursor`] the
    /// position is relative to the current value.
    fn from(error: serde_json::Error) -> Self {
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Data => Self::Shape(format!("unexpected JSON at {place}")),
            Category::Syntax => Self::Syntax(format!("not JSON at {place}")),
            Category::Eof => Self::Syntax(format!("JSON that ends at {place}")),
            Category::Io => Self::Io(error.into()),
        }
    }
}

/// Counts the bytes that are read through it.
#[derive(Debug)]
pub(crate) struct Counted<R> {
    pub(crate) inner: R,
    /// The number of bytes read so far.
    pub(crate) bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_position_and_quotes_nothing() {
        #[derive(Debug, serde::Deserialize)]
        struct Versions {
            #[serde(rename = "versions")]
            _versions: Vec<serde::de::IgnoredAny>,
        }

        for (json, expected) in [
            (&b"\"secret\""[..], "unexpected JSON at line 1, column 8"),
            (b"[[]]", "unexpected JSON at line 1, column 2"),
            (b"{\"versions\":\"secret\"}", "unexpected JSON at line 1, column 20"),
            (b"<html>secret", "not JSON at line 1, column 1"),
            (b"{\"secret", "JSON that ends at line 1, column 8"),
            (b"{\"versions\":[]} secret", "not JSON at line 1, column 17"),
        ] {
            let reason = read::<Versions>(json).unwrap_err().to_string();
            assert_eq!(reason, expected);
        }
    }

    #[test]
    fn the_bytes_that_are_read_are_counted() {
        let mut counted = Counted { inner: &b"{\"a\": 1}  "[..], bytes: 0 };
        read::<std::collections::BTreeMap<String, u8>>(&mut counted).unwrap();
        assert_eq!(counted.bytes, 10);
    }
}
