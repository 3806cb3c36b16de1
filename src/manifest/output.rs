//! Writes a file completely or not at all.
//!
//! RKE2 applies whatever is in its manifests folder: an empty or truncated manifest would delete
//! every object. So the new content is written to a temporary file in the same folder, which is
//! then renamed. RKE2 ignores the temporary file, whose name begins with a dot and does not end in
//! `.yaml`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Writes the file and any missing parent folders, readable by the owner only. Returns false if the
/// file already has this content. On an error, the old file stays as it is.
pub(crate) fn write(path: &Path, content: &str) -> Result<bool, Error> {
    let Some(name) = path.file_name() else {
        return Err(Error::args(format!("--output expects a file, not {}", path.display())));
    };
    // Never replace anything that is not a regular file, even through a symlink. /dev/stdout is
    // one, and leads to a regular file if it is redirected.
    let is_device = path.starts_with("/dev") && path.is_symlink();
    if is_device || fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::write(path.display(), "is not a file"));
    }
    if is_written(path, content) {
        return Ok(false);
    }
    // The parent of a bare name is the empty path.
    let folder = path.parent().filter(|folder| folder != &Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let fault = |e| Error::write(folder.display(), e);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    let temporary = Temporary::create(folder, &name.to_string_lossy()).map_err(fault)?;
    temporary.replace(path, content).map_err(|e| Error::write(path.display(), e))?;
    // The rename survives a power failure only after the folder is synced. The file is complete in
    // either case.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(true)
}

/// Returns true only for a regular file. A symlink is replaced even if it leads to the same
/// content, because RKE2 opens its manifests for writing.
fn is_written(path: &Path, content: &str) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file && fs::read(path).is_ok_and(|found| found == content.as_bytes())
}

/// A temporary file in the same folder, deleted unless it has replaced the old file.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let process = std::process::id();
        for attempt in 0..u8::MAX {
            let path = folder.join(format!(".{name}.{process}-{attempt}"));
            match options.open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                // Left by an earlier process with the same id.
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

impl Drop for Temporary {
    fn drop(&mut self) {
        // This fails after the rename, when there is nothing left to delete.
        let _ = fs::remove_file(&self.path);
    }
}
