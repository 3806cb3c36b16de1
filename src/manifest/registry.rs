//! The private registry that images come from.

use std::net::Ipv6Addr;

use serde_yaml::Value;

use crate::config::endpoint::is_port;

/// `host[:port][/path]`, without a scheme; empty is none.
pub(super) fn parse(value: &Value) -> Result<Option<String>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    match value.as_str() {
        Some("") => Ok(None),
        Some(text) if is_registry(text) => Ok(Some(text.to_owned())),
        _ => Err("a registry is expected, written host[:port][/path]"),
    }
}

/// By the rule of image references.
fn is_registry(text: &str) -> bool {
    let (address, path) = text
        .split_once('/')
        .map_or((text, None), |(a, path)| (a, Some(path)));
    let bracketed = address
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    let (is_host, rest) = if let Some((host, rest)) = bracketed {
        (host.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (host, rest) = address.split_at(address.find(':').unwrap_or(address.len()));
        (host.split('.').all(is_label), rest)
    };
    is_host
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        && path.is_none_or(|path| path.split('/').all(is_segment))
}

fn is_segment(text: &str) -> bool {
    let between = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_separator = |c: &str| matches!(c, "" | "." | "_" | "__") || c.bytes().all(|b| b == b'-');
    !text.is_empty()
        && text == text.trim_matches(between)
        && text.split(|c| !between(c)).all(is_separator)
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
