//! Reads the installation of the responder in a cluster from outside: its CronJob and two
//! `ConfigMap`s. Derives the environment and the file that a pod of the CronJob would get.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::kubeconfig::decode;
use super::timestamp::Timestamp;
use super::types::Created;
use super::{Api, JSON};
use crate::config::env::Env;
use crate::config::file::File;
use crate::config::settings::is_misspelt;
use crate::config::switch::{VARIABLE, is_opt_out, opt_out_command};
use crate::error::Error;

/// The namespace in which the manifest installs the responder.
pub(crate) const NAMESPACE: &str = "kube-system";

/// The name of the CronJob, and of the ConfigMap with its configuration file.
pub(crate) const NAME: &str = "rke2-metrics-responder";

/// The name of the container in the CronJob's pod.
const CONTAINER: &str = "metrics-responder";

/// The name of the ConfigMap and of the Secret that the admin may create.
const OVERRIDE: &str = "rke2-metrics-responder-override";

/// The value of each variable, and the object that sets it.
type Variables = BTreeMap<String, (String, String)>;

/// Each setting that was not read, and what it could change; `None` if it could change no answer.
type Unread = Vec<(String, Option<Change>)>;

/// The settings that a pod of the CronJob would get, and the status of the CronJob.
#[derive(Debug)]
pub(crate) struct Installation {
    /// The creation time of the CronJob.
    pub(crate) created: Option<Timestamp>,
    /// True if the CronJob is suspended.
    pub(crate) is_suspended: bool,
    /// The times of the last run and of the last successful run.
    pub(crate) status: CronJobStatus,
    /// The tag of the image, if its reference has one.
    pub(crate) tag: Option<String>,
    /// The ConfigMap with the configuration file.
    pub(crate) place: String,
    /// True if no pod starts because that ConfigMap is missing.
    pub(crate) lacks_file: bool,
    /// The text of the configuration file, empty if there is none; `None` if it was not read.
    file: Option<Vec<u8>>,
    /// The variables that the pod gets.
    pub(crate) variables: Variables,
    /// The settings that this command did not read.
    pub(crate) unread: Unread,
    /// True if the admin's ConfigMap exists; `None` if the CronJob does not read it.
    has_override: Option<bool>,
}

/// The answers that a setting could change if it were read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// Any answer: it could also undo an opt-out.
    Any,
    /// Any answer except an opt-out.
    NoOptOut,
}

