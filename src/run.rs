//! The order of a run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::args::{self, Args, Cluster, Options, Preview};
use crate::config::env::Env;
use crate::config::file::File;
use crate::config::switch::{Switch, off_by_env, opt_out_command};
use crate::config::{Config, DEFAULT_ENDPOINT, duration};
use crate::error::Error;
use crate::kube::timestamp::Timestamp;
use crate::kube::{Api, incluster, kubeconfig};
use crate::log::Log;
use crate::report::cni::{self, Cni};
use crate::report::explain::{self, Circumstances};
use crate::report::facts::Facts;
use crate::report::payload::Payload;
use crate::{send, spread};

/// The result of a command line.
#[derive(Debug)]
pub enum Outcome {
    /// The report was accepted.
    Accepted {
        /// The variable of the proxy that it went through.
        through: Option<&'static str>,
        /// Why it has no `cni-plugin`.
        without_cni: Option<String>,
        /// How reporting is turned off.
        turn_off: String,
    },
    /// Reporting is off.
    Disabled {
        /// The setting that says so.
        by: String,
    },
    /// The report was not accepted, or there was none, for a reason outside of this installation.
    Missed {
        /// Why.
        reason: String,
        /// The variable of the proxy that it went through.
        through: Option<&'static str>,
        /// Whether that is a failure.
        strict: bool,
    },
    /// A run failed.
    Failed(Error),
    /// What was asked for was printed or written.
    Printed,
    /// A flag is wrong, or a command failed that a person typed.
    Refused(Error),
    /// There was nothing to print.
    Unprinted(Error),
    /// The cluster is younger than its grace period.
    Young {
        /// When it begins to report.
        begins: String,
        /// The setting that says so.
        by: String,
        /// How it reports at once.
        send_at_once: String,
        /// How reporting is turned off.
        turn_off: String,
    },
}

/// Does what the words behind the name of the program say.
pub fn run(words: Vec<OsString>) -> Outcome {
    match Args::parse(words) {
        Args::Help => print(args::HELP).unwrap_or_else(Outcome::Refused),
        Args::Report(args) => {
            let failed = match args.preview {
                Some(_) => Outcome::Unprinted,
                None => Outcome::Failed,
            };
            report(args).unwrap_or_else(|error| match error {
                Error::Args(_) => Outcome::Refused(error),
                error => failed(error),
            })
        }
        Args::Version => print(VERSION).unwrap_or_else(Outcome::Refused),
    }
}

const VERSION: &str = concat!("metrics-responder ", env!("CARGO_PKG_VERSION"), "\n");

fn report(args: args::Report) -> Result<Outcome, Error> {
    let env = Env::Process;
    if let (None, Some(by)) = (args.preview, off_by_env(&env)) {
        return Ok(Outcome::Disabled { by });
    }
    let file = File::read(args.config.as_deref());
    let switch = Switch::find(&file, &env);
    if let (None, Ok(Switch::Off { by })) = (args.preview, &switch) {
        return Ok(Outcome::Disabled { by: by.clone() });
    }
    let options = args.options?;
    let config = Config::load(file, switch?, &env, options.endpoint.as_deref())?;
    match args.preview {
        Some(preview) => show(preview, &config, &options, &env),
        None => collect_and_send(args.config.as_deref(), &config, &options, &env),
    }
}

fn collect_and_send(
    file: Option<&Path>,
    config: &Config,
    options: &Options,
    env: &Env,
) -> Result<Outcome, Error> {
    refuse_stray_reports(&options.cluster, config)?;
    let facts = match collect(options, config.timeout, env) {
        Err(error) if error.is_outside() => {
            return Ok(Outcome::Missed {
                reason: error.to_string(),
                through: None,
                strict: options.strict,
            });
        }
        facts => facts?,
    };
    let namespace = namespace(&options.cluster);
    if let Some(begins) = facts.begins(config.grace_period.value, Timestamp::now()) {
        return Ok(Outcome::Young {
            begins: begins.to_string(),
            by: config.grace_period.origin.clone(),
            // Not by the override, which the opt-out could then no longer create.
            send_at_once: format!(
                "kubectl -n {namespace} set env cronjob/rke2-metrics-responder METRICS_RESPONDER_GRACE_PERIOD=0s"
            ),
            turn_off: opt_out_command(&namespace),
        });
    }
    let payload = Payload::from(&facts).to_json()?;
    // First, so that the log has whatever leaves; what cannot be printed is not sent.
    print(&format!("{payload}\n"))?;
    let wait = spread::wait(&facts.kube_system.uid, config.spread);
    if !wait.is_zero() {
        pause(wait, &namespace);
        if let Some(by) = turned_off_meanwhile(file, options, env)? {
            return Ok(Outcome::Disabled { by });
        }
    }
    let without_cni = facts.cni.err().map(|error| error.to_string());
    Ok(deliver(&payload, without_cni, &namespace, config, options))
}

