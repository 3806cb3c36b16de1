//! Prints previews: `--dry-run` prints the report, and `--explain` a page for people. Neither sends
//! anything.

use crate::args::{Preview, Report};
use crate::cluster::{self, Cluster, Kubeconfig};
use crate::config::Config;
use crate::config::env::Env;
use crate::config::file::File;
use crate::config::settings::DEFAULT_TIMEOUT;
use crate::config::switch::{Switch, opt_out_command};
use crate::error::{Error, ErrorKind};
use crate::kube::Api;
use crate::kube::installation::{Installation, NAMESPACE};
use crate::kube::timestamp::Timestamp;
use crate::log::Log;
use crate::report::age::Age;
use crate::report::explain::{Explanation, Reporting};
use crate::report::payload::Payload;
use crate::run::{Outcome, print};

/// Prints the preview, even if reporting is off.
pub(crate) fn show(preview: Preview, args: Report, env: &Env) -> Result<Outcome, Error> {
    let options = args.options?;
    if let (Preview::Prose, Cluster::Kubeconfig(kubeconfig)) = (preview, &options.cluster) {
        if args.config.is_some() || options.endpoint.is_some() {
            let reason =
                "--explain shows the settings of that cluster: omit --config and --endpoint";
            return Err(Error::args(reason));
        }
        let api = options.cluster.open(env, DEFAULT_TIMEOUT, options.log())?;
        let shown = explain_installation(&api, kubeconfig);
        return shown.map_err(|error| named(error, &options.cluster, &api));
    }
    let file = File::read(args.config.as_deref());
    let switch = Switch::find(&file, env)?;
    let config = Config::load(file, switch, env, options.endpoint.as_deref())?;
    config.roots()?;
    if let (Preview::Bytes, Switch::Off { by }) = (preview, &config.switch) {
        // Log this first: a disabled installation may have no ServiceAccount to read the cluster.
        let message = "reporting is disabled, a run sends nothing";
        Log::info(message, &[("by", Some(by))]);
    }
    let api = options.cluster.open(env, config.timeout, options.log())?;
    let shown = match preview {
        Preview::Bytes => dry_run(&api),
        Preview::Prose => explain_process(&api, &options.cluster, &config),
    };
    shown.map_err(|error| named(error, &options.cluster, &api))
}

/// Adds the kubeconfig and the server to the error of a request.
fn named(error: Error, cluster: &Cluster, api: &Api) -> Error {
    match (cluster, api.server()) {
        (Cluster::Kubeconfig(kubeconfig), Some(server)) if error.kind != ErrorKind::Write => {
            error.within(&format!("{kubeconfig}: {server}"))
        }
        _ => error,
    }
}

fn dry_run(api: &Api) -> Result<Outcome, Error> {
    let facts = cluster::facts(api)?;
    if let Err(error) = &facts.cni {
        let reason = error.to_string();
        Log::info("the report has no cni-plugin", &[("reason", Some(&reason))]);
    }
    print(&format!("{}\n", Payload::from(&facts).to_json()?))
}

/// Explains the settings of this process. In a pod, these are the settings of the installation.
fn explain_process(api: &Api, cluster: &Cluster, config: &Config) -> Result<Outcome, Error> {
    let facts = cluster::facts(api)?;
    let namespace = cluster.namespace();
    let age = cluster::age(api, &namespace, &facts, config)?;
    let now = Timestamp::now();
    let settings = match cluster {
        Cluster::Recorded(_) => "nobody's: a recording has none, so these are of this process",
        _ => "of this pod",
    };
    let explanation = Explanation {
        reporting: reporting(config, age, now),
        config: Some(config),
        settings,
        installation: None,
        report: Ok((&facts, Payload::from(&facts).to_value()?)),
        turn_off: opt_out_command(&namespace),
        now,
    };
    print(&explanation.text())
}

/// Explains the installation in another cluster, with the settings that its pods get.
fn explain_installation(api: &Api, kubeconfig: &Kubeconfig) -> Result<Outcome, Error> {
    let installation = match Installation::read(api) {
        Err(error) if error.is_status(403) => Err(error),
        found => Ok(found?),
    };
    let now = Timestamp::now();
    let facts = cluster::facts(api);
    let cluster = match &facts {
        Ok(facts) => facts.kube_system.creation_timestamp,
        Err(_) => api.kube_system().map_or(None, |found| found.metadata.creation_timestamp),
    };
    let (reporting, config) = match &installation {
        Err(error) => (Reporting::Unknown(error.to_string()), None),
        Ok(None) => (Reporting::Off(format!("not installed in {NAMESPACE}")), None),
        Ok(Some(installation)) => decide(installation, cluster, now),
    };
    let report = match &facts {
        Ok(facts) => Ok((facts, Payload::from(facts).to_value()?)),
        Err(error) => Err(error),
    };
    let installation = installation.as_ref().ok().and_then(Option::as_ref);
    let turn_off = installation.map_or_else(|| opt_out_command(NAMESPACE), Installation::turn_off);
    let explanation = Explanation {
        reporting,
        config: config.as_ref(),
        settings: "of the installation in kube-system",
        installation,
        report,
        turn_off: turn_off.replacen("kubectl", &kubeconfig.kubectl(), 1),
        now,
    };
    print(&explanation.text())
}

/// Decides whether an installation reports, with the same code that a run of its CronJob uses.
fn decide(
    installation: &Installation,
    cluster: Option<Timestamp>,
    now: Timestamp,
) -> (Reporting, Option<Config>) {
    let (file, env) = (installation.file(), installation.env());
    let switch = Switch::find(&file, &env);
    // Look for an opt-out first, as a run does: it counts even if other settings are wrong.
    let opt_out = match &switch {
        Ok(Switch::Off { by }) => Some(installation.with_object(by)),
        _ => None,
    };
    let config = switch.and_then(|switch| Config::load(file, switch, &env, None));
    let age = Age { cluster, installation: installation.created };
    let reporting = match (&config, opt_out) {
        _ if installation.is_suspended => Reporting::Off("suspended".to_owned()),
        (_, Some(by)) => Reporting::Off(format!("{by}{}", installation.limit_of(&by))),
        _ if installation.lacks_file => {
            Reporting::Off(format!("{} is missing, so no pod starts", installation.place))
        }
        (Err(error), None) => {
            let mistake = installation.with_object(&error.to_string());
            Reporting::Off(format!("a mistake stops each run: {mistake}{}", installation.limit()))
        }
        (Ok(config), None) => match reporting(config, age, now) {
            Reporting::On(by) => Reporting::On(installation.with_object(&by)),
            reporting => reporting,
        },
    };
    (reporting, config.ok())
}

fn reporting(config: &Config, age: Age, now: Timestamp) -> Reporting {
    match (&config.switch, age.begins_in(config.grace_period.value, now)) {
        (Switch::Off { by }, _) => Reporting::Off(by.clone()),
        (Switch::On { .. }, Some(left)) => Reporting::Begins(left),
        (Switch::On { by }, None) => Reporting::On(by.clone()),
    }
}
