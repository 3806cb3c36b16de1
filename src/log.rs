//! logfmt on standard error, one event a line. The container runtime adds the time.

use std::fmt;
use std::io::Write;
use std::time::Duration;

/// Where a run says what it does.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Whether every request gets a line of its own.
    pub verbose: bool,
}

impl Log {
    /// One request, for `--verbose`: never a header, a body or a host.
    pub fn request(self, request: &Request<'_>) {
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
        let status = status.map_or_else(|| "none".to_owned(), |s| s.to_string());
        write(format_args!(
            "level=debug method={method} path={} status={status} bytes={bytes} ms={}",
            value(path),
            took.as_millis()
        ));
    }

    /// What became of the run.
    pub fn info(self, message: &str, fields: &[(&str, &str)]) {
        let mut line = format!("level=info msg={}", value(message));
        for (key, text) in fields {
            line.extend([" ", key, "=", &value(text)]);
        }
        write(format_args!("{line}"));
    }

    /// The report that was accepted, as it was posted. It stands bare, without logfmt's quotes and
    /// backslashes, so that the line can be read, compared and cut out: compact JSON has no space.
    pub fn report(self, report: &str) {
        write(format_args!("level=info msg=report report={report}"));
    }
}

/// What `--verbose` tells of one request.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub path: &'a str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Bytes of the answer's body that were read.
    pub bytes: u64,
    /// Time from the request until the answer's body was read.
    pub took: Duration,
}

/// A line that cannot be written is lost: a closed standard error is no reason to fail.
fn write(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A logfmt value: bare where that is unambiguous, else quoted with control characters escaped, so that
/// no text can begin a line or a field of its own.
fn value(text: &str) -> String {
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(c.escape_default()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_its_value() {
        for (text, written) in [
            ("accepted", "accepted"),
            ("/api/v1/nodes?limit=1", "\"/api/v1/nodes?limit=1\""),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nlevel=error", "\"a\\nlevel=error\""),
            ("\u{1b}[31m", "\"\\u{1b}[31m\""),
        ] {
            assert_eq!(value(text), written);
        }
    }
}
