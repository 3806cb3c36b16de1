//! Reads YAML from files that may hold anything: secrets, binary data, endless brackets.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_yaml::{Deserializer, Error};

use crate::json::object::Object;

/// No valid input nests this deeply. The parser's time grows with the square of the depth: 64 kB
/// can take seconds.
const MAX_DEPTH: usize = 100;

/// Reads a mapping; an empty document is `None`. The error gives the position, may name a key, and
/// quotes no value.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, Error> {
    let text = within_bounds(text)?;
    let mapping: Option<Object<T>> = serde_yaml::from_slice(text)?;
    Ok(mapping.map(|Object(value)| value))
}

/// Reads the first document as [`read`] does. Go programs read no more of a file.
pub(crate) fn read_first<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, Error> {
    let mapping = first(text)?;
    Ok(mapping.map(|Object(value)| value))
}

/// Reads a first document that need not be a mapping. The error may quote a value.
pub(crate) fn first<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, Error> {
    let mut documents = Deserializer::from_slice(within_bounds(text)?);
    documents.next().map_or(Ok(None), Deserialize::deserialize)
}

/// Removes a byte order mark, which Windows editors write: with it, the parser would take
/// everything after the first key for another document. Refuses text that is nested too deeply.
fn within_bounds(text: &[u8]) -> Result<&[u8], Error> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if is_deep(text) {
        return Err(Error::custom("nested too deeply"));
    }
    Ok(text)
}

/// Counts the open brackets where YAML expects a value, and skips comments and quoted texts. Does
/// not count a bracket in doubt: too low a count costs time, too high a count refuses a valid file.
fn is_deep(text: &[u8]) -> bool {
    let (mut depth, mut expects_value, mut last) = (0_usize, true, b'\n');
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' if expects_value => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b':' | b'-' | b'?' => expects_value = true,
            b',' => expects_value = depth > 0,
            b'#' if last.is_ascii_whitespace() => {
                bytes.find(|byte| matches!(byte, b'\r' | b'\n'));
            }
            _ if byte.is_ascii_whitespace() => {}
            // A second quote after the end, as in 'it''s', continues the text.
            b'"' | b'\'' if expects_value || last == byte => {
                expects_value = false;
                let (mut rest, mut escaped) = (bytes.clone(), false);
                let is_closed = rest.any(|next| {
                    let ends = next == byte && !escaped;
                    escaped = next == b'\\' && !escaped;
                    ends
                });
                if is_closed {
                    bytes = rest;
                }
            }
            // A block text ends at the latest before a line that is not indented.
            b'|' | b'>' if expects_value && depth == 0 => {
                let is_inside = |last, next: u8| last != b'\n' || next.is_ascii_whitespace();
                while bytes.clone().next().is_some_and(|next| is_inside(last, next)) {
                    last = bytes.next().unwrap_or_default();
                }
                continue;
            }
            b'!' | b'&' if expects_value => {
                bytes.find(u8::is_ascii_whitespace);
            }
            _ => expects_value = false,
        }
        last = byte;
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Keys = BTreeMap<String, String>;

    #[test]
    fn an_error_quotes_no_value() {
        for text in [
            "acme-canary",
            "\"acme-canary",
            "token=acme-canary",
            "endpoint:https://receiver/?key=acme-canary",
            "[acme-canary]",
            "key: [acme-canary]",
            "key: {acme-canary: 1}",
            "key: *acme-canary",
            "!acme-canary {}",
            "key: !!acme-canary [1]",
        ] {
            for error in [read::<Keys>(text.as_bytes()), read_first(text.as_bytes())] {
                let error = error.unwrap_err().to_string();
                assert!(!error.contains("acme-canary"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn the_first_document_is_all_that_is_read_where_go_reads_no_more() {
        let text = b"a: x\n---\na: [\n";
        assert!(read::<Keys>(text).is_err());
        assert_eq!(read_first::<Keys>(text).unwrap().unwrap()["a"], "x");
        for nothing in ["", "---", "# x", "null"] {
            assert_eq!(read_first::<Keys>(nothing.as_bytes()).unwrap(), None);
            assert_eq!(read::<Keys>(nothing.as_bytes()).unwrap(), None);
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        for text in ["\u{feff}a: x\nb: y\n", "\u{feff}---\na: x\nb: y\n"] {
            for keys in [read::<Keys>(text.as_bytes()), read_first(text.as_bytes())] {
                let keys = keys.unwrap().unwrap();
                assert_eq!((&*keys["a"], &*keys["b"]), ("x", "y"), "{text}");
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (before, open, close) in [
            ("", "[", "]"),
            ("", "{a: ", "}"),
            ("", "[{a: ", "}]"),
            ("a: x\n? ", "[", "]"),
            ("", "[x, ", "]"),
            // No comment begins within a word.
            ("a#b: ", "[", "]"),
            // An apostrophe in a plain text does not begin a quoted one.
            ("a: don't # b\nb: ", "[", "]"),
            ("a: rock 'n roll\nb: ", "[", "]"),
            ("a: rock 'n\nb: ", "['x', ", "]"),
            ("a: x \"\nb: ", "[", "]"),
            ("a#'b: ", "[", "]"),
            // Nor does one without an end.
            ("a: |\n  - 'x\nb: ", "[", "]"),
            // A block text ends, and does not begin in a plain text.
            ("a: |\n  x\nb: ", "[", "]"),
            ("a:\n  b: x | y\n  c: ", "[", "]"),
            ("b!: ", "[", "]"),
            ("b: ", "!t [", "]"),
            ("b: ", "&a [", "]"),
        ] {
            let deep = [before, &open.repeat(101), &close.repeat(101)].concat();
            let error = read::<Keys>(deep.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, "nested too deeply", "{before}{open}");
        }
        // The mapping is one of the 100 that are allowed. Brackets side by side are not nested.
        let deepest = ["{a: ", &"[".repeat(99), &"]".repeat(99), "}"].concat();
        assert!(read::<BTreeMap<String, serde_yaml::Value>>(deepest.as_bytes()).is_ok());
        let wide = format!("a: [{}]", "[],{},".repeat(101));
        assert!(read::<BTreeMap<String, serde_yaml::Value>>(wide.as_bytes()).is_ok());
    }

    #[test]
    fn brackets_in_comments_and_texts_are_not_nested() {
        for text in [
            "# [[{{\na: x\n",
            "# b: [{\na: x # - [ {\n",
            "# don't: [{[{\na: x\n",
            "a: '[[ [, [: it''s [- ['\n",
            "a: \"[, \\\" [: [\"\n",
            "\"[[\": x\n",
            "a: x [[{ {[\n",
            "a: |\n  [[ {\n\n  [ [\n",
            "a: >-\n  x, [[, {\n",
            "a: |\n  - [[\n\n  it's: {[\n# [[\nb: x\n",
            "a: |2\r\n    - [[ {\r\nb: >\r\n    - [[ {\r\n",
            "a: don't [[\nb: it's [[\n",
        ] {
            let brackets = ["[", "{"].map(|bracket| bracket.repeat(101));
            let deep = text.replace('[', &brackets[0]).replace('{', &brackets[1]);
            assert!(read::<Keys>(deep.as_bytes()).is_ok(), "{text}");
        }
    }
}
