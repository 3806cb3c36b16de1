//! Parses the command line into typed values. `config.rs` decides their meaning.

use std::ffi::OsString;
use std::path::PathBuf;

use pico_args::Arguments;

use crate::cluster::{Cluster, Kubeconfig};
use crate::config::env::Env;
use crate::error::Error;
use crate::kube::incluster::{self, SERVICE_ACCOUNT};
use crate::log::Log;

/// The text of `--help`.
pub const HELP: &str = include_str!("args/help.txt");

/// A parsed command line.
#[derive(Debug)]
pub(crate) enum Args {
    Help,
    Report(Report),
    Version,
}

/// A run that reads a cluster. A sending run looks for an opt-out before it looks at `options`, so
/// that a wrong flag cannot turn an opt-out into a failure.
#[derive(Debug)]
pub(crate) struct Report {
    /// The kind of preview; `None` if the report is to be sent.
    pub(crate) preview: Option<Preview>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) options: Result<Options, Error>,
}

/// The ways to print the report instead of sending it.
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

impl Args {
    /// Parses the arguments, which do not include the program's name.
    pub(crate) fn parse(words: Vec<OsString>, env: &Env) -> Self {
        // Read flags before options, since an option takes any next word as its value.
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
            Err(error) => Err(Error::args(error)),
        };
        Self::Report(Report::parse(words, so_far, env))
    }
}

impl Report {
    fn parse(mut words: Arguments, so_far: Result<(), Error>, env: &Env) -> Self {
        // Parse the preview separately, so that it is known even if other flags are wrong.
        let preview = match (words.contains("--explain"), words.contains("--dry-run")) {
            (false, false) => Ok(None),
            (false, true) => Ok(Some(Preview::Bytes)),
            (true, false) => Ok(Some(Preview::Prose)),
            (true, true) => Err(Error::args("--dry-run and --explain cannot be combined")),
        };
        let config = path(&mut words, "--config");
        Self {
            preview: *preview.as_ref().unwrap_or(&Some(Preview::Bytes)),
            config: config.as_ref().ok().cloned().flatten(),
            options: so_far
                .and(config.map(|_| ()))
                .and(preview)
                .and_then(|preview| Options::parse(words, preview.map(|_| env))),
        }
    }
}

impl Options {
    pub(crate) fn log(&self) -> Log {
        Log { verbose: self.verbose }
    }

    /// Parses the remaining arguments. `env` may name the kubeconfig of a preview.
    fn parse(mut words: Arguments, env: Option<&Env>) -> Result<Self, Error> {
        let options = Self {
            strict: words.contains("--strict"),
            verbose: words.contains(["-v", "--verbose"]),
            cluster: cluster(&mut words, env)?,
            endpoint: text(&mut words, "--endpoint")?,
        };
        finish(words)?;
        Ok(options)
    }
}

fn cluster(words: &mut Arguments, env: Option<&Env>) -> Result<Cluster, Error> {
    let recorded = path(words, "--recorded")?;
    let kubeconfig = path(words, "--kubeconfig")?.map(|file| ("--kubeconfig", file));
    let mounted = path(words, "--serviceaccount-dir")?;
    let context = text(words, "--context")?;
    let kubeconfig = match (&kubeconfig, env) {
        (None, Some(env)) if recorded.is_none() && mounted.is_none() => kubeconfig_of(env)?,
        _ => kubeconfig,
    };
    match (recorded, kubeconfig) {
        (Some(_), Some(_)) => Err(Error::args("--recorded and --kubeconfig cannot be combined")),
        (None, Some((origin, file))) => {
            Ok(Cluster::Kubeconfig(Kubeconfig { origin, file, context }))
        }
        _ if context.is_some() => Err(Error::args("--context needs a kubeconfig")),
        (Some(folder), None) => Ok(Cluster::Recorded(folder)),
        (None, None) => Ok(Cluster::Own(mounted.unwrap_or_else(|| SERVICE_ACCOUNT.into()))),
    }
}

/// Returns the file that KUBECONFIG names, unless the program runs in a pod.
fn kubeconfig_of(env: &Env) -> Result<Option<(&'static str, PathBuf)>, Error> {
    let list = env.raw("KUBECONFIG").unwrap_or_default();
    let mut files = std::env::split_paths(&list).filter(|file| !file.as_os_str().is_empty());
    match (files.next(), files.next()) {
        (Some(file), None) if env.raw(incluster::HOST).is_none() => Ok(Some(("KUBECONFIG", file))),
        (Some(_), Some(_)) if env.raw(incluster::HOST).is_none() => Err(Error::args(
            "KUBECONFIG lists several files: choose one with --kubeconfig, or merge them with \
             kubectl config view --raw --minify --flatten",
        )),
        _ => Ok(None),
    }
}

/// Refuses any argument that is left over: a misspelt `--dry-run` must not send a report.
pub(crate) fn finish(words: Arguments) -> Result<(), Error> {
    words.finish().first().map_or(Ok(()), |word| Err(unexpected(&word.to_string_lossy())))
}

/// Reads an option. An empty value is an error.
pub(crate) fn text(words: &mut Arguments, name: &'static str) -> Result<Option<String>, Error> {
    let text: Option<String> = words.opt_value_from_str(name).map_err(Error::args)?;
    match text {
        Some(text) if text.is_empty() => Err(Error::args(format!("{name} expects a value"))),
        text => Ok(text),
    }
}

/// Reads an option whose value is a path.
pub(crate) fn path(words: &mut Arguments, name: &'static str) -> Result<Option<PathBuf>, Error> {
    text(words, name)?.map(|path| local(name, path)).transpose()
}