impl Installation {
    /// Reads the CronJob, the ConfigMap that its pod mounts, and the override. Never reads a Secret.
    /// Returns `None` if there is no CronJob.
    pub(crate) fn read(api: &Api) -> Result<Option<Self>, Error> {
        let Some(cron_job) = api.optional::<CronJob>(&cron_job_path(NAMESPACE), JSON)? else {
            return Ok(None);
        };
        let job = &cron_job.spec["jobTemplate"]["spec"];
        let pod = Pod::of(job);
        let mut unread = pod.unread();
        // Returns `None` if it may not be read, and `Some(None)` if there is none.
        let mut map = |name: &str, change| {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}");
            let map = api.optional::<ConfigMap>(&path, JSON);
            if matches!(&map, Err(error) if error.is_status(403)) {
                unread.push((format!("configmap/{name}: status 403, no right to read it"), change));
                return Ok(None);
            }
            map.map(Some)
        };
        let (name, is_optional) = pod.file().unwrap_or((NAME, true));
        let file = pod.file().map_or(Ok(None), |_| map(name, Some(Change::NoOptOut)))?;
        let overrides = map(OVERRIDE, Some(Change::Any))?;
        Ok(Some(Self {
            created: cron_job.metadata.creation_timestamp,
            is_suspended: cron_job.spec["suspend"] == true || job["suspend"] == true,
            status: cron_job.status.unwrap_or_default(),
            tag: pod.tag(),
            place: format!("configmap/{name}"),
            lacks_file: matches!(file, Some(None)) && !is_optional,
            file: file.map(|map| map.map(ConfigMap::config_yaml).unwrap_or_default()),
            has_override: pod.has_override().then_some(matches!(overrides, Some(Some(_)))),
            variables: pod.variables(overrides.flatten().unwrap_or_default(), &mut unread),
            unread,
        }))
    }

    /// Returns the text that limits an answer, if a setting that was not read could change it.
    pub(crate) fn limit(&self) -> &'static str {
        let is_limited = self.unread.iter().any(|(_, change)| change.is_some());
        if is_limited { ", as far as it could be read" } else { "" }
    }

    /// Returns the limit of an opt-out. A variable of the CronJob has none, since it has the highest
    /// precedence.
    pub(crate) fn limit_of(&self, opt_out: &str) -> &'static str {
        let is_final = self.lacks_file || opt_out.starts_with("cronjob/");
        let could_undo = self.unread.iter().any(|(_, change)| *change == Some(Change::Any));
        if could_undo && !is_final { self.limit() } else { "" }
    }

    /// Returns the kubectl command that turns this installation off.
    pub(crate) fn turn_off(&self) -> String {
        let is_fixed = self.with_object(VARIABLE).starts_with("cronjob/");
        let data = format!("{{\"data\":{{\"{VARIABLE}\":\"false\"}}}}");
        let patch = match self.has_override.filter(|_| !is_fixed) {
            Some(false) => return opt_out_command(NAMESPACE),
            Some(true) => format!("configmap {OVERRIDE} -p '{data}'"),
            None => format!("cronjob {NAME} -p '{{\"spec\":{{\"suspend\":true}}}}'"),
        };
        format!("kubectl -n {NAMESPACE} patch {patch}")
    }

    /// Returns the file that a pod would read.
    pub(crate) fn file(&self) -> File {
        File::of(&self.place, self.file.as_deref().unwrap_or_default())
    }

    /// Returns the environment that a pod would get.
    pub(crate) fn env(&self) -> Env {
        let pair = |(name, (value, _)): (&String, &(String, String))| (name.clone(), value.clone());
        Env::Of(self.variables.iter().map(pair).collect())
    }

    /// Puts the object that sets a variable in front of a text that begins with the variable's
    /// name.
    pub(crate) fn with_object(&self, text: &str) -> String {
        let name = text.split(':').next().unwrap_or_default();
        let object = self.variables.get(name).map(|(_, object)| format!("{object}: "));
        object.unwrap_or_default() + text
    }
}

