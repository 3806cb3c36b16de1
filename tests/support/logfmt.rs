//! Reads logfmt strictly, by the grammar of Go's go-logfmt, which Loki uses: a bare value has
//! neither quotes nor an equals sign, and a quoted one is a JSON string. Answers to a person are
//! plain text.

/// The beginning of an answer to a person.
pub const ANSWER: &str = "metrics-responder: ";

/// Returns the keys and values of a line, or none for an answer to a person. The error has the byte
/// at which the line is not logfmt.
pub fn parse(line: &str) -> Result<Vec<(String, String)>, String> {
    if line.starts_with(ANSWER) {
        let control = line.find(char::is_control);
        return control.map_or(Ok(Vec::new()), |at| Err(format!("control character at byte {at}")));
    }
    let mut pairs = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let at = line.len() - rest.len();
        let fault = |what: &str| format!("{what} at byte {at}: {line}");
        let end = rest.find(['=', ' ', '"']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if key.is_empty() || !key.bytes().all(|b| b > b' ') {
            return Err(fault("no key"));
        }
        let Some(after) = after.strip_prefix('=') else {
            return Err(fault("a key without a value"));
        };
        let length = if after.starts_with('"') {
            quoted(after).ok_or_else(|| fault("an open quote"))?
        } else {
            after.find(' ').unwrap_or(after.len())
        };
        let (value, after) = after.split_at(length);
        let value = if value.starts_with('"') {
            serde_json::from_str(value).map_err(|e| fault(&e.to_string()))?
        } else if value.contains(['=', '"']) || value.is_empty() {
            return Err(fault("a bare value that should be quoted"));
        } else {
            value.to_owned()
        };
        pairs.push((key.to_owned(), value));
        rest = match after.strip_prefix(' ') {
            Some(next) if !next.is_empty() => next,
            None if after.is_empty() => after,
            _ => return Err(fault("no blank between pairs")),
        };
    }
    Ok(pairs)
}

/// Returns the length of a string with its quotes.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}
