//! `metrics-responder-manifest`: reads the configuration of RKE2 or K3s, and prints or writes the
//! manifest to install.
//!
//! The manifest is the rendered chart, built in. It is adapted to the few keys of `config.yaml`
//! that concern it. All other keys are RKE2's own and are ignored.

pub(crate) mod args;
mod output;
pub(crate) mod rke2;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use pico_args::Arguments;
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use crate::config::env::Env;
use crate::config::settings::{Keys, Settings};
use crate::config::switch::opt_out_command;
use crate::error::Error;
use crate::log::{Log, plain};
use crate::run::{print, version};
use args::Args;
use rke2::Rke2Config;

/// The chart, rendered with its defaults.
pub const MANIFEST: &str = include_str!("../deploy/upgrade-responder.yaml");

/// The objects that let the responder read the cluster. They are left out when reporting is off.
const RIGHTS: [&str; 5] =
    ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// The pod's volume with the token.
const TOKEN: &str = "serviceaccount";

/// The schedule of the built-in manifest.
const SCHEDULE: &str = "0 */8 * * *";

/// The seconds between two runs of that schedule. A Job has to end before the next one starts. With
/// any other schedule, `concurrencyPolicy: Forbid` skips runs that would start during a wait.
const PERIOD: u64 = 8 * 60 * 60;

/// The time in which a Job's pod is scheduled and pulls the image.
const START: Duration = Duration::from_secs(5 * 60);

/// Runs the program with these arguments.
pub fn run(words: Vec<OsString>) -> Result<(), Error> {
    let mut words = Arguments::from_vec(words);
    if words.contains(["-h", "--help"]) {
        return print(args::HELP).map(drop);
    }
    if words.contains(["-V", "--version"]) {
        return print(&version("metrics-responder-manifest", None)).map(drop);
    }
    write(&Args::parse(words)?)
}

fn write(args: &Args) -> Result<(), Error> {
    let (named, written) = (args.rke2_config.as_deref(), args.output.is_some());
    let found = rke2::find(named, &Env::Process, Path::new("/"), written)?;
    let config = found.map_or_else(|| Ok(Rke2Config::default()), |file| Rke2Config::read(&file))?;
    let (config, mistake) = config.validate()?;
    if let Some(mistake) = mistake {
        // Write the manifest despite the mistake: an older one may be on.
        Log::answer(&format!("reporting is disabled, so a mistake is ignored: {mistake}"));
    }
    let image = args.image.clone().or(config.image());
    let text = patch(MANIFEST, &config, image.as_deref())?;
    let Some(file) = &args.output else {
        return print(&text).map(drop);
    };
    let what = if output::write(file, &text)? { "written" } else { "up to date" };
    let state = if config.is_enabled() { "enabled" } else { "disabled" };
    // The manifest is in place even if this line cannot be printed.
    let _ = print(&format!("{}: {what}, reporting {state}\n", plain(&file.to_string_lossy())));
    Ok(())
}

/// Adapts a manifest. Idempotent.
pub fn patch(manifest: &str, config: &Rke2Config, image: Option<&str>) -> Result<String, Error> {
    let mut text = header(config.is_enabled());
    // Computed from the ConfigMap, which comes before the CronJob.
    let mut deadline = None;
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let object = Option::<Mapping>::deserialize(document).map_err(broken)?;
        // A document may consist of comments alone.
        let Some(mut object) = object else {
            continue;
        };
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        if !config.is_enabled() && RIGHTS.contains(&kind) {
            continue;
        }
        match kind {
            "ConfigMap" => deadline = patch_config_map(&mut object, config)?,
            "CronJob" => patch_cron_job(&mut object, config, image, deadline)
                .ok_or_else(|| broken("the CronJob is not as expected"))?,
            _ => {}
        }
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&object).map_err(broken)?);
    }
    Ok(text)
}

