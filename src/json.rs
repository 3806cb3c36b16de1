//! JSON from a peer that is not trusted, within bounds on what it can make us hold.
//!
//! A single object is read whole, its size bounded by whoever opened the body. A list may be of any length:
//! it is taken apart into its elements as it streams in, and each is parsed where it lies in the buffer.
//! `serde_json` reading from a stream would take byte by byte: for 5,000 nodes as a Table that were 164 million
//! instructions, and these are 57 (`just profile`).

use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::error::Category;

use crate::object::Object;

/// etcd refuses requests above 1.5 MiB, so that no object is larger.
const MAX_ELEMENT: usize = 2 << 20;

/// What stands around the elements of a list: of a Table, ten columns with their descriptions, 5 kB.
const MAX_FRAME: usize = 256 << 10;

/// Larger ones were no faster.
const BUFFER: usize = 16 << 10;

/// Reads one JSON object and the end of the stream after it: only a body that was read to its end leaves
/// its connection usable for the next request.
pub fn read<T: DeserializeOwned>(mut reader: impl Read) -> Result<T, Error> {
    let mut text = Vec::new();
    reader.read_to_end(&mut text).map_err(Error::Io)?;
    parse(&text)
}

/// One JSON object out of memory.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let Object(value) = serde_json::from_slice(text)?;
    Ok(value)
}

/// One JSON value out of memory, through `seed`.
pub fn parse_seed<'de, S: DeserializeSeed<'de>>(
    seed: S,
    text: &'de [u8],
) -> Result<S::Value, Error> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Why a body could not be read as the JSON that was expected.
#[derive(Debug)]
pub enum Error {
    /// The stream broke off: time-out, connection lost, limit of size.
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
            Category::Io => Self::Io(error.into()),
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

/// An object that holds lists, taken apart: the elements of certain lists one by one, and the frame, which is
/// all the rest. Brackets and quotes are followed, nothing more: whether the pieces are JSON is for their
/// parser to say.
pub struct Elements<R> {
    reader: R,
    /// Keys of the object whose lists are taken apart.
    keys: &'static [&'static str],
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    filled: usize,
    /// Where in the buffer to go on.
    position: usize,
    frame: Vec<u8>,
    /// Where in the frame the last string at the object's own level begins and ends: a key, or its value.
    last_string: (usize, usize),
    scan: Scan,
    /// The key whose list is being taken apart.
    key: Option<&'static str>,
    /// What was last in that list.
    last: Last,
}

/// What may follow in a list depends on it.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Bracket,
    Comma,
    Element,
}

/// Where a scan stands within JSON.
#[derive(Clone, Copy, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    fn pass(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// How many of these bytes change nothing: within strings, and between brackets.
    fn uneventful(self, bytes: &[u8]) -> usize {
        let event = |byte: &u8| match self.in_string {
            _ if self.escaped => true,
            true => matches!(byte, b'"' | b'\\'),
            false => matches!(byte, b'"' | b'[' | b']' | b'{' | b'}'),
        };
        bytes.iter().position(event).unwrap_or(bytes.len())
    }
}

/// The list's own level: in the object, in the list.
const LIST: usize = 2;

