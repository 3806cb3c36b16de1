//! Reads a folder laid out like an API server: the answer to `GET /a/b/c` is in `a/b/c.json`, and
//! the same list as a Table in `a/b/c.table.json`.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Opens the answer to a GET, and prefers a Table if `table` is true. Returns `None` if there is no
/// file.
pub(super) fn open(folder: &Path, path: &str, table: bool) -> io::Result<Option<File>> {
    let resource = path.split('?').next().unwrap_or_default();
    let file = |suffix: &str| {
        let name = format!("{}{suffix}", resource.trim_start_matches('/'));
        match File::open(folder.join(name)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    };
    if table && let Some(table) = file(".table.json")? {
        return Ok(Some(table));
    }
    file(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_does_not_exist_is_missing() {
        for table in [false, true] {
            let found = |folder| open(Path::new(folder), "/version?a=b", table);
            assert!(found("testdata/clusters/rke2-canal-ha").unwrap().is_some());
            assert!(found("src").unwrap().is_none());
            assert!(found("Cargo.toml").is_err());
        }
    }
}
