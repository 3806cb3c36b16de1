//! JSON from a peer that is not trusted: read as a stream, with bounds on what it can make us hold.
//!
//! `serde_json` keeps nothing of a value that nobody reads, with two exceptions that a peer could use to
//! fill the memory: a string is gathered before it is looked at, and so is the nesting of a value that
//! is skipped. Both are bounded here, in front of the parser.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::error::Category;

use crate::object::Object;

/// Longer than any string in a Kubernetes object: etcd refuses requests above 1.5 MiB, and an object's
/// annotations together end at 256 KiB.
const MAX_STRING: usize = 1 << 20;

/// `serde_json` follows typed values 128 deep; Kubernetes' own are about 12.
const MAX_DEPTH: usize = 128;

/// Large enough that reading costs nothing beside parsing, small enough not to show in the memory used.
const BUFFER: usize = 8 << 10;

/// Reads one JSON object and the end of the stream after it.
pub fn read<T: DeserializeOwned>(reader: impl Read) -> Result<T, Error> {
    read_seed(PhantomData, reader).map(|Object(value)| value)
}

/// Reads one JSON value through `seed`, and the end of the stream after it: only a body that was read to
/// its end leaves its connection usable for the next request.
pub fn read_seed<T>(
    seed: impl for<'de> DeserializeSeed<'de, Value = T>,
    reader: impl Read,
) -> Result<T, Error> {
    let bounded = Bounded {
        inner: reader,
        string: None,
        escaped: false,
        depth: 0,
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER, bounded));
    let value = seed.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Why a body could not be read as the JSON that was expected.
#[derive(Debug)]
pub enum Error {
    /// The stream broke off: time-out, connection lost.
    Io(io::Error),
    /// The stream is not JSON, ends within it, or goes beyond the bounds.
    Syntax(String),
    /// It is JSON, but of another shape.
    Shape(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Syntax(reason) | Self::Shape(reason) => f.write_str(reason),
        }
    }
}

impl From<serde_json::Error> for Error {
    /// Keeps the place and drops the text, which may quote the peer.
    fn from(error: serde_json::Error) -> Self {
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Data => Self::Shape(format!("unexpected JSON at {place}")),
            Category::Syntax => Self::Syntax(format!("not JSON at {place}")),
            Category::Eof => Self::Syntax(format!("JSON that ends at {place}")),
            Category::Io => {
                let error = io::Error::from(error);
                match error.get_ref().and_then(|e| e.downcast_ref()) {
                    Some(TooMuch(bound)) => Self::Syntax((*bound).to_owned()),
                    None => Self::Io(error),
                }
            }
        }
    }
}

/// Counts what is read through it.
#[derive(Debug)]
pub struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R> Counted<R> {
    /// Begins at zero.
    pub fn new(inner: R) -> Self {
        Self { inner, bytes: 0 }
    }

    /// Bytes read so far.
    pub fn total(&self) -> u64 {
        self.bytes
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

/// Passes JSON on as it is, until a string is too long or the nesting too deep.
struct Bounded<R> {
    inner: R,
    /// Length of the string that is being read.
    string: Option<usize>,
    escaped: bool,
    depth: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        for &byte in &buffer[..n] {
            self.admit(byte).map_err(io::Error::other)?;
        }
        Ok(n)
    }
}

impl<R> Bounded<R> {
    fn admit(&mut self, byte: u8) -> Result<(), TooMuch> {
        if let Some(length) = &mut self.string {
            *length += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.string = None,
                _ if *length > MAX_STRING => return Err(TooMuch("a string is longer than 1 MiB")),
                _ => {}
            }
            return Ok(());
        }
        match byte {
            b'"' => self.string = Some(0),
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > MAX_DEPTH {
            return Err(TooMuch("JSON nested deeper than 128"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct TooMuch(&'static str);

impl std::error::Error for TooMuch {}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn skip(json: &[u8]) -> Result<IgnoredAny, Error> {
        read_seed(PhantomData, json)
    }

    fn reason(json: &[u8]) -> String {
        skip(json).unwrap_err().to_string()
    }

    #[test]
    fn a_string_ends_at_its_bound_even_where_it_is_skipped() {
        let long = |n: usize| format!("\"{}\"", "x".repeat(n)).into_bytes();
        assert!(skip(&long(MAX_STRING)).is_ok());
        assert_eq!(
            reason(&long(MAX_STRING + 1)),
            "a string is longer than 1 MiB"
        );
    }

    #[test]
    fn nesting_ends_at_its_bound_even_where_it_is_skipped() {
        let deep = |n: usize| ["[".repeat(n), "]".repeat(n)].concat().into_bytes();
        assert!(skip(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(reason(&deep(MAX_DEPTH + 1)), "JSON nested deeper than 128");
    }

    #[test]
    fn brackets_and_quotes_within_strings_count_for_nothing() {
        let json = format!(r#"{{"a":"{}","b":"\\\"[["}}"#, "[".repeat(500));
        assert!(skip(json.as_bytes()).is_ok());
    }

    #[test]
    fn a_reason_says_where_and_repeats_nothing() {
        #[derive(Debug, serde::Deserialize)]
        struct Versions {
            #[serde(rename = "versions")]
            _versions: Vec<IgnoredAny>,
        }

        for (json, expected) in [
            (&b"\"secret\""[..], "unexpected JSON at line 1, column 8"),
            (b"[[]]", "unexpected JSON at line 1, column 1"),
            (
                b"{\"versions\":\"secret\"}",
                "unexpected JSON at line 1, column 20",
            ),
            (b"<html>secret", "not JSON at line 1, column 1"),
            (b"{\"secret", "JSON that ends at line 1, column 8"),
            (b"{\"versions\":[]} secret", "not JSON at line 1, column 17"),
        ] {
            let reason = read::<Versions>(json).unwrap_err().to_string();
            assert_eq!(reason, expected);
        }
    }
}