/// Returns the path of the CronJob in the API.
pub(super) fn cron_job_path(namespace: &str) -> String {
    format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/{NAME}")
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap {
    data: Option<BTreeMap<String, String>>,
    binary_data: Option<BTreeMap<String, String>>,
}

impl ConfigMap {
    /// Returns the text of the configuration file. It is binary data if it is not UTF-8.
    fn config_yaml(self) -> Vec<u8> {
        let take = |map: Option<BTreeMap<_, _>>| map.and_then(|mut map| map.remove("config.yaml"));
        let text = take(self.data).map(String::into_bytes);
        text.or_else(|| decode(&take(self.binary_data)?)).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct CronJob {
    metadata: Created,
    spec: Value,
    status: Option<CronJobStatus>,
}

/// The times of the runs of a CronJob.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CronJobStatus {
    pub(crate) last_schedule_time: Option<Timestamp>,
    pub(crate) last_successful_time: Option<Timestamp>,
}

/// The pod template of the CronJob, as JSON, since only a few of its many fields are read.
#[derive(Clone, Copy)]
struct Pod<'c> {
    spec: &'c Value,
    /// The container of the responder; null if there is none.
    container: &'c Value,
}

impl<'c> Pod<'c> {
    fn of(job: &'c Value) -> Self {
        let spec = &job["template"]["spec"];
        let container = match spec["containers"].as_array().map_or(&[][..], Vec::as_slice) {
            [only] => only,
            _ => find(&spec["containers"], "name", &CONTAINER.into()),
        };
        Self { spec, container }
    }

    /// Returns the name of the ConfigMap with the configuration file, and whether it may be
    /// missing.
    fn file(self) -> Option<(&'c str, bool)> {
        let mount =
            find(&self.container["volumeMounts"], "mountPath", &"/etc/metrics-responder".into());
        let volume = &find(&self.spec["volumes"], "name", &mount["name"])["configMap"];
        let is_whole = volume["items"].is_null() && mount["subPath"].is_null();
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let name =
            volume["name"].as_str().filter(|name| is_whole && name.bytes().all(is_of_name))?;
        Some((name, volume["optional"] == true))
    }

    /// Returns whether the admin's ConfigMap sets variables of the same names.
    fn has_override(self) -> bool {
        let is_own = |s: &Value| s["prefix"].is_null() && s["configMapRef"]["name"] == OVERRIDE;
        list(&self.container["envFrom"]).any(is_own)
    }

    fn tag(self) -> Option<String> {
        let name = self.container["image"].as_str()?.split('@').next()?.rsplit('/').next()?;
        name.split_once(':').map(|(_, tag)| tag.to_owned())
    }

    /// Lists the parts that are not understood.
    fn unread(self) -> Unread {
        let is_set = |words: &str| list(&self.container[words]).next().is_some();
        let parts = [
            (is_set("command") || is_set("args"), "the command line of its container", Change::Any),
            (self.container.is_null(), "its pod has no container metrics-responder", Change::Any),
            (self.file().is_none(), "its file is not the whole of a ConfigMap", Change::NoOptOut),
        ];
        let unread = parts.into_iter().filter(|(is_unread, ..)| *is_unread);
        unread.map(|(_, part, change)| (format!("cronjob/{NAME}: {part}"), Some(change))).collect()
    }

    /// Collects the variables in the order of Kubernetes: `envFrom`, then `env`. The last value of
    /// a variable counts.
    fn variables(self, overrides: ConfigMap, unread: &mut Unread) -> Variables {
        let overrides = overrides.data.unwrap_or_default();
        let mut variables = Variables::new();
        for source in list(&self.container["envFrom"]) {
            let prefix = source["prefix"].as_str().unwrap_or_default();
            let name = |kind: &str| source[kind]["name"].as_str();
            match (name("configMapRef"), name("secretRef")) {
                (Some(name @ OVERRIDE), _) => {
                    variables.extend(overrides.iter().map(|(key, value)| {
                        (format!("{prefix}{key}"), (value.clone(), format!("configmap/{name}")))
                    }));
                }
                (Some(name), _) => {
                    let place = format!("configmap/{name}: its variables were not read");
                    unread.push((place, Some(Change::Any)));
                }
                (_, Some(name)) => {
                    let place = format!("secret/{name}: this command reads no Secret");
                    // A later source has precedence.
                    let decides = name != OVERRIDE || variables.keys().any(|name| is_opt_out(name));
                    unread.push((place, decides.then_some(Change::Any)));
                }
                (None, None) => {}
            }
        }
        for variable in list(&self.container["env"]) {
            let text = |key: &str| variable[key].as_str().unwrap_or_default().to_owned();
            let (name, mut value) = (text("name"), text("value"));
            if !variable["valueFrom"].is_null() || value.contains("$(") {
                let place = format!("{name} of cronjob/{NAME}: the value is elsewhere");
                let is_ours = is_opt_out(&name) || name.starts_with("METRICS_RESPONDER_");
                let change = if is_opt_out(&name) { Change::Any } else { Change::NoOptOut };
                unread.push((place, is_ours.then_some(change)));
                // A misspelt name is a mistake with any value.
                value = if is_misspelt(&name) { "?".to_owned() } else { String::new() };
            }
            variables.insert(name, (value, format!("cronjob/{NAME}")));
        }
        variables
    }
}

/// Returns the entries of a list; a missing list has none.
fn list(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Finds the entry of a list that has this value at a key. Returns null if there is none.
fn find<'v>(entries: &'v Value, key: &str, value: &Value) -> &'v Value {
    list(entries).find(|entry| entry[key] == *value).unwrap_or(&Value::Null)
}
