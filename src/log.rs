//! Writes logfmt to standard error, one event per line. The container runtime adds the time.

use std::io::Write as _;
use std::time::Instant;

/// The log of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log {
    /// True if every request is logged.
    pub verbose: bool,
}

impl Log {
    /// Logs one request for `--verbose`: path and query, the HTTP status if there was an answer,
    /// and the number of bytes read of its body. Never logs a header, a body or a host.
    pub(crate) fn request(
        self,
        method: &str,
        path: &str,
        status: Option<u16>,
        bytes: u64,
        started: Instant,
    ) {
        if self.verbose {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let (path, ms) = (value(path), started.elapsed().as_millis());
            write(&format!(
                "level=debug method={method} path={path} status={status} bytes={bytes} ms={ms}"
            ));
        }
    }

    /// Logs an event with those fields that have a value.
    pub fn info(message: &str, fields: &[(&str, Option<&str>)]) {
        let mut line = format!("level=info msg={}", value(message));
        for (key, text) in fields {
            if let Some(text) = text {
                line.extend([" ", key, "=", &value(text)]);
            }
        }
        write(&line);
    }

    /// Answers a person who typed a command: writes one line of plain text instead of logfmt.
    pub fn answer(text: &str) {
        write(&format!("metrics-responder: {}", plain(text)));
    }
}

/// Writes a line, and ignores a failure to do so: a closed standard error must not fail the run.
fn write(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Formats a logfmt value: bare if that is unambiguous, otherwise quoted like a JSON string, which
/// parsers of logfmt understand. No text can begin another line or field.
fn value(text: &str) -> String {
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    // JSON does not escape these control characters.
    let text = text.replace(|c: char| c.is_control() && c > '\u{1f}', "?");
    serde_json::Value::from(text).to_string()
}

/// Replaces control characters, which could move a terminal's cursor or begin another line.
pub(crate) fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_begin_another_line_or_field() {
        for (text, written) in [
            ("accepted", "accepted"),
            ("/api/v1/nodes?limit=5", "\"/api/v1/nodes?limit=5\""),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nlevel=error", "\"a\\nlevel=error\""),
            ("\u{1b}[31m", "\"\\u001b[31m\""),
            ("\u{1f}\u{7f}\u{85}", "\"\\u001f??\""),
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