/// Whether the file turns reporting off by now. A mistake made meanwhile stops the run, as one made
/// before; the settings stay as they were. The environment of a process cannot change.
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

fn deliver(
    payload: &str,
    without_cni: Option<String>,
    namespace: &str,
    config: &Config,
    options: &Options,
) -> Outcome {
    let through = config.target.proxy.as_ref().map(|via| via.variable);
    match send::post(&config.target, payload.as_bytes(), options.log()) {
        Ok(()) => Outcome::Accepted {
            through,
            without_cni,
            turn_off: opt_out_command(namespace),
        },
        Err(reason) => Outcome::Missed {
            reason: format!("{}: {reason}", config.target),
            through,
            strict: options.strict,
        },
    }
}

/// From outside a cluster, only an endpoint that somebody set gets anything: a first try must not
/// end in the maintainers' statistics.
fn refuse_stray_reports(cluster: &Cluster, config: &Config) -> Result<(), Error> {
    match cluster {
        Cluster::Kubeconfig(_) | Cluster::Recorded(_) if !config.target.chosen => {
            Err(Error::Args(format!(
                "--recorded and --kubeconfig do not send to {DEFAULT_ENDPOINT}: add --dry-run or --endpoint URL"
            )))
        }
        _ => Ok(()),
    }
}

/// Reads the cluster.
fn collect(options: &Options, budget: Duration, env: &Env) -> Result<Facts, Error> {
    let api = open(&options.cluster, env, budget, options.log())?;
    Ok(Facts {
        version: api.version()?,
        kube_system: api.kube_system()?.metadata,
        nodes: api.nodes()?,
        cni: cni(&api),
    })
}

fn cni(api: &Api) -> Result<Cni, Error> {
    // In most clusters the first row exists, and only Multus' rows are requested besides.
    let primary = api.first_daemonset(cni::PRIMARY, |row| row.daemonset)?;
    let meta = api.first_daemonset(cni::META, |row| row.daemonset)?;
    let flannel = Cni::may_be_flannel(primary) && api.nodes_show_flannel()?;
    Ok(Cni::new(meta, primary, flannel))
}

/// The API of a cluster, to be read within `budget` from now.
pub fn open(cluster: &Cluster, env: &Env, budget: Duration, log: Log) -> Result<Api, Error> {
    let access = match cluster {
        Cluster::Own(service_account) => incluster::access(env, service_account)?,
        Cluster::Kubeconfig(file) => kubeconfig::access(file)?,
        Cluster::Recorded(folder) => return Api::recorded(folder, log),
    };
    Ok(Api::live(access, budget, log))
}

/// The namespace in which the responder runs, as far as is known.
fn namespace(cluster: &Cluster) -> String {
    match cluster {
        Cluster::Own(service_account) => incluster::namespace(service_account),
        Cluster::Kubeconfig(_) | Cluster::Recorded(_) => "kube-system".to_owned(),
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

/// Prints the report of any cluster, also of one that sends none.
fn show(preview: Preview, config: &Config, options: &Options, env: &Env) -> Result<Outcome, Error> {
    if let (Preview::Bytes, Switch::Off { by }) = (preview, &config.switch) {
        // A disabled installation may have no account to read the cluster with.
        let message = "reporting is disabled, a run sends nothing";
        Log::info(message, &[("by", Some(by))]);
    }
    let facts = collect(options, config.timeout, env)?;
    let payload = Payload::from(&facts);
    match preview {
        Preview::Prose => {
            let circumstances = Circumstances {
                config,
                namespace: &namespace(&options.cluster),
                outside: !matches!(options.cluster, Cluster::Own(_)),
                now: Timestamp::now(),
            };
            print(&explain::text(&payload.to_value()?, &facts, &circumstances))
        }
        Preview::Bytes => {
            if let Err(error) = &facts.cni {
                let reason = error.to_string();
                let message = "the report has no cni-plugin";
                Log::info(message, &[("reason", Some(&reason))]);
            }
            print(&format!("{}\n", payload.to_json()?))
        }
    }
}

pub(crate) fn print(text: &str) -> Result<Outcome, Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Error::write("standard output", e))?;
    Ok(Outcome::Printed)
}
