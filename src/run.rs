//! Runs the program: reads the cluster, prints the report, waits and sends it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::args::{self, Args, Options, Report};
use crate::cluster::{self, Cluster};
use crate::config::env::Env;
use crate::config::file::File;
use crate::config::switch::{Switch, off_by_env, opt_out_command};
use crate::config::{Config, DEFAULT_ENDPOINT, duration};
use crate::error::{Error, ErrorKind};
use crate::kube::timestamp::Timestamp;
use crate::log::Log;
use crate::report::facts::Facts;
use crate::report::payload::Payload;
use crate::{http, preview, send, spread};

/// The result of a command line.
#[derive(Debug)]
pub enum Outcome {
    /// The report was accepted.
    Accepted {
        /// The variable that names the proxy, if one was used.
        through: Option<&'static str>,
        /// The reason why the report has no `cni-plugin`.
        without_cni: Option<String>,
        /// The command that turns reporting off.
        turn_off: String,
    },
    /// The command line is wrong, or a command typed by a person failed.
    CommandFailed(Error),
    /// Reporting is off.
    Disabled {
        /// The setting that turns reporting off.
        by: String,
    },
    /// The report could not be made or was not accepted, for a reason outside this installation.
    NotAccepted {
        /// The variable that names the proxy, if one was used.
        through: Option<&'static str>,
        /// The reason.
        reason: String,
        /// True if the exit status is to signal failure (`--strict`).
        strict: bool,
    },
    /// The requested output was printed.
    Printed,
    /// A sending run failed.
    RunFailed(Error),
    /// The cluster or the installation is younger than the grace period.
    TooYoung {
        /// The time until the first report.
        begins_in: String,
        /// The setting of the grace period.
        by: String,
        /// The command that ends the grace period.
        end_grace_period: String,
        /// The command that turns reporting off.
        turn_off: String,
    },
}

/// Runs the program with these arguments.
pub fn run(words: Vec<OsString>) -> Outcome {
    let env = Env::Process;
    match Args::parse(words, &env) {
        Args::Help => print(args::HELP).unwrap_or_else(Outcome::CommandFailed),
        Args::Report(args) => match args.preview {
            Some(preview) => {
                preview::show(preview, args, &env).unwrap_or_else(Outcome::CommandFailed)
            }
            None => report(args, &env).unwrap_or_else(|error| match error.kind {
                ErrorKind::Args => Outcome::CommandFailed(error),
                _ => Outcome::RunFailed(error),
            }),
        },
        Args::Version => print(&version("metrics-responder", Some(http::CRYPTOGRAPHY)))
            .unwrap_or_else(Outcome::CommandFailed),
    }
}

/// Returns the version of a program, with its cryptography and, if the build knows it, the commit.
pub(crate) fn version(program: &str, cryptography: Option<&str>) -> String {
    let details: Vec<_> = cryptography.into_iter().chain(option_env!("BUILD_COMMIT")).collect();
    let version = env!("CARGO_PKG_VERSION");
    match details.join(", ") {
        details if details.is_empty() => format!("{program} {version}\n"),
        details => format!("{program} {version} ({details})\n"),
    }
}

