//! logfmt on standard error, one event a line. The container runtime adds the time.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// Where a report run says what it does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log {
    /// Whether every request gets a line of its own.
    pub verbose: bool,
}

impl Log {
    /// One request, for `--verbose`: never a header, a body or a host.
    pub(crate) fn request(self, request: &Request<'_>) {
        if !self.verbose {
            return;
        }
        let Request {
            method,
            path,
            status,
            bytes,
            took,
        } = request;
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        write(&format!(
            "level=debug method={method} path={} status={status} bytes={bytes} ms={}",
            value(path),
            took.as_millis()
        ));
    }

    /// An event, with what is known of it.
    pub fn info(message: &str, fields: &[(&str, Option<&str>)]) {
        let mut line = format!("level=info msg={}", value(message));
        for (key, text) in fields {
            if let Some(text) = text {
                line.extend([" ", key, "=", &value(text)]);
            }
        }
        write(&line);
    }

    /// The answer to a person who typed a command: plain text on one line, and no event.
    pub fn answer(text: &str) {
        write(&format!("metrics-responder: {}", plain(text)));
    }
}

/// What `--verbose` tells of one request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// `GET` or `POST`.
    pub(crate) method: &'static str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The HTTP status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// Bytes of the answer's body that were read.
    pub(crate) bytes: u64,
    /// Time from the request until the answer's body was read.
    pub(crate) took: Duration,
}

/// A line that cannot be written is lost: a closed standard error is no reason to fail.
fn write(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A logfmt value: bare where that is unambiguous, else quoted as a JSON string is, which is what
/// parsers of logfmt understand. No text can begin a line or a field of its own.
fn value(text: &str) -> String {
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Replaces control characters, which could move a terminal's cursor or begin another line.
pub(crate) fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_its_value() {
        for (text, written) in [
            ("accepted", "accepted"),
            ("/api/v1/nodes?limit=5", "\"/api/v1/nodes?limit=5\""),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nlevel=error", "\"a\\nlevel=error\""),
            ("\u{1b}[31m", "\"\\u001b[31m\""),
            ("\u{85}", "\"\\u0085\""),
        ] {
            assert_eq!(value(text), written);
        }
    }

    #[test]
    fn plain_text_stays_on_its_line() {
        for (text, written) in [
            ("no file at /a=b \"c\"", "no file at /a=b \"c\""),
            ("a\nb\r\u{1b}[31m\u{9b}c", "a?b??[31m?c"),
        ] {
            assert_eq!(plain(text), written);
        }
    }
}