impl<R: Read> Elements<R> {
    /// Takes apart the lists of these keys.
    pub fn new(reader: R, keys: &'static [&'static str]) -> Self {
        Self {
            reader,
            keys,
            buffer: vec![0; BUFFER],
            filled: 0,
            position: 0,
            frame: Vec::new(),
            last_string: (0, 0),
            scan: Scan::default(),
            key: None,
            last: Last::Bracket,
        }
    }

    /// The next element, with the key of its list; `None` at the end of the stream.
    pub fn next_element(&mut self) -> Result<Option<(&'static str, &[u8])>, Error> {
        loop {
            if self.position == self.filled && !self.fill(self.position)? {
                return Ok(None);
            }
            let byte = self.buffer[self.position];
            match self.key {
                Some(key) if self.scan.depth == LIST && !is_between(byte) => {
                    self.follow(Last::Element)?;
                    let (from, to) = self.element()?;
                    return Ok(Some((key, &self.buffer[from..to])));
                }
                _ => self.pass_frame(byte)?,
            }
        }
    }

    /// The frame as far as it came: at the end of the stream, all of it.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// While a list is taken apart: the frame so far, with that list and the object closed.
    pub fn head(&self) -> Vec<u8> {
        [&self.frame, &b"]}"[..]].concat()
    }

    fn pass_frame(&mut self, byte: u8) -> Result<(), Error> {
        let before = self.scan;
        self.scan.pass(byte);
        self.position += 1;
        if before.depth == 1 && before.in_string != self.scan.in_string {
            if self.scan.in_string {
                self.last_string.0 = self.frame.len() + 1;
            } else {
                self.last_string.1 = self.frame.len();
            }
        }
        match (self.key, byte) {
            // Between elements that are gone, it would be left over.
            (Some(_), b',') => self.follow(Last::Comma)?,
            (Some(_), b']') if self.last == Last::Comma => return Err(stray_comma()),
            _ => self.frame.push(byte),
        }
        if self.frame.len() > MAX_FRAME {
            return Err(Error::Syntax("more than 256 KiB around a list".to_owned()));
        }
        if before.depth != self.scan.depth && !before.in_string {
            self.key = match (before.depth, byte) {
                (1, b'[') => self.list_key(),
                _ => None,
            };
            self.last = Last::Bracket;
        }
        Ok(())
    }

    /// Elements and commas take turns.
    fn follow(&mut self, next: Last) -> Result<(), Error> {
        if (next == Last::Comma) != (self.last == Last::Element) {
            return Err(stray_comma());
        }
        self.last = next;
        Ok(())
    }

    /// The key of the list that has just begun, if it is one of those to be taken apart.
    fn list_key(&self) -> Option<&'static str> {
        let (from, to) = self.last_string;
        let last = self.frame.get(from..to)?;
        self.keys.iter().copied().find(|key| key.as_bytes() == last)
    }

    /// Passes over the element that begins here, and says where in the buffer it lies.
    fn element(&mut self) -> Result<(usize, usize), Error> {
        let mut from = self.position;
        let nested = matches!(self.buffer[from], b'{' | b'[' | b'"');
        loop {
            while self.position < self.filled {
                let outside = self.scan.depth == LIST && !self.scan.in_string;
                if outside && is_between(self.buffer[self.position]) {
                    return Ok((from, self.position));
                }
                if !outside {
                    let rest = &self.buffer[self.position..self.filled];
                    self.position += self.scan.uneventful(rest);
                    if self.position == self.filled {
                        break;
                    }
                }
                self.scan.pass(self.buffer[self.position]);
                self.position += 1;
                if nested && self.scan.depth == LIST && !self.scan.in_string {
                    return Ok((from, self.position));
                }
            }
            if self.position - from > MAX_ELEMENT {
                return Err(Error::Syntax(
                    "an element of a list is larger than 2 MiB".to_owned(),
                ));
            }
            if !self.fill(from)? {
                return Err(Error::Syntax(
                    "JSON that ends within an element of a list".to_owned(),
                ));
            }
            from = 0;
        }
    }

    /// Reads on, after what is still needed of the buffer. False at the end of the stream.
    fn fill(&mut self, needed: usize) -> Result<bool, Error> {
        self.buffer.copy_within(needed..self.filled, 0);
        self.filled -= needed;
        self.position -= needed;
        if self.buffer.len() < self.filled + BUFFER {
            self.buffer.resize(self.filled + BUFFER, 0);
        }
        let n = self
            .reader
            .read(&mut self.buffer[self.filled..])
            .map_err(Error::Io)?;
        self.filled += n;
        Ok(n > 0)
    }
}

fn stray_comma() -> Error {
    Error::Syntax("not JSON: a comma too many or too few in a list".to_owned())
}

