//! The command line: what was typed, each of its type. `config.rs` decides what it means.

use std::ffi::OsString;
use std::path::PathBuf;

use pico_args::Arguments;

use crate::error::Error;
use crate::kube::incluster::SERVICE_ACCOUNT;
use crate::log::Log;

/// The text of `--help`.
pub const HELP: &str = "\
Reports the version, size, CNI and OS of an RKE2 or K3s cluster, once, and exits.

Usage:
  metrics-responder [OPTIONS]   collect and send (what the CronJob runs)

Options:
  --dry-run                 print the report on standard output and send nothing
  --explain                 print the report in prose, with where and when it is sent, and send nothing
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

Environment (over the file, under the flags):
  METRICS_RESPONDER_ENABLED       false sends nothing; so does DO_NOT_TRACK=1
  METRICS_RESPONDER_ENDPOINT      where the report is sent
  METRICS_RESPONDER_ALLOW_HTTP    true allows an endpoint without TLS
  METRICS_RESPONDER_CA_FILE       PEM bundle trusted for the endpoint besides the public roots
  METRICS_RESPONDER_SPREAD        wait before sending, less than this [default: 0s]
  METRICS_RESPONDER_GRACE_PERIOD  a cluster younger than this sends nothing yet [default: 0s]
  METRICS_RESPONDER_TIMEOUT       for reading the cluster, and again for sending [default: 10s]
  HTTPS_PROXY or ALL_PROXY        the proxy, for the endpoint alone
  NO_PROXY                        hosts, addresses and networks reached without it

Exit status:
  0  sent, printed, disabled, too young, or not sent because of others (unreachable, slow, unexpected reply)
  1  the cluster could not be read as installed, or there was nothing to print
  2  wrong flags or configuration
  3  with --strict: not accepted
";

/// One command line.
#[derive(Debug)]
pub(crate) enum Args {
    Help,
    Report(Report),
    Version,
}

/// A run that reads a cluster. With an opt-out set, a run that sends ends before `options` is
/// looked at, so that not even a wrong flag turns an opt-out into a failure.
#[derive(Debug)]
pub(crate) struct Report {
    /// Without one, the report is sent.
    pub(crate) preview: Option<Preview>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) options: Result<Options, Error>,
}

/// Printing the report instead of sending it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Preview {
    /// `--dry-run`
    Bytes,
    /// `--explain`
    Prose,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) strict: bool,
    pub(crate) verbose: bool,
    pub(crate) cluster: Cluster,
    pub(crate) endpoint: Option<String>,
}

/// The cluster to read.
#[derive(Debug, Eq, PartialEq)]
pub enum Cluster {
    /// That of this pod, whose ServiceAccount is mounted here.
    Own(PathBuf),
    /// That of the current context of this kubeconfig.
    Kubeconfig(PathBuf),
    /// The one recorded in this folder.
    Recorded(PathBuf),
}

impl Args {
    /// Reads the arguments without the program's name.
    pub(crate) fn parse(words: Vec<OsString>) -> Self {
        // Flags come before options, since an option takes the next word whatever it is.
        let mut words = Arguments::from_vec(words);
        if words.contains(["-h", "--help"]) {
            return Self::Help;
        }
        if words.contains(["-V", "--version"]) {
            return Self::Version;
        }
        let so_far = match words.subcommand() {
            Ok(None) => Ok(()),
            Ok(Some(word)) => Err(unexpected(&word)),
            Err(error) => Err(wrong(&error)),
        };
        Self::Report(Report::parse(words, so_far))
    }
}

impl Report {
    fn parse(mut words: Arguments, so_far: Result<(), Error>) -> Self {
        // Read by itself, so that it is known whatever else is wrong.
        let preview = match (words.contains("--explain"), words.contains("--dry-run")) {
            (false, false) => Ok(None),
            (false, true) => Ok(Some(Preview::Bytes)),
            (true, false) => Ok(Some(Preview::Prose)),
            (true, true) => Err(Error::Args(
                "--dry-run and --explain exclude each other".to_owned(),
            )),
        };
        let config = path(&mut words, "--config");
        Self {
            preview: *preview.as_ref().unwrap_or(&Some(Preview::Bytes)),
            config: config.as_ref().ok().cloned().flatten(),
            options: so_far
                .and(preview.map(|_| ()))
                .and(config.map(|_| ()))
                .and_then(|()| Options::parse(words)),
        }
    }
}

impl Options {
    pub(crate) fn log(&self) -> Log {
        Log {
            verbose: self.verbose,
        }
    }

    fn parse(mut words: Arguments) -> Result<Self, Error> {
        let options = Self {
            strict: words.contains("--strict"),
            verbose: words.contains(["-v", "--verbose"]),
            cluster: Cluster::parse(&mut words)?,
            endpoint: text(&mut words, "--endpoint")?,
        };
        finish(words)?;
        Ok(options)
    }
}

