//! Serves a recording as a real API server would, with token, Table and 404.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::server::{Connection, Request, Server};

pub const TOKEN: &str = "acme-canary-token.abc_DEF-123";

/// The result of a function with which a test may answer a request.
pub enum Handled {
    /// The function has answered.
    Yes,
    /// The request is to be answered as usual.
    No,
    /// The function has answered, and the connection is to be closed.
    Closed,
}

/// Serves the recording.
pub fn serve(tls: Arc<ServerConfig>, recording: &Path) -> Server {
    serve_with(tls, recording, |_, _| Ok(Handled::No))
}

/// Serves the recording, except for the requests that `fault` handles.
pub fn serve_with(
    tls: Arc<ServerConfig>,
    recording: &Path,
    fault: impl Fn(&Request, &mut Connection) -> io::Result<Handled> + Send + Sync + 'static,
) -> Server {
    let recording = recording.to_owned();
    Server::start(Some(tls), move |connection| {
        while let Some(request) = connection.request()? {
            match fault(&request, connection)? {
                Handled::Closed => break,
                Handled::Yes => {}
                Handled::No => {
                    let (status, body) = respond(&recording, &request);
                    connection.reply(status, &body)?;
                }
            }
        }
        Ok(())
    })
}

pub fn respond(recording: &Path, request: &Request) -> (u16, String) {
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return refusal(401);
    }
    read(recording, request)
}

/// Answers like [`respond`], but needs no token.
pub fn read(recording: &Path, request: &Request) -> (u16, String) {
    let path = request.target.split('?').next().unwrap();
    let file = |suffix: &str| -> PathBuf { recording.join(format!("{}{suffix}", &path[1..])) };
    let accept = request.header("accept").unwrap_or_default();
    if accept.contains("as=Table")
        && let Ok(table) = fs::read_to_string(file(".table.json"))
    {
        return (200, table);
    }
    match fs::read_to_string(file(".json")) {
        Ok(object) => (200, object),
        Err(_) => refusal(404),
    }
}

/// Returns the body that a real API server sends with this status.
pub fn refusal(status: u16) -> (u16, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/errors");
    let text = fs::read_to_string(folder.join(format!("{status}.txt"))).unwrap_or_default();
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    (status, body.to_owned())
}
