//! Reads a JSON document of any length from a stream, value by value.
//!
//! `serde_json` does the parsing. It can parse a whole document in memory, which takes much memory,
//! or read it from a stream byte by byte, which is slow. So the cursor keeps a piece of the stream
//! in a buffer, and `serde_json` parses each value there:
//!
//! ```text
//! buffer  {"kind":"Table","rows":[{"cells":["a","Rea
//!                                            ^ cursor
//! ```
//!
//! The value at the cursor is `"a"`: it is parsed, and the cursor moves past it. At `"Rea` the
//! parser reports that the input ended, so the cursor appends more of the stream to the buffer and
//! parses the same value again. A caller walks through an object or a list with [`Cursor::object`]
//! or [`Cursor::list`]; `serde_json` parses each value inside as a whole.
//!
//! For 5,000 nodes as a Table, 1.1 MB, this takes 52 million instructions (`just profile`);
//! `serde_json` reading from the stream took 164 million. The whole Table of 50,000 nodes would
//! take 11 MB of memory.
//!
//! The caller has to detect duplicate keys. Skipped values are checked only for being valid JSON.

use std::io::Read;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

use super::JsonError;

/// The size of the largest TLS record. A larger buffer was not faster.
const BUFFER: usize = 16 << 10;

/// The longest value that is read into memory. No Kubernetes object is longer, since etcd refuses
/// requests above 1.5 MiB.
const MAX_VALUE: usize = 2 << 20;

/// A position in the stream.
pub(crate) struct Cursor<R> {
    reader: R,
    /// Bytes of the stream. Those before `position` have been used.
    buffer: Vec<u8>,
    position: usize,
    ended: bool,
}

impl<R: Read> Cursor<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::with_capacity(2 * BUFFER), position: 0, ended: false }
    }

    /// Walks through an object: calls `entry` with each key and with the cursor at its value.
    pub(crate) fn object<E: From<JsonError>>(
        &mut self,
        mut entry: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.between(b'{', b'}', |cursor| {
            let key: String = cursor.value()?;
            cursor.expect(b':')?;
            entry(cursor, &key)
        })
    }

    /// Walks through a list: calls `element` with the cursor at each element.
    pub(crate) fn list<E: From<JsonError>>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.between(b'[', b']', element)
    }

    /// Parses the value at the cursor and moves past it.
    pub(crate) fn value<T: for<'b> Deserialize<'b>>(&mut self) -> Result<T, JsonError> {
        loop {
            let rest = &self.buffer[self.position..];
            let mut json = Deserializer::from_slice(rest);
            match T::deserialize(&mut json) {
                Ok(value) => {
                    let length = json.into_iter::<IgnoredAny>().byte_offset();
                    // A number at the end of the buffer may continue in the stream.
                    if length < rest.len() || self.ended {
                        self.position += length;
                        return Ok(value);
                    }
                }
                // An error at the end of the buffer means that the value continues in the stream.
                // serde_json does not report a number that is cut there as an early end.
                Err(error) => {
                    let is_cut = json.into_iter::<IgnoredAny>().byte_offset() == rest.len();
                    if self.ended || !(is_cut || error.is_eof()) {
                        return Err(error.into());
                    }
                }
            }
            self.read_on()?;
        }
    }

    /// Moves past the value at the cursor.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        self.value::<IgnoredAny>().map(|_| ())
    }

    /// Returns true if the value at the cursor is `null`, and then moves past it.
    pub(crate) fn null(&mut self) -> Result<bool, JsonError> {
        if self.peek()? != Some(b'n') {
            return Ok(false);
        }
        self.value::<()>().map(|()| true)
    }

    /// Checks that the stream ends here.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        let reason = "not JSON: text follows the end";
        self.peek()?.map_or(Ok(()), |_| Err(JsonError::Syntax(reason.to_owned())))
    }

    fn between<E: From<JsonError>>(
        &mut self,
        open: u8,
        close: u8,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(open)?;
        if self.peek()? == Some(close) {
            return Ok(self.expect(close)?);
        }
        loop {
            element(self)?;
            match self.peek()? {
                Some(b',') => self.expect(b',')?,
                _ => return Ok(self.expect(close)?),
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        match self.peek()? {
            Some(byte) if byte == wanted => {
                self.position += 1;
                Ok(())
            }
            None => Err(JsonError::Syntax("JSON that ends too early".to_owned())),
            // Report a value of another type than the expected list or object as such: it begins
            // with one of these bytes.
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
                if matches!(wanted, b'{' | b'[') =>
            {
                Err(JsonError::Shape("unexpected JSON".to_owned()))
            }
            Some(_) => {
                Err(JsonError::Syntax(format!("not JSON: {:?} is missing", char::from(wanted))))
            }
        }
    }

    /// Returns the next byte that is not white space.
    fn peek(&mut self) -> Result<Option<u8>, JsonError> {
        loop {
            let rest = &self.buffer[self.position..];
            match rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
                Some(blanks) => {
                    self.position += blanks;
                    return Ok(Some(self.buffer[self.position]));
                }
                None if self.ended => return Ok(None),
                None => {
                    self.position = self.buffer.len();
                    self.read_on()?;
                }
            }
        }
    }

    /// Reads more of the stream into the buffer, at least as much as is left in it. A value that
    /// arrives in small pieces is then not parsed again after each piece.
    fn read_on(&mut self) -> Result<(), JsonError> {
        self.buffer.drain(..self.position);
        self.position = 0;
        // The rest of the buffer is the beginning of one value.
        let held = self.buffer.len();
        if held >= MAX_VALUE {
            return Err(JsonError::Syntax("a value of more than 2 MiB".to_owned()));
        }
        let mut more = self.reader.by_ref().take(held.max(BUFFER) as u64);
        let n = more.read_to_end(&mut self.buffer).map_err(JsonError::Io)?;
        self.ended = n == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_continue_after_the_end_of_the_buffer() {
        let json = r#"{"a":[-12,1.5e-3,"\u00e9\ud83d\ude00",true,null],"b":-0.5}"#;
        for blanks in BUFFER - json.len()..=BUFFER {
            let text = format!("{}{json}", " ".repeat(blanks));
            let mut cursor = Cursor::new(text.as_bytes());
            let mut keys = String::new();
            let read: Result<(), JsonError> = cursor.object(|cursor, key| {
                keys += key;
                if key == "a" { cursor.list(Cursor::skip) } else { cursor.skip() }
            });
            assert!(read.is_ok() && cursor.end().is_ok(), "{blanks}: {read:?}");
            assert_eq!(keys, "ab");
            // Read the document again, as one value.
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(cursor.value::<serde_json::Value>().is_ok() && cursor.end().is_ok());
        }
    }
}
