//! Receives reports as upgrade-responder does, without a database. It is stricter: it refuses a
//! report if the real one would silently drop any part of it.
//!
//! Usage: `receiver [ADDRESS:PORT]`. Prints each accepted report on a line of its own, in compact
//! form.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../support/server.rs"]
#[allow(dead_code, missing_docs, reason = "tests use the rest of it")]
mod server;

use std::io::Write;
use std::net::TcpListener;

use serde_json::{Map, Value};
use server::{ACCEPTED, Connection, Request, Server};

/// The schema with which a real upgrade-responder is started.
const SCHEMA: &str = include_str!("../../deploy/receiver/request-schema.json");

#[allow(dead_code, reason = "the example `demo` calls `receive` itself")]
fn main() {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("0.0.0.0:8314");
    let listener = TcpListener::bind(address).expect("address to listen on");
    eprintln!("listening on {}", listener.local_addr().unwrap());
    receive(listener, |report| writeln!(std::io::stdout(), "{report}"));
    loop {
        std::thread::park();
    }
}

/// Serves until the process ends, and passes each accepted report to `store`.
pub(crate) fn receive(
    listener: TcpListener,
    store: impl Fn(Value) -> std::io::Result<()> + Send + Sync + 'static,
) {
    let schema: Value = serde_json::from_str(SCHEMA).expect("schema");
    Server::on(listener, None, move |connection| serve(&schema, connection, &store));
}

fn serve(
    schema: &Value,
    connection: &mut Connection,
    store: impl Fn(Value) -> std::io::Result<()>,
) -> std::io::Result<()> {
    while let Some(request) = connection.request()? {
        match answer(schema, &request) {
            Ok(Some(report)) => {
                store(report)?;
                connection.reply(200, ACCEPTED)?;
            }
            Ok(None) => connection.reply(200, "{}")?,
            Err((status, reason)) => {
                eprintln!("refused with {status}: {reason}");
                connection.reply(status, &reason)?;
            }
        }
    }
    Ok(())
}

/// Returns the report to store, `None` for a health check, or the refusal.
fn answer(schema: &Value, request: &Request) -> Result<Option<Value>, (u16, String)> {
    match (&*request.method, &*request.target) {
        ("GET", "/v1/healthcheck") => Ok(None),
        ("POST", "/v1/checkupgrade") => {
            let report = serde_json::from_slice(&request.body).map_err(|e| (400, e.to_string()))?;
            check(schema, &report)?;
            Ok(Some(report))
        }
        (_, "/v1/checkupgrade" | "/v1/healthcheck") => Err((405, "method not allowed".into())),
        (_, "/v1/checkupgrade/") => Err((301, "redirect to /v1/checkupgrade".into())),
        _ => Err((404, "page not found".into())),
    }
}

fn check(schema: &Value, report: &Value) -> Result<(), (u16, String)> {
    let empty = Map::new();
    let report = report.as_object().ok_or((400, "not an object".to_owned()))?;
    for (key, value) in report {
        match (&**key, value) {
            ("appVersion", Value::String(_)) => fits(key, &schema["appVersionSchema"], value)?,
            ("extraTagInfo", Value::Object(tags)) => {
                // upgrade-responder reads a Go map of strings: a single number fails the whole
                // report.
                if let Some((tag, _)) = tags.iter().find(|(_, v)| !v.is_string()) {
                    return Err((400, format!("{tag}: cannot unmarshal into string")));
                }
                known(tags, schema["extraTagInfoSchema"].as_object().unwrap_or(&empty))?;
            }
            ("extraFieldInfo", Value::Object(fields)) => {
                known(fields, schema["extraFieldInfoSchema"].as_object().unwrap_or(&empty))?;
            }
            _ => return Err((400, format!("{key}: unknown, or of the wrong type"))),
        }
    }
    Ok(())
}

fn known(values: &Map<String, Value>, schema: &Map<String, Value>) -> Result<(), (u16, String)> {
    for (key, value) in values {
        let schema = schema.get(key);
        fits(
            key,
            schema.ok_or((422, format!("{key}: would be dropped, not in the schema")))?,
            value,
        )?;
    }
    Ok(())
}

/// Refuses a value that upgrade-responder would drop while it answers 200.
fn fits(key: &str, schema: &Value, value: &Value) -> Result<(), (u16, String)> {
    let longest = schema["maxLen"].as_u64().unwrap_or(200);
    let fits = match schema["dataType"].as_str() {
        Some("string") => value.as_str().is_some_and(|text| text.len() as u64 <= longest),
        Some("float") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => false,
    };
    fits.then_some(())
        .ok_or_else(|| (422, format!("{key}: would be dropped, does not fit the schema")))
}
