//! A receiver for `just smoke`: upgrade-responder's wire contract without a database behind it. It
//! is stricter in one way: a report of which the real one would silently drop anything is refused.
//!
//! Usage: `receiver [ADDRESS:PORT]`. Prints each report that is stored, compact, on a line of its
//! own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../support/server.rs"]
#[allow(dead_code, missing_docs, reason = "tests use the rest of it")]
mod server;

use std::io::Write;
use std::net::TcpListener;

use serde_json::{Map, Value};
use server::{ACCEPTED, Connection, Request, Server};

/// The schema that a real upgrade-responder is started with.
const SCHEMA: &str = include_str!("../../deploy/receiver/request-schema.json");

fn main() {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("0.0.0.0:8314");
    let listener = TcpListener::bind(address).expect("address to listen on");
    eprintln!("listening on {}", listener.local_addr().unwrap());
    let schema: Value = serde_json::from_str(SCHEMA).expect("schema");
    Server::on(listener, None, move |connection| serve(&schema, connection));
    loop {
        std::thread::park();
    }
}

fn serve(schema: &Value, connection: &mut Connection) -> std::io::Result<()> {
    while let Some(request) = connection.request()? {
        match answer(schema, &request) {
            Ok(Some(report)) => {
                writeln!(std::io::stdout(), "{report}")?;
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

/// The report to store, nothing for a health check, or the refusal.
fn answer(schema: &Value, request: &Request) -> Result<Option<String>, (u16, String)> {
    match (&*request.method, &*request.target) {
        ("GET", "/v1/healthcheck") => Ok(None),
        ("POST", "/v1/checkupgrade") => {
            let report: Value =
                serde_json::from_slice(&request.body).map_err(|e| (400, e.to_string()))?;
            check(schema, &report)?;
            Ok(Some(report.to_string()))
        }
        (_, "/v1/checkupgrade" | "/v1/healthcheck") => Err((405, "method not allowed".into())),
        (_, "/v1/checkupgrade/") => Err((301, "redirect to /v1/checkupgrade".into())),
        _ => Err((404, "page not found".into())),
    }
}

fn check(schema: &Value, report: &Value) -> Result<(), (u16, String)> {
    let empty = Map::new();
    let report = report
        .as_object()
        .ok_or((400, "not an object".to_owned()))?;
    for (key, value) in report {
        match (&**key, value) {
            ("appVersion", Value::String(_)) => fits(key, &schema["appVersionSchema"], value)?,
            ("extraTagInfo", Value::Object(tags)) => {
                // A Go map of strings: one number in it fails the whole report.
                if let Some((tag, _)) = tags.iter().find(|(_, v)| !v.is_string()) {
                    return Err((400, format!("{tag}: cannot unmarshal into string")));
                }
                known(
                    tags,
                    schema["extraTagInfoSchema"].as_object().unwrap_or(&empty),
                )?;
            }
            ("extraFieldInfo", Value::Object(fields)) => {
                known(
                    fields,
                    schema["extraFieldInfoSchema"].as_object().unwrap_or(&empty),
                )?;
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

/// What does not fit would be dropped without a word, the reply being 200 all the same.
fn fits(key: &str, schema: &Value, value: &Value) -> Result<(), (u16, String)> {
    let longest = schema["maxLen"].as_u64().unwrap_or(200);
    let fits = match schema["dataType"].as_str() {
        Some("string") => value
            .as_str()
            .is_some_and(|text| text.len() as u64 <= longest),
        Some("float") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => false,
    };
    fits.then_some(()).ok_or_else(|| {
        (
            422,
            format!("{key}: would be dropped, does not fit the schema"),
        )
    })
}
