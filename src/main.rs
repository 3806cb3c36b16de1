//! `metrics-responder`: decides the order of a run, its exit status, and what is said of it.

use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use metrics_responder::args::{self, Action, Args};
use metrics_responder::config::{Config, DEFAULT_ENDPOINT, Settings};
use metrics_responder::env::Env;
use metrics_responder::error::Error;
use metrics_responder::explain;
use metrics_responder::facts::{self, Facts};
use metrics_responder::kube::{Api, incluster, kubeconfig};
use metrics_responder::log::Log;
use metrics_responder::manifest;
use metrics_responder::payload::Report;
use metrics_responder::record;
use metrics_responder::send::{self, Verdict};
use metrics_responder::spread;

/// The cluster could not be read as installed.
const EX_CLUSTER: u8 = 1;
/// Wrong flags or configuration.
const EX_USAGE: u8 = 2;
/// With `--strict`: the report was not accepted.
const EX_NOT_ACCEPTED: u8 = 3;

/// For `record`, which reads every node in full and in which nobody's patience is measured.
const RECORD_BUDGET: Duration = Duration::from_secs(120);

/// Stands on the line that says that a report was accepted. Suspending is what outlives an upgrade.
const TURN_OFF: &str =
    "suspend CronJob kube-system/rke2-metrics-responder, or set enabled: false in its ConfigMap";

/// What a run came to.
enum Outcome {
    /// Something was printed, as asked.
    Printed,
    /// Reporting is off, by this setting.
    Disabled(String),
    /// The report was accepted.
    Accepted {
        report: String,
        missing: Option<Error>,
    },
    /// It was not, for this reason.
    NotAccepted(String),
}

fn main() -> ExitCode {
    let mut log = Log { verbose: false };
    // Only a report may stay away without that being a failure.
    let mut unreachable = EX_CLUSTER;
    let result = Args::parse(std::env::args_os().skip(1).collect()).and_then(|args| match args {
        Args::Help => print(args::HELP),
        Args::Version => print(concat!(
            "metrics-responder ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Args::Manifest(args::Manifest { rke2_config, image }) => {
            print(&manifest::render(rke2_config.as_deref(), image.as_deref())?)
        }
        Args::Record(args::Record {
            folder,
            verbose,
            source,
        }) => {
            log.verbose = verbose;
            print(&record::record(
                &open(&source, &Env::Process, RECORD_BUDGET, log)?,
                &folder,
            )?)
        }
        Args::Report(args) => {
            log.verbose = args.verbose;
            unreachable = if args.strict { EX_NOT_ACCEPTED } else { 0 };
            report(&args, log)
        }
    });
    ExitCode::from(conclude(result, unreachable, log))
}

/// Says what became of the run: nothing where it printed, two lines where the report was accepted, one
/// else.
fn conclude(result: Result<Outcome, Error>, unreachable: u8, log: Log) -> u8 {
    match result {
        Ok(Outcome::Printed) => 0,
        Ok(Outcome::Disabled(by)) => {
            log.info(
                "reporting is disabled, nothing was read or sent",
                &[("by", &by)],
            );
            0
        }
        Ok(Outcome::Accepted { report, missing }) => {
            log.report(&report);
            let missing = missing.map(|error| error.to_string());
            let missing = missing
                .as_deref()
                .map(|reason| ("without_cni_plugin", reason));
            let fields: Vec<_> = missing
                .into_iter()
                .chain([("turn_off", TURN_OFF)])
                .collect();
            log.info("the report above was accepted", &fields);
            0
        }
        Ok(Outcome::NotAccepted(reason)) => not_sent(&reason, unreachable, log),
        Err(error) if error.is_outside() && unreachable != EX_CLUSTER => {
            not_sent(&error.to_string(), unreachable, log)
        }
        // At level info like any run that sent nothing: the status tells a fault, and a cluster that lacks a
        // right does not fill its owner's alerts thrice daily.
        Err(error) => {
            log.info(
                "stopped, nothing was sent",
                &[("reason", &error.to_string())],
            );
            if error.is_usage() {
                EX_USAGE
            } else {
                EX_CLUSTER
            }
        }
    }
}

fn not_sent(reason: &str, status: u8, log: Log) -> u8 {
    log.info(
        "no report was accepted, the next run tries again",
        &[("reason", reason)],
    );
    status
}

fn report(args: &args::Report, log: Log) -> Result<Outcome, Error> {
    let env = Env::Process;
    let settings = match Config::load(args.config.as_deref(), args.endpoint.as_deref(), &env)? {
        Config::Disabled(by) => return Ok(Outcome::Disabled(by)),
        Config::Enabled(settings) => settings,
    };
    refuse_stray_reports(args, &settings)?;
    let facts = facts::gather(&open(&args.source, &env, settings.timeout, log)?)?;
    let report = encode(&facts)?;
    match args.action {
        Action::Explain => return print(&explain::text(&report, &facts, &settings)),
        Action::Print => {
            if let Err(error) = &facts.cni {
                let reason = error.to_string();
                log.info("the report has no cni-plugin", &[("reason", &reason)]);
            }
            return print(&(report + "\n"));
        }
        Action::Send => {}
    }
    thread::sleep(spread::wait(&facts.cluster, settings.spread));
    Ok(match send::post(&settings.target, report.as_bytes(), log) {
        Verdict::Accepted => Outcome::Accepted {
            report,
            missing: facts.cni.err(),
        },
        Verdict::NotAccepted(reason) => {
            Outcome::NotAccepted(format!("{}: {reason}", settings.target))
        }
    })
}

/// From outside a cluster, only an endpoint that somebody set gets anything: a first try must not end in
/// the maintainers' statistics.
fn refuse_stray_reports(args: &args::Report, settings: &Settings) -> Result<(), Error> {
    let outside = args.source.recorded.is_some() || args.source.kubeconfig.is_some();
    if outside && args.action == Action::Send && !settings.target.chosen {
        return Err(Error::Args(format!(
            "--recorded and --kubeconfig do not send to {DEFAULT_ENDPOINT}: add --dry-run or --endpoint URL"
        )));
    }
    Ok(())
}

fn open(source: &args::Source, env: &Env, budget: Duration, log: Log) -> Result<Api, Error> {
    if let Some(folder) = &source.recorded {
        return Api::recorded(folder, log);
    }
    let access = match &source.kubeconfig {
        Some(file) => kubeconfig::access(file)?,
        None => incluster::access(env, &source.serviceaccount_dir)?,
    };
    Ok(Api::live(access, budget, log))
}

/// The bytes that are posted, which are those that `--dry-run` prints.
fn encode(facts: &Facts) -> Result<String, Error> {
    serde_json::to_string(&Report::from(facts)).map_err(|e| Error::Output(e.into()))
}

fn print(text: &str) -> Result<Outcome, Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::Output)?;
    Ok(Outcome::Printed)
}