impl Cluster {
    fn parse(words: &mut Arguments) -> Result<Self, Error> {
        let recorded = path(words, "--recorded")?;
        let kubeconfig = path(words, "--kubeconfig")?;
        let mounted = path(words, "--serviceaccount-dir")?;
        match (recorded, kubeconfig) {
            (None, None) => Ok(Self::Own(mounted.unwrap_or_else(|| SERVICE_ACCOUNT.into()))),
            (None, Some(file)) => Ok(Self::Kubeconfig(file)),
            (Some(folder), None) => Ok(Self::Recorded(folder)),
            (Some(_), Some(_)) => Err(Error::Args(
                "--recorded and --kubeconfig exclude each other".to_owned(),
            )),
        }
    }
}

/// A word that is left over is an error: a misspelt `--dry-run` must not send.
pub(crate) fn finish(words: Arguments) -> Result<(), Error> {
    match words.finish().first() {
        None => Ok(()),
        Some(word) => Err(unexpected(&word.to_string_lossy())),
    }
}

/// An option whose value is not empty.
pub(crate) fn text(words: &mut Arguments, name: &'static str) -> Result<Option<String>, Error> {
    let text: Option<String> = words.opt_value_from_str(name).map_err(|e| wrong(&e))?;
    match text {
        Some(text) if text.is_empty() => Err(Error::Args(format!("{name} expects a value"))),
        text => Ok(text),
    }
}

/// An option that is a path.
pub(crate) fn path(words: &mut Arguments, name: &'static str) -> Result<Option<PathBuf>, Error> {
    text(words, name).map(|path| path.map(PathBuf::from))
}

/// Without a value, which may be a URL with a key in it.
fn unexpected(word: &str) -> Error {
    if word == "manifest" {
        let reason = "the subcommand manifest is now the program metrics-responder-manifest";
        return Error::Args(reason.to_owned());
    }
    let (name, value) = word
        .split_once('=')
        .map_or((word, ""), |(name, _)| (name, "=..."));
    Error::Args(format!(
        "unexpected argument '{}{value}'",
        name.escape_debug()
    ))
}

fn wrong(error: &pico_args::Error) -> Error {
    Error::Args(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(line: &str) -> Report {
        match Args::parse(line.split_whitespace().map(Into::into).collect()) {
            Args::Report(report) => report,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_are_read_in_either_notation() {
        for line in [
            "--dry-run --recorded a --config c --endpoint https://b",
            "--recorded=a --endpoint=https://b --config=c --dry-run",
        ] {
            let report = report(line);
            assert_eq!(report.preview, Some(Preview::Bytes));
            assert_eq!(report.config, Some("c".into()));
            let options = report.options.unwrap();
            assert!(!options.strict && !options.verbose);
            assert_eq!(options.cluster, Cluster::Recorded("a".into()));
            assert_eq!(options.endpoint.as_deref(), Some("https://b"));
        }
        let options = report("--strict -v --kubeconfig k").options.unwrap();
        assert!(options.strict && options.verbose);
        assert_eq!(options.cluster, Cluster::Kubeconfig("k".into()));
        let options = report("--serviceaccount-dir s").options.unwrap();
        assert_eq!(options.cluster, Cluster::Own("s".into()));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "--dryrun",
            "record",
            "send",
            "manifest",
            "--image x",
            "-x",
            "--recorded",
            "--config=",
            "--config a --config b",
            "--",
            "-- --dry-run",
            "--dry-run=yes",
            "--dry-run --explain",
            "--recorded a --kubeconfig b",
        ] {
            assert!(
                matches!(report(line).options, Err(Error::Args(_))),
                "{line}"
            );
        }
    }

    /// A drop-in of an earlier version would otherwise fail without a hint.
    #[test]
    fn the_former_subcommand_names_the_new_program() {
        for line in ["manifest", "manifest --output m.yaml", "-v manifest"] {
            let error = report(line).options.unwrap_err().to_string();
            assert!(
                error.contains("metrics-responder-manifest"),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn an_option_has_a_value() {
        for name in ["--config", "--endpoint", "--recorded"] {
            let words = vec!["--dry-run".into(), name.into(), "".into()];
            let Args::Report(report) = Args::parse(words) else {
                panic!("{name}");
            };
            let error = report.options.unwrap_err().to_string();
            assert_eq!(error, format!("{name} expects a value; see --help"));
        }
    }

    #[test]
    fn a_run_that_would_send_is_known_as_one_whatever_else_is_wrong() {
        for (line, preview, config) in [
            ("--dryrun --config c", None, Some("c")),
            ("send --config c", None, Some("c")),
            ("--config c --config d", None, Some("c")),
            ("--config", None, None),
            ("--dry-run --explain", Some(Preview::Bytes), None),
            ("--dry-run --x", Some(Preview::Bytes), None),
            ("--explain --x", Some(Preview::Prose), None),
        ] {
            let report = report(line);
            assert!(report.options.is_err(), "{line}");
            assert_eq!(
                (report.preview, report.config),
                (preview, config.map(Into::into)),
                "{line}"
            );
        }
    }

    #[test]
    fn help_names_the_same_defaults_as_the_program() {
        for default in [
            SERVICE_ACCOUNT,
            crate::config::file::DEFAULT_FILE,
            crate::config::DEFAULT_ENDPOINT,
        ] {
            assert!(HELP.contains(default), "{default}");
        }
    }
}
