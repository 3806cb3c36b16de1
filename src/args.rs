//! The command line: what was typed, with its types. What it means is for `config.rs` to say.

use std::ffi::OsString;
use std::path::PathBuf;

use pico_args::Arguments;

use crate::error::Error;
use crate::kube::incluster::SERVICE_ACCOUNT;

/// The text of `--help`.
pub const HELP: &str = "\
Reports the version, size, CNI and OS of an RKE2 or K3s cluster, once, and exits.

Usage:
  metrics-responder [OPTIONS]            collect and send (what the CronJob runs)
  metrics-responder manifest [OPTIONS]   print the manifest for this RKE2 or K3s configuration
  metrics-responder record DIR [OPTIONS] save a cluster as a recording without names, for tests

Options:
  --dry-run                 print the report on standard output and send nothing
  --explain                 print the report for people, with what becomes of it, and send nothing
  --recorded DIR            read a recorded API instead of a cluster
  --kubeconfig FILE         read a cluster from outside it
  --serviceaccount-dir DIR  where the ServiceAccount is mounted
                            [default: /var/run/secrets/kubernetes.io/serviceaccount]
  --config FILE             [default: /etc/metrics-responder/config.yaml, which may be absent]
  --endpoint URL            where the report is sent
                            [default: https://metrics-responder.rke2.io/v1/checkupgrade]
  --strict                  exit 3 when the report was not accepted
  -v, --verbose             one line per request: method, path, status, bytes, milliseconds
  -h, --help                print this and exit
  -V, --version             print the version and exit

Options of record: --recorded, --kubeconfig, --serviceaccount-dir and --verbose, as above

Options of manifest:
  --rke2-config FILE        [default: /etc/rancher/rke2/config.yaml, or K3s' where only that exists]
  --image REF               the image to run [default: the release's own, out of system-default-registry]

Environment (over the file, under the flags):
  METRICS_RESPONDER_ENABLED     false sends nothing; so does DO_NOT_TRACK=1
  METRICS_RESPONDER_ENDPOINT    where the report is sent
  METRICS_RESPONDER_ALLOW_HTTP  true allows an endpoint without TLS
  METRICS_RESPONDER_CA_FILE     PEM bundle trusted for the endpoint besides the public roots
  METRICS_RESPONDER_SPREAD      wait before sending, less than this [default: 0s]
  METRICS_RESPONDER_TIMEOUT     for reading the cluster, and again for sending [default: 10s]
  HTTPS_PROXY, NO_PROXY         for the endpoint alone

Exit status:
  0  sent, disabled, or not sent for a reason outside (unreachable, slow, unexpected reply)
  1  the cluster could not be read as installed
  2  wrong flags or configuration
  3  with --strict: not accepted
";

/// One command line.
#[derive(Debug)]
pub enum Args {
    /// `--help`
    Help,
    /// Print the manifest.
    Manifest(Manifest),
    /// Save a recording.
    Record(Record),
    /// Collect and send.
    Report(Report),
    /// `--version`
    Version,
}

/// The options of collecting and sending.
#[derive(Debug)]
pub struct Report {
    /// `--dry-run`, `--explain` or neither.
    pub action: Action,
    /// `--strict`
    pub strict: bool,
    /// `--verbose`
    pub verbose: bool,
    /// The cluster to read.
    pub source: Source,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--endpoint`
    pub endpoint: Option<String>,
}

/// What is done with the report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Print it for people.
    Explain,
    /// Print its bytes.
    Print,
    /// Send it.
    Send,
}

/// Which cluster is read; with neither of the first two, that of this pod.
#[derive(Debug)]
pub struct Source {
    /// `--recorded`
    pub recorded: Option<PathBuf>,
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--serviceaccount-dir`
    pub serviceaccount_dir: PathBuf,
}

/// The folder and the options of `record`.
#[derive(Debug)]
pub struct Record {
    /// Where to write.
    pub folder: PathBuf,
    /// `--verbose`
    pub verbose: bool,
    /// The cluster to read.
    pub source: Source,
}

/// The options of `manifest`.
#[derive(Debug)]
pub struct Manifest {
    /// `--rke2-config`
    pub rke2_config: Option<PathBuf>,
    /// `--image`
    pub image: Option<String>,
}

impl Args {
    /// Reads the arguments after the program's name.
    pub fn parse(arguments: Vec<OsString>) -> Result<Self, Error> {
        // Flags come before options, since an option takes the next word whatever it is.
        let mut arguments = Arguments::from_vec(arguments);
        if arguments.contains(["-h", "--help"]) {
            return Ok(Self::Help);
        }
        if arguments.contains(["-V", "--version"]) {
            return Ok(Self::Version);
        }
        let args = match arguments.subcommand().map_err(|e| wrong(&e))?.as_deref() {
            None => Self::Report(Report::parse(&mut arguments)?),
            Some("manifest") => Self::Manifest(Manifest::parse(&mut arguments)?),
            Some("record") => Self::Record(Record::parse(&mut arguments)?),
            Some(word) => return Err(unexpected(word)),
        };
        // A misspelt `--dry-run` must not send.
        match arguments.finish().first() {
            None => Ok(args),
            Some(word) => Err(unexpected(&word.to_string_lossy())),
        }
    }
}

impl Report {
    fn parse(arguments: &mut Arguments) -> Result<Self, Error> {
        Ok(Self {
            action: Action::parse(arguments),
            strict: arguments.contains("--strict"),
            verbose: arguments.contains(["-v", "--verbose"]),
            source: Source::parse(arguments)?,
            config: path(arguments, "--config")?,
            endpoint: text(arguments, "--endpoint")?,
        })
    }
}

impl Action {
    fn parse(arguments: &mut Arguments) -> Self {
        match (
            arguments.contains("--explain"),
            arguments.contains("--dry-run"),
        ) {
            (true, _) => Self::Explain,
            (false, true) => Self::Print,
            (false, false) => Self::Send,
        }
    }
}

impl Source {
    fn parse(arguments: &mut Arguments) -> Result<Self, Error> {
        let mounted = path(arguments, "--serviceaccount-dir")?;
        Ok(Self {
            recorded: path(arguments, "--recorded")?,
            kubeconfig: path(arguments, "--kubeconfig")?,
            serviceaccount_dir: mounted.unwrap_or_else(|| SERVICE_ACCOUNT.into()),
        })
    }
}

impl Record {
    fn parse(arguments: &mut Arguments) -> Result<Self, Error> {
        let verbose = arguments.contains(["-v", "--verbose"]);
        let source = Source::parse(arguments)?;
        let folder: Result<String, _> = arguments.free_from_str();
        let folder = folder.map_err(|_| Error::Args("record expects a folder".to_owned()))?;
        if folder.starts_with('-') {
            return Err(unexpected(&folder));
        }
        Ok(Self {
            folder: folder.into(),
            verbose,
            source,
        })
    }
}

impl Manifest {
    fn parse(arguments: &mut Arguments) -> Result<Self, Error> {
        let image = text(arguments, "--image")?;
        if image
            .as_ref()
            .is_some_and(|image| !image.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(Error::Args(
                "--image expects a reference without blanks".to_owned(),
            ));
        }
        Ok(Self {
            rke2_config: path(arguments, "--rke2-config")?,
            image,
        })
    }
}

/// An option whose value is not empty.
fn text(arguments: &mut Arguments, name: &'static str) -> Result<Option<String>, Error> {
    let text: Option<String> = arguments.opt_value_from_str(name).map_err(|e| wrong(&e))?;
    match text {
        Some(text) if text.is_empty() => Err(Error::Args(format!("{name} expects a value"))),
        text => Ok(text),
    }
}

fn path(arguments: &mut Arguments, name: &'static str) -> Result<Option<PathBuf>, Error> {
    text(arguments, name).map(|path| path.map(PathBuf::from))
}

fn unexpected(word: &str) -> Error {
    Error::Args(format!("unexpected argument {word:?}"))
}

fn wrong(error: &pico_args::Error) -> Error {
    Error::Args(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Error> {
        Args::parse(line.split_whitespace().map(Into::into).collect())
    }

    #[test]
    fn options_are_read_in_either_notation() {
        for line in [
            "--dry-run --recorded a --endpoint https://b",
            "--recorded=a --endpoint=https://b --dry-run",
        ] {
            let Ok(Args::Report(report)) = parse(line) else {
                panic!("{line}");
            };
            assert!(report.action == Action::Print && !report.strict && !report.verbose);
            assert_eq!(report.source.recorded, Some("a".into()));
            assert_eq!(report.endpoint.as_deref(), Some("https://b"));
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "--dryrun",
            "record",
            "record a b",
            "record --dry-run",
            "send",
            "manifest --dry-run",
            "--image x",
            "manifest --image=",
            "-x",
            "--recorded",
            "--config=",
            "--config a --config b",
            "--",
            "-- --dry-run",
            "--dry-run=yes",
        ] {
            assert!(matches!(parse(line), Err(Error::Args(_))), "{line}");
        }
    }

    #[test]
    fn help_names_the_same_defaults_as_the_program() {
        for default in [
            SERVICE_ACCOUNT,
            crate::config::DEFAULT_FILE,
            crate::config::DEFAULT_ENDPOINT,
        ] {
            assert!(HELP.contains(default), "{default}");
        }
    }
}
