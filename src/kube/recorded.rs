//! A folder that stands for an API server: `GET /a/b/c` is `a/b/c.json`, `a/b/c.table.json` is the
//! same list as a Table, and what is not there is a 404.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::Answer;
use crate::error::Error;

/// Answers a GET out of the folder. A Table comes first where the caller can read one.
pub(super) fn open(folder: &Path, path: &str, table: bool) -> Result<Answer, Error> {
    let resource = path.split('?').next().unwrap_or_default();
    let file = |suffix: &str| folder.join(format!("{}{suffix}", resource.trim_start_matches('/')));
    let found = match table.then(|| File::open(file(".table.json"))) {
        Some(Ok(found)) => Ok(found),
        _ => File::open(file(".json")),
    };
    match found {
        Ok(found) => Ok(answer(200, found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(answer(404, io::empty())),
        Err(e) => Err(Error::Answer {
            path: path.to_owned(),
            reason: format!("the recording cannot be read: {e}"),
        }),
    }
}

fn answer(status: u16, body: impl Read + 'static) -> Answer {
    Answer {
        status,
        body: Box::new(body),
    }
}