fn report(args: Report, env: &Env) -> Result<Outcome, Error> {
    if let Some(by) = off_by_env(env) {
        return Ok(Outcome::Disabled { by });
    }
    let path = args.config.as_deref();
    let file = File::read(path);
    let switch = Switch::find(&file, env);
    if let Ok(Switch::Off { by }) = switch {
        return Ok(Outcome::Disabled { by });
    }
    let options = args.options?;
    let config = Config::load(file, switch?, env, options.endpoint.as_deref())?;
    refuse_stray_reports(&options.cluster, &config)?;
    let roots = config.roots()?;
    let (facts, begins_in) = match read(&config, &options, env) {
        Err(error) if error.is_outside() => {
            return Ok(Outcome::NotAccepted {
                through: None,
                reason: error.to_string(),
                strict: options.strict,
            });
        }
        read => read?,
    };
    let namespace = options.cluster.namespace();
    if let Some(left) = begins_in {
        return Ok(too_young(left, &config, &namespace));
    }
    let payload = Payload::from(&facts).to_json()?;
    // Print first: the log then shows everything that leaves, and a report that cannot be printed
    // is not sent.
    print(&format!("{payload}\n"))?;
    let wait = spread::wait(&facts.kube_system.uid, config.spread);
    if !wait.is_zero() {
        pause(wait, &namespace);
        if let Some(by) = turned_off_meanwhile(path, &options, env)? {
            return Ok(Outcome::Disabled { by });
        }
    }
    let through = config.proxy.as_ref().map(|via| via.variable);
    Ok(match send::post(&config, &roots, payload.as_bytes(), options.log()) {
        Ok(()) => Outcome::Accepted {
            through,
            without_cni: facts.cni.err().map(|error| error.to_string()),
            turn_off: opt_out_command(&namespace),
        },
        Err(reason) => Outcome::NotAccepted {
            through,
            reason: format!("{}: {reason}", config.request()),
            strict: options.strict,
        },
    })
}

/// Sends reports from outside a cluster only to an explicitly configured endpoint, so that a trial
/// run never reaches the maintainers' statistics.
fn refuse_stray_reports(cluster: &Cluster, config: &Config) -> Result<(), Error> {
    if config.has_endpoint || matches!(cluster, Cluster::Own(_)) {
        return Ok(());
    }
    Err(Error::args(format!(
        "--recorded and --kubeconfig do not send to {DEFAULT_ENDPOINT}: add --dry-run or --endpoint URL"
    )))
}

/// Reads the facts of the cluster, and computes the time until its first report, if it is too
/// young. Closes the connection at the end.
fn read(config: &Config, options: &Options, env: &Env) -> Result<(Facts, Option<Duration>), Error> {
    let api = options.cluster.open(env, config.timeout, options.log())?;
    let facts = cluster::facts(&api)?;
    let age = cluster::age(&api, &options.cluster.namespace(), &facts, config)?;
    let begins_in = age.begins_in(config.grace_period.value, Timestamp::now());
    Ok((facts, begins_in))
}

fn too_young(left: Duration, config: &Config, namespace: &str) -> Outcome {
    Outcome::TooYoung {
        begins_in: duration::rough(left),
        by: config.grace_period.origin.clone(),
        // Do not use the override: the documented opt-out command must be able to create it.
        end_grace_period: format!(
            "kubectl -n {namespace} set env cronjob/rke2-metrics-responder METRICS_RESPONDER_GRACE_PERIOD=0s"
        ),
        turn_off: opt_out_command(namespace),
    }
}

fn pause(wait: Duration, namespace: &str) {
    let stop = format!(
        "kubectl -n {namespace} delete job -l app.kubernetes.io/name=rke2-metrics-responder"
    );
    Log::info(
        "waiting before sending; deleting the Job stops it",
        &[("wait", Some(&duration::text(wait))), ("stop", Some(&stop))],
    );
    thread::sleep(wait);
}

/// Reads the file again after the wait. An opt-out or a mistake in it stops the run; other changes
/// have no effect. The environment is not read again: nobody can change that of a running
/// process.
fn turned_off_meanwhile(
    file: Option<&Path>,
    options: &Options,
    env: &Env,
) -> Result<Option<String>, Error> {
    let file = File::read(file);
    match Switch::find(&file, env)? {
        Switch::Off { by } => Ok(Some(by)),
        on @ Switch::On { .. } => {
            Config::load(file, on, env, options.endpoint.as_deref()).map(|_| None)
        }
    }
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<Outcome, Error> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map(|()| Outcome::Printed).map_err(|e| Error::write("standard output", e))
}
