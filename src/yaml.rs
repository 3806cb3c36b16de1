//! YAML of a file that may hold anything: a token, a binary, brackets without end.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_yaml::{Deserializer, Error};

use crate::json::object::Object;

/// No valid input nests this deeply. The parser's time grows with the square of the depth.
const MAX_DEPTH: usize = 100;

/// Reads a mapping; an empty document is `None`. The error gives the position and may name a key,
/// and quotes no value.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, Error> {
    let text = within_bounds(text)?;
    let mapping: Option<Object<T>> = serde_yaml::from_slice(text)?;
    Ok(mapping.map(|Object(value)| value))
}

/// The same of the first document, which is all that Go reads of a file.
pub(crate) fn read_first<T: DeserializeOwned>(text: &[u8]) -> Result<Option<T>, Error> {
    let text = within_bounds(text)?;
    let mapping = match Deserializer::from_slice(text).next() {
        Some(document) => Option::<Object<T>>::deserialize(document)?,
        None => None,
    };
    Ok(mapping.map(|Object(value)| value))
}

/// The text without a byte order mark, unless it is nested too deeply. With the mark, as editors of
/// Windows write it, the parser would take what stands behind the first key for another document.
fn within_bounds(text: &[u8]) -> Result<&[u8], Error> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut depth = 0_usize;
    let is_deep = text.iter().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    });
    if is_deep {
        return Err(Error::custom("nested too deeply"));
    }
    Ok(text)
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
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("[{a: ", "}]")] {
            let deep = [open.repeat(101), close.repeat(101)].concat();
            let error = read::<Keys>(deep.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, "nested too deeply");
        }
        // So many are allowed; the mapping is one of them. Side by side they are no depth.
        let deepest = ["{a: ", &"[".repeat(99), &"]".repeat(99), "}"].concat();
        assert!(read::<BTreeMap<String, serde_yaml::Value>>(deepest.as_bytes()).is_ok());
        let wide = format!("a: '{}'", "[]{}".repeat(101));
        assert!(read::<Keys>(wide.as_bytes()).is_ok());
    }
}