/// Whether this stands between the elements of a list rather than in one.
fn is_between(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements, and the frame at the end.
    fn split(json: &str) -> Result<(Vec<(String, String)>, String), String> {
        let mut elements = Elements::new(json.as_bytes(), &["rows", "items"]);
        let mut found = Vec::new();
        while let Some((key, element)) = elements.next_element().map_err(|e| e.to_string())? {
            found.push((key.to_owned(), String::from_utf8(element.to_vec()).unwrap()));
        }
        Ok((found, String::from_utf8(elements.frame().to_vec()).unwrap()))
    }

    fn elements(json: &str) -> Vec<String> {
        split(json)
            .unwrap()
            .0
            .into_iter()
            .map(|(_, element)| element)
            .collect()
    }

    #[test]
    fn a_list_is_taken_apart_and_its_frame_left() {
        let json = r#"{"kind":"Table","c":[{"a":[1]}],"rows":[{"x":[1,2]} , {"y":"]}\\\"{"}], "z":{"rows":[3]}}"#;
        let (found, frame) = split(json).unwrap();
        let rows = [r#"{"x":[1,2]}"#, r#"{"y":"]}\\\"{"}"#];
        assert_eq!(found, rows.map(|row| ("rows".to_owned(), row.to_owned())));
        assert_eq!(
            frame,
            r#"{"kind":"Table","c":[{"a":[1]}],"rows":[  ], "z":{"rows":[3]}}"#
        );
    }

    #[test]
    fn elements_of_every_kind_are_found() {
        assert_eq!(elements(r#"{"rows":[]}"#), [""; 0]);
        assert_eq!(
            elements(r#"{"rows":[null, 7,"a,]b" ,[1,[2]],{}]}"#),
            ["null", "7", r#""a,]b""#, "[1,[2]]", "{}"]
        );
        assert_eq!(
            elements(r#"{"other":[1],"items" : [1],"rows":{"a":[2]}}"#),
            ["1"]
        );
        assert_eq!(elements(r#"[{"rows":[1]}]"#), [""; 0]);
        assert_eq!(elements(r#"{"a":{"rows":[1]}}"#), [""; 0]);
    }

    #[test]
    fn elements_and_commas_take_turns() {
        for list in ["{} {}", "{},,{}", ",{}", "{},", ",", "1 2", "[]{}"] {
            let error = split(&format!(r#"{{"rows":[{list}]}}"#)).unwrap_err();
            assert!(error.contains("comma"), "{list}");
        }
        assert!(split(r#"{"rows":[1,2],"items":[3,4]}"#).is_ok());
    }

    #[test]
    fn the_head_is_the_frame_closed() {
        let mut elements = Elements::new(&br#"{"kind":"Table","rows":[1,2]}"#[..], &["rows"]);
        assert_eq!(elements.next_element().unwrap().unwrap().1, b"1");
        assert_eq!(elements.head(), br#"{"kind":"Table","rows":[]}"#);
    }

    #[test]
    fn neither_an_element_nor_the_frame_grows_without_end() {
        let long = "x".repeat(MAX_ELEMENT + BUFFER);
        let error = split(&format!(r#"{{"rows":["{long}"]}}"#)).unwrap_err();
        assert_eq!(error, "an element of a list is larger than 2 MiB");
        let error = split(&format!(r#"{{"a":"{long}"}}"#)).unwrap_err();
        assert_eq!(error, "more than 256 KiB around a list");
        let deep = "[".repeat(MAX_ELEMENT + BUFFER);
        assert!(split(&format!(r#"{{"rows":[{deep}"#)).is_err());
    }

    #[test]
    fn a_reason_says_where_and_repeats_nothing() {
        #[derive(Debug, serde::Deserialize)]
        struct Versions {
            #[serde(rename = "versions")]
            _versions: Vec<serde::de::IgnoredAny>,
        }

        for (json, expected) in [
            (&b"\"secret\""[..], "unexpected JSON at line 1, column 8"),
            (b"[[]]", "unexpected JSON at line 1, column 0"),
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
