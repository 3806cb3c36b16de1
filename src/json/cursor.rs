//! A JSON document of any length, taken value by value out of a stream.
//!
//! `serde_json` does the parsing. It can hold a document as a whole, which is large, or read it
//! from a stream byte by byte, which is slow. So a piece of the stream is kept in a buffer, and each
//! value is parsed where it lies:
//!
//! ```text
//! buffer  {"kind":"Table","rows":[{"cells":["a","Rea
//!                                            ^ cursor
//! ```
//!
//! The value at the cursor is `"a"`: it is parsed, and the cursor moves behind it. At `"Rea` the
//! parser reports that the input ended, so more of the stream is read behind it and the same value
//! is parsed again. Objects and lists that a caller wants to walk through are entered with
//! [`Cursor::object`] and [`Cursor::list`]; everything below is one value for `serde_json`.
//!
//! For 5,000 nodes as a Table, 1.1 MB, that takes 52 million instructions (`just profile`);
//! `serde_json` reading from the stream took 164 million. Holding the Table as a whole would take
//! its size in memory, 11 MB for 50,000 nodes.
//!
//! Not checked here: whether a key stands twice, which is for the caller to decide, and what is
//! skipped, beyond being JSON.

use std::io::Read;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

use super::JsonError;

/// The largest TLS record. A larger buffer was not faster.
const BUFFER: usize = 16 << 10;

/// The longest value that is held. etcd refuses requests above 1.5 MiB, so no Kubernetes object is
/// longer.
const MAX_VALUE: usize = 2 << 20;

/// A position in the stream.
pub(crate) struct Cursor<R> {
    reader: R,
    /// Read and not yet passed: from `position` on.
    buffer: Vec<u8>,
    position: usize,
    ended: bool,
}

impl<R: Read> Cursor<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::with_capacity(2 * BUFFER),
            position: 0,
            ended: false,
        }
    }

    /// Walks through an object: `entry` gets each key, with the cursor at its value.
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

    /// Walks through a list: `element` gets the cursor at each element.
    pub(crate) fn list<E: From<JsonError>>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.between(b'[', b']', element)
    }

    /// Parses the value at the cursor and moves behind it.
    pub(crate) fn value<T: for<'b> Deserialize<'b>>(&mut self) -> Result<T, JsonError> {
        loop {
            let rest = &self.buffer[self.position..];
            let mut json = Deserializer::from_slice(rest);
            match T::deserialize(&mut json) {
                Ok(value) => {
                    let length = json.into_iter::<IgnoredAny>().byte_offset();
                    // A number at the end of the buffer may go on behind it.
                    if length < rest.len() || self.ended {
                        self.position += length;
                        return Ok(value);
                    }
                }
                // At the end of what is held, the value goes on in the stream. A number that is cut
                // there is not reported as an early end.
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

    /// Passes over the value at the cursor.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        self.value::<IgnoredAny>().map(|_| ())
    }

    /// Whether the value at the cursor is `null`; passes over it if so.
    pub(crate) fn null(&mut self) -> Result<bool, JsonError> {
        if self.peek()? != Some(b'n') {
            return Ok(false);
        }
        self.value::<()>().map(|()| true)
    }

    /// The end of the stream, which has to be here.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(JsonError::Syntax(
                "not JSON: it goes on behind its end".to_owned(),
            )),
        }
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
            // Well-formed JSON of another shape begins with one of these where a list or an object
            // was wanted.
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
                if matches!(wanted, b'{' | b'[') =>
            {
                Err(JsonError::Shape("unexpected JSON".to_owned()))
            }
            Some(_) => Err(JsonError::Syntax(format!(
                "not JSON: {:?} is missing",
                char::from(wanted)
            ))),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Result<Option<u8>, JsonError> {
        loop {
            let rest = &self.buffer[self.position..];
            match rest
                .iter()
                .position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
            {
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

    /// Reads on behind what is left of the buffer, at least as much again: a value that comes in
    /// small pieces is then not parsed again for each of them.
    fn read_on(&mut self) -> Result<(), JsonError> {
        self.buffer.drain(..self.position);
        self.position = 0;
        // What is left is a value that has begun, since everything before it was passed.
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

    /// Wherever the buffer ends, a value is read as if it did not.
    #[test]
    fn a_value_may_go_on_behind_the_buffer() {
        let json = r#"{"a":[-12,1.5e-3,"\u00e9\ud83d\ude00",true,null],"b":-0.5}"#;
        for blanks in BUFFER - json.len()..=BUFFER {
            let text = format!("{}{json}", " ".repeat(blanks));
            let mut cursor = Cursor::new(text.as_bytes());
            let mut keys = String::new();
            let read: Result<(), JsonError> = cursor.object(|cursor, key| {
                keys += key;
                if key == "a" {
                    cursor.list(Cursor::skip)
                } else {
                    cursor.skip()
                }
            });
            assert!(read.is_ok() && cursor.end().is_ok(), "{blanks}: {read:?}");
            assert_eq!(keys, "ab");
            // As one value, too, and typed.
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(cursor.value::<serde_json::Value>().is_ok() && cursor.end().is_ok());
        }
    }
}