fn broken(reason: impl std::fmt::Display) -> Error {
    Error::config("the built-in manifest", reason)
}

fn header(enabled: bool) -> String {
    let on = format!("enabled. Turn it off: {}", opt_out_command("kube-system"));
    let off = "disabled: the CronJob is suspended, and has no access to the API.".to_owned();
    let state = if enabled { on } else { off };
    format!(
        "# rke2-metrics-responder, written by `metrics-responder-manifest`.\n# Reporting {state}\n"
    )
}

/// Returns the seconds that a Job needs with this configuration. While reporting is off no Job
/// starts, so a wait that is too long is not an error.
fn patch_config_map(object: &mut Mapping, config: &Rke2Config) -> Result<Option<u64>, Error> {
    let text = child(object, &["data"]).and_then(|data| data.get_mut("config.yaml"));
    let text = text.ok_or_else(|| broken("the ConfigMap is not as expected"))?;
    let mut keys: Mapping =
        serde_yaml::from_str(text.as_str().unwrap_or_default()).map_err(broken)?;
    keys.extend(config.keys.clone());
    keys.insert("enabled".into(), config.is_enabled().into());
    let merged = serde_yaml::to_string(&keys).map_err(broken)?;
    let seconds = match deadline(&merged, &config.place, config.schedule.as_deref()) {
        Err(_) if !config.is_enabled() => None,
        seconds => Some(seconds?),
    };
    *text = merged.into();
    Ok(seconds)
}

fn deadline(config: &str, place: &str, schedule: Option<&str>) -> Result<u64, Error> {
    let keys = Keys::parse(config.as_bytes()).map_err(broken)?;
    let settings = Settings::new(keys, &format!("{place}."), &Env::of(&[]), None)?;
    let needed = settings.spread + 2 * settings.timeout + START;
    let seconds = needed.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
    if seconds >= PERIOD && schedule.is_none_or(|schedule| schedule == SCHEDULE) {
        let reason = "spread + 2 * timeout + 5m to start is longer than the 8h between two runs";
        return Err(Error::config(place, reason));
    }
    Ok(seconds)
}

fn patch_cron_job(
    object: &mut Mapping,
    config: &Rke2Config,
    image: Option<&str>,
    deadline: Option<u64>,
) -> Option<()> {
    let spec = child(object, &["spec"])?;
    if let Some(schedule) = &config.schedule {
        spec.insert("schedule".into(), schedule.as_str().into());
    }
    if !config.is_enabled() {
        spec.insert("suspend".into(), true.into());
    }
    let job = child(spec, &["jobTemplate", "spec"])?;
    // The chart leaves room for a spread that is set later. Only a longer one moves the deadline.
    if let Some(needed) = deadline {
        let seconds = job.get_mut("activeDeadlineSeconds")?;
        *seconds = seconds.as_u64()?.max(needed).into();
    }
    let pod = child(job, &["template", "spec"])?;
    if !config.is_enabled() {
        pod.shift_remove("serviceAccountName");
        remove(pod, "volumes", TOKEN);
    }
    let container = pod.get_mut("containers")?.as_sequence_mut()?.first_mut()?;
    let container = container.as_mapping_mut()?;
    if !config.is_enabled() {
        remove(container, "volumeMounts", TOKEN);
    }
    if let Some(image) = image {
        container.insert("image".into(), image.into());
    }
    Some(())
}

/// Removes an entry from a list of named entries, if it is there.
fn remove(object: &mut Mapping, list: &str, name: &str) {
    if let Some(Value::Sequence(entries)) = object.get_mut(list) {
        entries.retain(|entry| entry.get("name").and_then(Value::as_str) != Some(name));
    }
}

/// The mapping at the end of this path.
fn child<'a>(object: &'a mut Mapping, path: &[&str]) -> Option<&'a mut Mapping> {
    path.iter().try_fold(object, |object, key| object.get_mut(*key)?.as_mapping_mut())
}
