//! Reads the installation of the responder in a cluster from outside: its CronJob and two
//! `ConfigMap`s. Derives the environment and the file that a pod of the CronJob would get.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::timestamp::Timestamp;
use super::types::Created;
use super::{Api, JSON};
use crate::config::env::Env;
use crate::config::file::File;
use crate::config::settings::is_misspelt;
use crate::config::switch::{VARIABLE, is_opt_out, opt_out_command};
use crate::error::Error;
use crate::http::not_kubernetes;

/// The namespace in which the manifest installs the responder.
pub(crate) const NAMESPACE: &str = "kube-system";

/// The name of the CronJob, and of the ConfigMap with its configuration file.
pub(crate) const NAME: &str = "rke2-metrics-responder";

/// The name of the container in the CronJob's pod.
const CONTAINER: &str = "metrics-responder";

/// The name of the ConfigMap and of the Secret that the admin may create.
const OVERRIDE: &str = "rke2-metrics-responder-override";

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
    /// The text of the configuration file; `None` if there is no ConfigMap or reading it is
    /// forbidden.
    pub(crate) file: Option<String>,
    /// The variables, each with its value and the object that sets it.
    pub(crate) variables: BTreeMap<String, (String, String)>,
    /// The settings that were not read, and whether each could decide if reporting is on.
    pub(crate) unread: Vec<(String, bool)>,
    /// True if the admin's ConfigMap exists; `None` if the CronJob does not read it.
    has_override: Option<bool>,
}

impl Installation {
    /// Reads the objects, but never a Secret. Returns `None` if there is no CronJob. Lists a
    /// ConfigMap that the caller may not read in `unread`.
    pub(crate) fn read(api: &Api) -> Result<Option<Self>, Error> {
        let path = cron_job_path(NAMESPACE);
        let Some(cron_job) = api.optional::<CronJob>(&path, JSON)? else {
            return Ok(None);
        };
        let mut unread = Vec::new();
        let mut data = |name: &str| {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}");
            match api.optional::<ConfigMap>(&path, JSON) {
                Err(error) if error.is_status(403) => {
                    let place = format!("configmap/{name}: status 403, no right to read it");
                    unread.push((place, true));
                    Ok(None)
                }
                found => found.map(|map| map.map(|map| map.data.unwrap_or_default())),
            }
        };
        let file = data(NAME)?.map(|mut data| data.remove("config.yaml").unwrap_or_default());
        let overrides = data(OVERRIDE)?;
        let pod = &cron_job.spec.job_template["spec"]["template"]["spec"];
        let mut containers = pod["containers"].as_array().into_iter().flatten();
        let own = containers.find(|container| container["name"] == CONTAINER);
        let container = Container::deserialize(own.unwrap_or(&Value::Null))
            .map_err(|_| not_kubernetes(&path, "unexpected JSON in the pod template"))?;
        Ok(Some(Self {
            created: cron_job.metadata.creation_timestamp,
            is_suspended: cron_job.spec.suspend == Some(true),
            status: cron_job.status.unwrap_or_default(),
            tag: container.tag(),
            file,
            has_override: container.reads_override().then_some(overrides.is_some()),
            variables: container.variables(&overrides.unwrap_or_default(), &mut unread),
            unread,
        }))
    }

    /// Returns true if a setting that was not read could turn reporting off.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.unread.iter().any(|(_, decides)| *decides)
    }

    /// Returns true if a setting that was not read could undo an opt-out. The file cannot: it has
    /// the lowest precedence. A variable of the CronJob has the highest.
    pub(crate) fn could_undo(&self, opt_out: &str) -> bool {
        self.is_uncertain() && self.file.is_some() && !opt_out.starts_with("cronjob/")
    }

    /// Returns the kubectl command that turns this installation off.
    pub(crate) fn turn_off(&self) -> String {
        let switch = self.variables.get(VARIABLE);
        let is_fixed = switch.is_some_and(|(_, object)| object.starts_with("cronjob/"));
        let patch = match self.has_override.filter(|_| !is_fixed) {
            Some(false) => return opt_out_command(NAMESPACE),
            Some(true) => {
                format!("configmap {OVERRIDE} -p '{{\"data\":{{\"{VARIABLE}\":\"false\"}}}}'")
            }
            None => format!("cronjob {NAME} -p '{{\"spec\":{{\"suspend\":true}}}}'"),
        };
        format!("kubectl -n {NAMESPACE} patch {patch}")
    }

    /// Returns true if no pod can start because the ConfigMap that it mounts is missing.
    pub(crate) fn lacks_file(&self) -> bool {
        let place = format!("configmap/{NAME}:");
        self.file.is_none() && !self.unread.iter().any(|(unread, _)| unread.starts_with(&place))
    }

    /// Returns the file that a pod would read.
    pub(crate) fn file(&self) -> File {
        let text = self.file.as_deref().unwrap_or_default();
        File::of(&format!("configmap/{NAME}"), text.as_bytes())
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
        match self.variables.get(name) {
            Some((_, object)) => format!("{object}: {text}"),
            None => text.to_owned(),
        }
    }
}

