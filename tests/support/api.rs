//! An API server that serves a recording, as the real one would: token, Table, 404 and all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::server::{Connection, Request, Server};

pub const TOKEN: &str = "acme-canary-token.abc_DEF-123";

/// What became of a request that a test may answer in its own way.
pub enum Handled {
    Yes,
    /// It is answered as usual.
    No,
    /// And the connection is to be closed.
    Closed,
}

/// Serves the recording.
pub fn serve(tls: Arc<ServerConfig>, recording: &Path) -> Server {
    serve_with(tls, recording, |_, _| Ok(Handled::No))
}

/// Serves the recording, but for the requests that `fault` handles.
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

/// The same for a client that needs no token.
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

/// What a real API server says with this status.
pub fn refusal(status: u16) -> (u16, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/errors");
    let text = fs::read_to_string(folder.join(format!("{status}.txt"))).unwrap_or_default();
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    (status, body.to_owned())
}
