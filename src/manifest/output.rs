//! A file that is written whole or not at all.
//!
//! RKE2 applies whatever is in its manifests folder: an empty or half a manifest would delete every
//! object. So the new content is written to a file beside the old one and takes its place by a
//! rename. RKE2 passes over the file beside it, whose name begins with a dot and does not end in
//! `.yaml`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Writes the file, for its owner alone, and missing folders above it. Returns whether it was
/// necessary: a file with the same content is left as it is. On an error, the old file is.
pub(crate) fn write(path: &Path, content: &str) -> Result<bool, Error> {
    let Some(name) = path.file_name() else {
        return Err(Error::args(format!(
            "--output expects a file, not {}",
            path.display()
        )));
    };
    // Also at the end of a link, as /dev/stdout is one; which leads to a file where it is redirected.
    let is_device = path.starts_with("/dev") && path.is_symlink();
    if is_device || fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let reason = io::Error::other("is not a file");
        return Err(Error::write(path.display(), reason));
    }
    if is_written(path, content) {
        return Ok(false);
    }
    // The parent of a bare name is the empty path.
    let folder = path.parent().filter(|folder| folder != &Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(folder)
        .map_err(|e| Error::write(folder.display(), e))?;
    let beside = Beside::create(folder, &name.to_string_lossy())
        .map_err(|e| Error::write(folder.display(), e))?;
    beside
        .replace(path, content)
        .map_err(|e| Error::write(path.display(), e))?;
    // The rename outlives a power failure only once the folder is written. The file is whole either
    // way.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(true)
}

/// A link is replaced by a file, even if it leads to the same content: RKE2 opens manifests for
/// writing.
fn is_written(path: &Path, content: &str) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file && fs::read(path).is_ok_and(|found| found == content.as_bytes())
}

/// A new file beside the one to be written, deleted unless it has taken its place.
struct Beside {
    path: PathBuf,
    file: File,
}

impl Beside {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let process = std::process::id();
        for attempt in 0..u8::MAX {
            let path = folder.join(format!(".{name}.{process}-{attempt}"));
            match options.open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                // Left behind by an earlier process of this number.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn replace(mut self, path: &Path, content: &str) -> io::Result<()> {
        self.file.write_all(content.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.path, path)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After the rename there is nothing left to delete.
        let _ = fs::remove_file(&self.path);
    }
}