/// Returns the path of the CronJob in the API.
pub(super) fn cron_job_path(namespace: &str) -> String {
    format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/{NAME}")
}

#[derive(Deserialize)]
struct ConfigMap {
    data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct CronJob {
    metadata: Created,
    spec: CronJobSpec,
    status: Option<CronJobStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec {
    suspend: Option<bool>,
    job_template: Value,
}

/// The times of the runs of a CronJob.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CronJobStatus {
    pub(crate) last_schedule_time: Option<Timestamp>,
    pub(crate) last_successful_time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    image: Option<String>,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<Source>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: String,
    value: Option<String>,
    value_from: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    prefix: Option<String>,
    config_map_ref: Option<Named>,
    secret_ref: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Container {
    fn reads_override(&self) -> bool {
        let mut maps = self.env_from.iter().flatten().filter_map(|s| s.config_map_ref.as_ref());
        maps.any(|Named { name }| name == OVERRIDE)
    }

    fn tag(&self) -> Option<String> {
        let name = self.image.as_deref()?.split('@').next()?.rsplit('/').next()?;
        name.split_once(':').map(|(_, tag)| tag.to_owned())
    }

    /// Collects the variables in the order of Kubernetes: `envFrom`, then `env`. The last value of
    /// a variable counts.
    fn variables(
        self,
        overrides: &BTreeMap<String, String>,
        unread: &mut Vec<(String, bool)>,
    ) -> BTreeMap<String, (String, String)> {
        let mut variables = BTreeMap::new();
        for source in self.env_from.into_iter().flatten() {
            let prefix = source.prefix.unwrap_or_default();
            match (source.config_map_ref, source.secret_ref) {
                (Some(Named { name }), _) if name == OVERRIDE => {
                    for (key, value) in overrides {
                        let set = (value.clone(), format!("configmap/{name}"));
                        variables.insert(format!("{prefix}{key}"), set);
                    }
                }
                (Some(Named { name }), _) => {
                    unread.push((format!("configmap/{name}: this command does not read it"), true));
                }
                (_, Some(Named { name })) => {
                    // A later source has precedence.
                    let decides = name != OVERRIDE || variables.keys().any(|name| is_opt_out(name));
                    unread.push((format!("secret/{name}: this command reads no Secret"), decides));
                }
                (None, None) => {}
            }
        }
        for Variable { name, value, value_from } in self.env.into_iter().flatten() {
            let mut value = value.unwrap_or_default();
            if value_from.is_some() || value.contains("$(") {
                let place = "the value is in another object or variable";
                unread.push((format!("{name} of cronjob/{NAME}: {place}"), is_opt_out(&name)));
                // A misspelt name is a mistake with any value.
                value = if is_misspelt(&name) { "?".to_owned() } else { String::new() };
            }
            variables.insert(name, (value, format!("cronjob/{NAME}")));
        }
        if [self.command, self.args].iter().flatten().any(|words| !words.is_empty()) {
            unread.push((format!("the command line of the container in cronjob/{NAME}"), true));
        }
        variables
    }
}
