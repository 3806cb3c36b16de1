//! The command line of `metrics-responder-manifest`.

use std::path::PathBuf;

use pico_args::Arguments;

use crate::args::{finish, path, text};
use crate::error::Error;

/// The text of `--help`.
pub const HELP: &str = include_str!("help.txt");

#[derive(Debug)]
pub(super) struct Args {
    pub(super) rke2_config: Option<PathBuf>,
    pub(super) image: Option<String>,
    pub(super) output: Option<PathBuf>,
}

impl Args {
    pub(super) fn parse(mut words: Arguments) -> Result<Self, Error> {
        let args = Self {
            rke2_config: path(&mut words, "--rke2-config")?,
            image: text(&mut words, "--image")?,
            output: path(&mut words, "--output")?,
        };
        let printable = |image: &String| image.bytes().all(|b| b.is_ascii_graphic());
        if !args.image.as_ref().is_none_or(printable) {
            return Err(Error::args("--image expects a reference without blanks"));
        }
        finish(words)?;
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_wrong_command_line_is_an_error() {
        for line in [
            "--dry-run",
            "--image=",
            "--image a\u{7f}b",
            "--output",
            "x",
            "manifest",
            "--output a --output b",
        ] {
            let words = line.split(' ').map(Into::into).collect();
            let args = Args::parse(Arguments::from_vec(words));
            assert!(matches!(args, Err(e) if e.kind == ErrorKind::Args), "{line}");
        }
    }
}