/// Takes the path of an option or variable. Does not quote a URL, which may contain a password.
pub(crate) fn local(name: &str, path: String) -> Result<PathBuf, Error> {
    if path.contains("://") {
        return Err(Error::args(format!("{name} expects a path, not a URL")));
    }
    Ok(path.into())
}

/// Returns the error for an unexpected argument. Quotes only a plain word, because anything else
/// may be a URL with a password or a key.
fn unexpected(word: &str) -> Error {
    let (name, value) = match word.split_once('=') {
        Some((name, _)) => (name, "=..."),
        None => (word, ""),
    };
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    Error::args(match name {
        "manifest" => "use the program metrics-responder-manifest for the manifest".to_owned(),
        name if is_plain => format!("unexpected argument '{name}{value}'"),
        _ => "unexpected argument (not shown: it may contain a password)".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn report(line: &str) -> Report {
        report_in(line, &[])
    }

    fn kubeconfig(origin: &'static str, file: &str, context: Option<&str>) -> Cluster {
        Cluster::Kubeconfig(Kubeconfig {
            origin,
            file: file.into(),
            context: context.map(Into::into),
        })
    }

    fn report_in(line: &str, env: &[(&str, &str)]) -> Report {
        let words = line.split_whitespace().map(Into::into).collect();
        match Args::parse(words, &Env::of(env)) {
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
        assert_eq!(options.cluster, kubeconfig("--kubeconfig", "k", None));
        let options = report("--serviceaccount-dir s").options.unwrap();
        assert_eq!(options.cluster, Cluster::Own("s".into()));
    }

    #[test]
    fn an_unknown_or_incomplete_argument_is_an_error() {
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
            assert!(matches!(report(line).options, Err(e) if e.kind == ErrorKind::Args), "{line}");
        }
    }

    #[test]
    fn an_argument_that_may_be_a_secret_is_not_shown() {
        for line in [
            "https://user:acme-canary@host/",
            "acme-canary:acme-canary",
            "--strict acme@canary",
            "--acme/canary=x",
            "--endpoint=a --endpoint=acme-canary",
        ] {
            let error = report(line).options.unwrap_err().to_string();
            assert!(error.starts_with("unexpected argument"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_url_in_place_of_a_path_is_not_shown() {
        for option in ["--config", "--kubeconfig", "--recorded", "--serviceaccount-dir"] {
            let line = format!("--dry-run {option} https://user:acme-canary@host/");
            let error = report(&line).options.unwrap_err().to_string();
            assert_eq!(error, format!("{option} expects a path, not a URL; see --help"));
        }
    }

    #[test]
    fn previews_outside_a_pod_use_the_variable_kubeconfig() {
        let named = ("KUBECONFIG", "k");
        let pod = ("KUBERNETES_SERVICE_HOST", "10.43.0.1");
        let own = Cluster::Own(SERVICE_ACCOUNT.into());
        for (line, env, cluster) in [
            ("--dry-run", &[named][..], kubeconfig("KUBECONFIG", "k", None)),
            ("--explain", &[("KUBECONFIG", ":k:")], kubeconfig("KUBECONFIG", "k", None)),
            ("--explain --context c", &[named], kubeconfig("KUBECONFIG", "k", Some("c"))),
            ("--explain --kubeconfig x", &[named], kubeconfig("--kubeconfig", "x", None)),
            ("--kubeconfig x --context c", &[named], kubeconfig("--kubeconfig", "x", Some("c"))),
            ("--dry-run --recorded r", &[named], Cluster::Recorded("r".into())),
            ("--dry-run --serviceaccount-dir s", &[named], Cluster::Own("s".into())),
            ("--dry-run", &[named, pod], own),
            ("--dry-run", &[("KUBECONFIG", "a:b"), pod], Cluster::Own(SERVICE_ACCOUNT.into())),
            ("", &[named], Cluster::Own(SERVICE_ACCOUNT.into())),
            ("--dry-run", &[("KUBECONFIG", "")], Cluster::Own(SERVICE_ACCOUNT.into())),
        ] {
            let options = report_in(line, env).options.unwrap();
            assert_eq!(options.cluster, cluster, "{line} {env:?}");
        }
        for (line, env, expected) in [
            ("--explain", &[("KUBECONFIG", "a:b")][..], "several files"),
            ("--context c", &[named], "--context needs a kubeconfig"),
            ("--dry-run --context c", &[], "--context needs a kubeconfig"),
            ("--dry-run --context c", &[named, pod], "--context needs a kubeconfig"),
            ("--dry-run --recorded r --context c", &[named], "--context needs a kubeconfig"),
        ] {
            let error = report_in(line, env).options.unwrap_err().to_string();
            assert!(error.contains(expected), "{line} {env:?}: {error}");
        }
    }

    /// Without this hint, a drop-in of an earlier version would fail with an obscure error.
    #[test]
    fn the_former_subcommand_names_the_new_program() {
        for line in ["manifest", "manifest --output m.yaml", "-v manifest"] {
            let error = report(line).options.unwrap_err().to_string();
            assert!(error.contains("metrics-responder-manifest"), "{line}: {error}");
        }
    }

    #[test]
    fn an_option_must_have_a_value() {
        for name in ["--config", "--endpoint", "--recorded"] {
            let words = vec!["--dry-run".into(), name.into(), "".into()];
            let Args::Report(report) = Args::parse(words, &Env::of(&[])) else {
                panic!("{name}");
            };
            let error = report.options.unwrap_err().to_string();
            assert_eq!(error, format!("{name} expects a value; see --help"));
        }
    }

    #[test]
    fn preview_and_config_are_known_even_if_other_flags_are_wrong() {
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
        for default in
            [SERVICE_ACCOUNT, crate::config::file::DEFAULT_FILE, crate::config::DEFAULT_ENDPOINT]
        {
            assert!(HELP.contains(default), "{default}");
        }
    }
}
