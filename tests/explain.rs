//! Tests `--explain`, which describes to an admin the report, and when and where it is sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics_responder::internals::{FIELDS, MANIFEST, PRIMARY, opt_out_command};
use serde::Deserialize;
use serde_json::{Value, json};
use support::api::{self, Handled};
use support::run::{Pod, Run, bare_with, finish, scene};
use support::server::{Server, closed_port};
use support::{Folder, cluster, clusters, expected};

fn explain(recording: &Path, env: &[(&str, &str)]) -> String {
    let run = bare_with(&["--explain", "--recorded", recording.to_str().unwrap()], env);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    run.stdout
}

fn first_line(page: &str) -> &str {
    page.lines().next().unwrap()
}

#[test]
fn the_explanation_has_every_value_of_the_report() {
    for path in clusters() {
        let text = explain(&path, &[("METRICS_RESPONDER_SPREAD", "10m")]);
        let report: Value = serde_json::from_str(&expected(&path)).unwrap();
        let mut keys = Vec::new();
        for (key, value) in report.as_object().unwrap() {
            match value {
                Value::Object(part) => keys.extend(part),
                value => keys.push((key, value)),
            }
        }
        assert_eq!(keys.len(), FIELDS.len());
        for (key, value) in keys {
            let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
            let row = text.lines().find(|line| line.split_whitespace().next() == Some(key));
            assert_eq!(row.unwrap().split_whitespace().nth(1), Some(&*value), "{text}");
        }
        for field in FIELDS {
            assert!(text.lines().any(|line| line.trim() == field.purpose), "{text}");
        }
        assert!(!text.contains("acme-canary"));
    }
}

#[test]
fn the_explanation_says_where_when_why_and_how_to_stop_it() {
    let env = [
        ("METRICS_RESPONDER_ENDPOINT", "https://receiver.example/v1?key=secret"),
        ("METRICS_RESPONDER_SPREAD", "10m"),
        ("METRICS_RESPONDER_ENABLED", "true"),
        ("HTTPS_PROXY", "http://user:secret@proxy.example:3128"),
    ];
    let text = explain(&cluster("kind"), &env);
    let off = format!("\nOff        {}\n", opt_out_command("kube-system"));
    for expected in [
        "Reporting  on\nWhy        METRICS_RESPONDER_ENABLED\n",
        "Where      POST https://receiver.example/v1 (as configured)\n",
        "Proxy      proxy.example:3128 (HTTPS_PROXY)\n",
        "(its UUID modulo the spread of 10m)\n",
        &off,
        "Now        nothing was sent\n",
        concat!("\nUser-Agent: rke2-metrics-responder/", env!("CARGO_PKG_VERSION"), "\n"),
        "carries the sender's address",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("secret"));
    let text = explain(&cluster("kind"), &[]);
    for expected in [
        "checkupgrade (the default)\n",
        "(no spread)\n",
        "Why        by default, nothing turns it off\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn the_page_says_where_the_settings_come_from() {
    let recorded = "\nSettings   nobody's: a recording has none, so these are of this process\n";
    assert!(explain(&cluster("kind"), &[]).contains(recorded));
    let (pod, ..) = scene("kind");
    let inside = pod.args(["--explain"]).run();
    assert!(inside.stdout.contains("\nSettings   of this pod\n"), "{inside:?}");
    assert_eq!(first_line(&inside.stdout), "Reporting  on", "{inside:?}");
}

#[test]
fn a_cni_that_cannot_be_read_is_reported_once() {
    let pod = Pod::new();
    let api = api::serve_with(pod.authority.server(), &cluster("kind"), |request, connection| {
        if !request.target.contains("/daemonsets/") {
            return Ok(Handled::No);
        }
        let (status, body) = api::refusal(403);
        connection.reply(status, &body).map(|()| Handled::Yes)
    });
    let pod = pod.api(api.port);
    let run = pod.args(["--explain"]).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let reason = format!(
        "not known: GET {}?resourceVersion=0: status 403, this credential may not read it",
        PRIMARY.last().unwrap().daemonset.path()
    );
    let rows: Vec<_> = run.stdout.lines().collect();
    let is_cni = |row: &&str| row.starts_with("cni-plugin         omitted, not known");
    let cni = rows.iter().position(is_cni).unwrap();
    assert_eq!(rows[cni + 2].trim(), reason);
    assert_eq!(run.stdout.matches("status 403").count(), 1, "{run:?}");
}

#[test]
fn the_explanation_sends_nothing() {
    let (pod, _, endpoint) = scene("kind");
    let run = pod.args(["--explain"]).run();
    assert_eq!((run.code, endpoint.connections()), (Some(0), 0), "{run:?}");
}

const CRON_JOB: &str = "/apis/batch/v1/namespaces/kube-system/cronjobs/rke2-metrics-responder";
const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/rke2-metrics-responder";
const OVERRIDE: &str = "/api/v1/namespaces/kube-system/configmaps/rke2-metrics-responder-override";

/// A cluster with the objects of the manifest, which is read from an admin's machine.
struct Installed {
    objects: Vec<(String, Value)>,
    refused: Vec<(&'static str, u16)>,
    folder: Folder,
    env: Vec<(&'static str, String)>,
    args: Vec<String>,
}

impl Installed {
    /// Installs the manifest in a cluster that is older than the grace period.
    fn new() -> Self {
        let of_kind = |kind: &str| {
            let documents = serde_yaml::Deserializer::from_str(MANIFEST);
            let mut objects = documents.map(|document| Value::deserialize(document).unwrap());
            objects.find(|object| object["kind"] == kind).unwrap()
        };
        let objects = [(CRON_JOB, "CronJob"), (CONFIG_MAP, "ConfigMap")];
        Self {
            objects: objects.map(|(path, kind)| (path.to_owned(), of_kind(kind))).into(),
            refused: Vec::new(),
            folder: Folder::new(),
            env: Vec::new(),
            args: Vec::new(),
        }
        .change(CRON_JOB, |cron_job| {
            cron_job["metadata"]["creationTimestamp"] = ago(48);
        })
    }

    fn nothing() -> Self {
        Self { objects: Vec::new(), ..Self::new() }
    }

    fn change(mut self, path: &str, change: impl FnOnce(&mut Value)) -> Self {
        let found = self.objects.iter_mut().find(|(own, _)| own == path);
        change(&mut found.unwrap().1);
        self
    }

    fn cron_job(self, pointer: &str, value: Value) -> Self {
        self.change(CRON_JOB, |object| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[key] = value;
        })
    }

    fn file(self, text: &str) -> Self {
        self.change(CONFIG_MAP, |object| {
            object["data"]["config.yaml"] = text.into();
        })
    }

    fn overridden(mut self, data: &Value) -> Self {
        self.objects.push((OVERRIDE.to_owned(), json!({"kind": "ConfigMap", "data": data})));
        self
    }

    fn refuses(mut self, path: &'static str) -> Self {
        self.refused.push((path, 403));
        self
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Starts a server with these objects, and writes its kubeconfig.
    fn kubeconfig(&self) -> (PathBuf, Server) {
        let (objects, refused) = (Arc::new(self.objects.clone()), self.refused.clone());
        let server = Server::start(None, move |connection| {
            while let Some(request) = connection.request()? {
                let object = objects.iter().find(|(path, _)| path == request.path());
                let refused = refused.iter().find(|(path, _)| *path == request.path());
                let (status, body) = match (refused, object) {
                    (Some((_, status)), _) => api::refusal(*status),
                    (None, Some((_, object))) => (200, object.to_string()),
                    (None, None) => api::read(&cluster("rke2-canal-ha"), &request),
                };
                connection.reply(status, &body)?;
            }
            Ok(())
        });
        let text = format!(
            "current-context: x\n\
             contexts: [{{name: x, context: {{cluster: c}}}}, {{name: y, context: {{cluster: c}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n",
            server.port
        );
        (self.folder.write("kubeconfig", text), server)
    }

    fn run(&self) -> (Run, Server) {
        let (kubeconfig, server) = self.kubeconfig();
        let mut args = vec!["--explain", "--kubeconfig", kubeconfig.to_str().unwrap()];
        args.extend(self.args.iter().map(String::as_str));
        let env: Vec<_> = self.env.iter().map(|(name, value)| (*name, &**value)).collect();
        (bare_with(&args, &env), server)
    }

    /// Returns the page, and checks that it contains no secret and no control character, and that no
    /// line ends in a blank.
    fn page(&self) -> String {
        let (run, server) = self.run();
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
        assert!(!run.stdout.contains("acme-canary"), "{run:?}");
        let is_text = |c: char| c == '\n' || !c.is_control();
        assert!(run.stdout.chars().all(is_text), "{run:?}");
        assert!(!run.stdout.contains(" \n"), "{run:?}");
        for request in server.seen() {
            assert!(!request.target.contains("secret"), "{request:?}");
        }
        run.stdout
    }

    fn answers(&self, expected: &str) {
        let page = self.page();
        assert_eq!(first_line(&page), format!("Reporting  {expected}"), "{page}");
    }
}

/// Returns the timestamp of so many hours ago, as Kubernetes writes it.
fn ago(hours: u64) -> Value {
    seconds_ago(hours * 3600)
}

fn seconds_ago(seconds: u64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    support::timestamp(now.as_secs() - seconds).into()
}

/// Limits an answer.
const LIMIT: &str = ", as far as it could be read";

const CONTAINER: &str = "/spec/jobTemplate/spec/template/spec/containers/0";

fn of_container(key: &str) -> String {
    format!("{CONTAINER}/{key}")
}

#[test]
fn the_unchanged_manifest_reports() {
    let installed = Installed::new();
    installed.answers("on");
    let page = installed.page();
    for expected in [
        "Why        configmap/rke2-metrics-responder: enabled\n",
        "Where      POST https://metrics-responder.rke2.io/v1/checkupgrade (",
        "First      24h after the cluster and the CronJob were created (configmap/rke2-metrics-responder: gracePeriod)\n",
        "Settings   of the installation in kube-system\n",
        "Last run   never; last success: never\n",
        "Not read   secret/rke2-metrics-responder-override: this command reads no Secret\n",
        "clusteruuid        0fd6ac60-b9ea-46b8-85fa-cb6cfdb9e57e",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

#[test]
fn the_first_line_says_whether_this_cluster_reports() {
    let disabled = json!({"METRICS_RESPONDER_ENABLED": "false"});
    let variable = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    let overrides = "configmap/rke2-metrics-responder-override";
    Installed::nothing().answers("off: not installed in kube-system");
    let suspended = || Installed::new().cron_job("/spec/suspend", true.into());
    suspended().answers("off: suspended");
    Installed::new()
        .cron_job("/spec/jobTemplate/spec/suspend", true.into())
        .answers("off: suspended");
    suspended().overridden(&disabled).answers("off: suspended");
    Installed::new()
        .overridden(&disabled)
        .answers(&format!("off: {overrides}: METRICS_RESPONDER_ENABLED"));
    Installed::new()
        .overridden(&json!({"DO_NOT_TRACK": "1"}))
        .answers(&format!("off: {overrides}: DO_NOT_TRACK"));
    Installed::new()
        .cron_job(&of_container("env"), variable("METRICS_RESPONDER_ENABLED", "no"))
        .answers("off: cronjob/rke2-metrics-responder: METRICS_RESPONDER_ENABLED");
    Installed::new()
        .file("enabled: false\nbroken: [\n")
        .answers("off: configmap/rke2-metrics-responder: enabled");
    Installed::new().cron_job("/metadata/creationTimestamp", ago(10)).answers("begins in 14h");
    Installed::new()
        .cron_job("/metadata/creationTimestamp", ago(10))
        .file("gracePeriod: 0s\n")
        .answers("on");
    // The age of the cluster counts too, and also if the nodes cannot be read.
    let mut young = Installed::new();
    let uid = "0fd6ac60-b9ea-46b8-85fa-cb6cfdb9e57e";
    let namespace = json!({"metadata": {"uid": uid, "creationTimestamp": ago(10)}});
    young.objects.push(("/api/v1/namespaces/kube-system".to_owned(), namespace));
    young.answers("begins in 14h");
    young.refuses("/api/v1/nodes").answers("begins in 14h");
}

/// Runs a pod with the same file and variables.
#[test]
fn the_answer_is_that_of_a_run() {
    for (file, name, value) in [
        ("", "UNKNOWN", ""),
        ("enabled: true\n", "METRICS_RESPONDER_SPREAD", "1ms"),
        ("enabled: off\n", "UNKNOWN", ""),
        ("enabled: off\n", "METRICS_RESPONDER_ENABLED", "yes"),
        ("enabled: maybe\n", "UNKNOWN", ""),
        ("enabled: F\nspread: soon\n", "UNKNOWN", ""),
        ("spread: soon\n", "METRICS_RESPONDER_SPREAD", "0s"),
        ("spread: soon\n", "METRICS_RESPONDER_TIMEOUT", "9s"),
        ("\tenabled: no\n", "UNKNOWN", ""),
        ("\tenabeld: no\n", "UNKNOWN", ""),
        ("", "DO_NOT_TRACK", "1"),
        ("", "DO_NOT_TRACK", "0"),
        ("", "METRICS_RESPONDER_ENABLED", "'N'"),
        ("", "METRICS_RESPONDER_ENABLED", " "),
        ("", "METRICS_RESPONDER_ENABLE", "true"),
        ("", "config.yaml", "enabled: false"),
        ("", "OTEL_METRICS_ENABLED", "false"),
        ("", "HTTPS_PROXY", "socks5://proxy"),
        ("", "HTTPS_PROXY", "http://proxy:1"),
    ] {
        let endpoint = Server::accepting(None);
        let text = format!("{file}endpoint: {}\n", endpoint.http());
        let pod = Pod::new();
        let server = api::serve(pod.authority.server(), &cluster("rke2-canal-ha"));
        let run = pod.api(server.port).config(&text).env(name, value).run();
        let page = Installed::new().file(&text).overridden(&json!({name: value})).page();
        let answer = first_line(&page);
        let is_on = answer == "Reporting  on";
        assert!(is_on || answer.starts_with("Reporting  off: "), "{page}");
        assert_eq!(endpoint.seen().len(), usize::from(is_on), "{answer}: {run:?}");
        assert_eq!(run.code == Some(2), answer.contains("a mistake"), "{answer}: {run:?}");
    }
}

#[test]
fn the_order_of_the_sources_is_that_of_kubernetes() {
    let on = json!({"METRICS_RESPONDER_ENABLED": "true"});
    let off = json!({"METRICS_RESPONDER_ENABLED": "false"});
    let env = |value: &str| json!([{"name": "METRICS_RESPONDER_ENABLED", "value": value}]);
    // A variable of the CronJob has precedence over the override, and both over the file.
    Installed::new().overridden(&off).cron_job(&of_container("env"), env("true")).answers("on");
    Installed::new().overridden(&off).cron_job(&of_container("env"), env("")).answers("on");
    Installed::new().overridden(&on).file("enabled: false\n").answers("on");
    let prefixed = json!([{
        "prefix": "METRICS_RESPONDER_",
        "configMapRef": {"name": "rke2-metrics-responder-override"},
    }]);
    Installed::new()
        .overridden(&json!({"ENABLED": "false"}))
        .cron_job(&of_container("envFrom"), prefixed)
        .answers("off: configmap/rke2-metrics-responder-override: METRICS_RESPONDER_ENABLED");
    // A manifest of an earlier version does not read the override.
    Installed::new().overridden(&off).cron_job(&of_container("envFrom"), Value::Null).answers("on");
}

#[test]
fn a_mistake_that_stops_each_run_is_named_with_its_object() {
    for (data, expected) in [
        (
            json!({"metrics-responder-enabled": "false"}),
            "configmap/rke2-metrics-responder-override: metrics-responder-enabled: ",
        ),
        (
            json!({"METRICS_RESPONDER_SPREAD": "\u{1b}[31macme"}),
            "configmap/rke2-metrics-responder-override: METRICS_RESPONDER_SPREAD: a duration",
        ),
        (
            json!({"HTTPS_PROXY": "socks5://acme-canary:1080"}),
            "configmap/rke2-metrics-responder-override: HTTPS_PROXY: only http and https",
        ),
    ] {
        let page = Installed::new().overridden(&data).page();
        let line = format!("Reporting  off: a mistake stops each run: {expected}");
        assert!(page.starts_with(&line), "{page}");
    }
    let page = Installed::new().file("endpint: https://a\n").page();
    let line =
        "Reporting  off: a mistake stops each run: configmap/rke2-metrics-responder: unknown";
    assert!(page.starts_with(line), "{page}");
    let mut lost = Installed::new();
    lost.objects.retain(|(path, _)| path != CONFIG_MAP);
    lost.answers("off: configmap/rke2-metrics-responder is missing, so no pod starts");
}

#[test]
fn a_source_that_may_not_be_read_is_named() {
    let page = Installed::new().refuses(OVERRIDE).page();
    assert_eq!(first_line(&page), "Reporting  on, as far as it could be read", "{page}");
    let unread = "\nNot read   configmap/rke2-metrics-responder-override: status 403";
    assert!(page.contains(unread), "{page}");
    Installed::new()
        .refuses(CONFIG_MAP)
        .overridden(&json!({"DO_NOT_TRACK": "1"}))
        .answers("off: configmap/rke2-metrics-responder-override: DO_NOT_TRACK");
    let page = Installed::new().refuses(CRON_JOB).page();
    assert!(page.starts_with("Reporting  unknown: GET /apis/batch/"), "{page}");
    assert!(first_line(&page).contains("status 403"), "{page}");
    let from = json!([{"name": "METRICS_RESPONDER_ENABLED", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]);
    let page = Installed::new().cron_job(&of_container("env"), from).page();
    assert_eq!(first_line(&page), "Reporting  on, as far as it could be read", "{page}");
    assert!(page.contains("\nNot read   METRICS_RESPONDER_ENABLED of cronjob/"), "{page}");
    let off = json!({"METRICS_RESPONDER_ENABLED": "false"});
    for (key, value, source) in [
        ("envFrom", json!([{"configMapRef": {"name": "x"}}]), "configmap/x: its variables"),
        (
            "args",
            json!(["--strict"]),
            "cronjob/rke2-metrics-responder: the command line of its container",
        ),
    ] {
        let installed = Installed::new().cron_job(&of_container("envFrom"), Value::Null);
        let page = installed.overridden(&off).cron_job(&of_container(key), value).page();
        assert_eq!(first_line(&page), "Reporting  on, as far as it could be read", "{page}");
        assert!(page.contains(&format!("\nNot read   {source}")), "{page}");
    }
}

/// A source that comes later in the pod may set the variable again.
#[test]
fn an_opt_out_that_could_be_undone_is_qualified() {
    let off = json!({"METRICS_RESPONDER_ENABLED": "false"});
    let own = json!({"configMapRef": {"name": "rke2-metrics-responder-override"}});
    let secret = json!({"secretRef": {"name": "rke2-metrics-responder-override"}});
    let answer = "off: configmap/rke2-metrics-responder-override: METRICS_RESPONDER_ENABLED";
    for (sources, limit) in [
        (json!([secret, own]), ""),
        (json!([own, secret]), LIMIT),
        (json!([own, {"configMapRef": {"name": "x"}}]), LIMIT),
    ] {
        let installed =
            Installed::new().overridden(&off).cron_job(&of_container("envFrom"), sources);
        installed.answers(&format!("{answer}{limit}"));
        // An unread file can turn nothing on: it has the lowest precedence.
        installed.refuses(CONFIG_MAP).answers(&format!("{answer}{limit}"));
    }
    // A variable of the CronJob has the highest precedence, and without its file no pod starts.
    let sources = json!([own, {"configMapRef": {"name": "x"}}]);
    let limited = || Installed::new().cron_job(&of_container("envFrom"), sources.clone());
    let env = json!([{"name": "METRICS_RESPONDER_ENABLED", "value": "false"}]);
    limited()
        .cron_job(&of_container("env"), env)
        .answers("off: cronjob/rke2-metrics-responder: METRICS_RESPONDER_ENABLED");
    let mut lost = limited().overridden(&off);
    lost.objects.retain(|(path, _)| path != CONFIG_MAP);
    lost.answers(answer);
    let from = json!([{"name": "METRICS_RESPONDER_ENDPOINT", "value": "$(OTHER)"}]);
    for (key, value, limit) in
        [("env", from, ""), ("args", json!(["-v"]), LIMIT), ("name", "x".into(), "")]
    {
        let installed = Installed::new().overridden(&off);
        installed.cron_job(&of_container(key), value).answers(&format!("{answer}{limit}"));
    }
}

/// A source that was not read may replace the wrong value.
#[test]
fn a_mistake_that_could_be_mended_is_qualified() {
    let value_from = json!({"secretKeyRef": {"name": "x", "key": "y"}});
    let from = json!([{"name": "METRICS_RESPONDER_TIMEOUT", "valueFrom": value_from}]);
    let own = json!({"configMapRef": {"name": "rke2-metrics-responder-override"}});
    let sources = json!([own, {"configMapRef": {"name": "x"}}]);
    let broken = || Installed::new().file("timeout: soon\n");
    for (installed, limit) in [
        (broken(), ""),
        (broken().refuses(OVERRIDE), LIMIT),
        (broken().cron_job(&of_container("env"), from), LIMIT),
        (broken().cron_job(&of_container("envFrom"), sources), LIMIT),
        (broken().cron_job(&of_container("args"), json!(["--endpoint", "https://a"])), LIMIT),
    ] {
        let page = installed.page();
        let line = first_line(&page);
        let mistake = "Reporting  off: a mistake stops each run: configmap/rke2-metrics-responder: \
                       timeout: ";
        assert!(line.starts_with(mistake), "{page}");
        assert_eq!(line.ends_with(LIMIT), !limit.is_empty(), "{page}");
    }
}

/// A tool such as Kustomize may rename the ConfigMap, and a person may mount another one.
#[test]
fn the_file_is_the_one_that_the_pod_mounts() {
    const VOLUME: &str = "/spec/jobTemplate/spec/template/spec/volumes/0/configMap";
    let mut renamed = Installed::new().file("enabled: false\n");
    renamed.objects[1].0 += "-abc.123";
    let name = format!("{VOLUME}/name");
    renamed
        .cron_job(&name, "rke2-metrics-responder-abc.123".into())
        .answers("off: configmap/rke2-metrics-responder-abc.123: enabled");
    let missing = || Installed::new().cron_job(&name, "x".into());
    missing().answers("off: configmap/x is missing, so no pod starts");
    missing().cron_job(&format!("{VOLUME}/optional"), true.into()).answers("on");
    for (pointer, value) in [
        (format!("{VOLUME}/items"), json!([{"key": "other", "path": "config.yaml"}])),
        (name, "../secrets/x".into()),
        (of_container("volumeMounts/0/mountPath"), "/etc/other".into()),
        (of_container("volumeMounts/0/subPath"), "x".into()),
        (of_container("volumeMounts"), Value::Null),
    ] {
        let installed = Installed::new().file("enabled: false\n").cron_job(&pointer, value);
        installed.answers(&format!("on{LIMIT}"));
        let unread = "\nNot read   cronjob/rke2-metrics-responder: its file is not the whole of";
        assert!(installed.page().contains(unread), "{pointer}");
        let off = json!({"DO_NOT_TRACK": "1"});
        let by = "configmap/rke2-metrics-responder-override: DO_NOT_TRACK";
        installed.overridden(&off).answers(&format!("off: {by}"));
    }
}

/// `kubectl create configmap --from-file` stores a file that is not UTF-8 as binary data.
#[test]
fn a_file_that_is_not_utf_8_is_read() {
    let base64 = "IyBm/HIKZW5hYmxlZDogZmFsc2UK";
    Installed::new()
        .change(CONFIG_MAP, |object| {
            object["data"] = Value::Null;
            object["binaryData"] = json!({"config.yaml": base64});
        })
        .answers("off: configmap/rke2-metrics-responder: enabled");
}

#[test]
fn the_settings_are_shown_only_if_there_are_any() {
    for installed in [Installed::nothing(), Installed::new().refuses(CRON_JOB)] {
        assert!(!installed.page().contains("\nSettings "), "{}", installed.page());
    }
}

/// The kubelet replaces `$(NAME)`.
#[test]
fn a_value_that_refers_to_another_one_is_not_judged() {
    for (name, answer) in [
        ("METRICS_RESPONDER_ENABLED", "on, as far as it could be read"),
        ("DO_NOT_TRACK", "on, as far as it could be read"),
        ("METRICS_RESPONDER_GRACE_PERIOD", "on, as far as it could be read"),
        ("HTTPS_PROXY", "on"),
    ] {
        let value = json!([{"name": name, "value": "$(OTHER)"}]);
        let installed = Installed::new().cron_job(&of_container("env"), value);
        installed.answers(answer);
        let unread = format!("\nNot read   {name} of cronjob/");
        assert!(installed.page().contains(&unread), "{}", installed.page());
    }
    let from = json!([{"name": "METRICS_RESPONDER_DISABLED", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]);
    let page = Installed::new().cron_job(&of_container("env"), from).page();
    let mistake = "Reporting  off: a mistake stops each run: cronjob/rke2-metrics-responder: \
                   METRICS_RESPONDER_DISABLED: not a variable";
    assert!(page.starts_with(mistake), "{page}");
}

#[test]
fn the_container_is_found_by_its_name_or_is_the_only_one() {
    let sidecar = json!({
        "name": "sidecar",
        "image": "x:y",
        "env": [{"name": "METRICS_RESPONDER_ENABLED", "value": "false"}],
    });
    let beside = |installed: Installed| {
        installed.change(CRON_JOB, |cron_job| {
            let containers = cron_job.pointer_mut(CONTAINER.trim_end_matches("/0")).unwrap();
            containers.as_array_mut().unwrap().insert(0, sidecar.clone());
        })
    };
    beside(Installed::new()).answers("on");
    let renamed = || Installed::new().cron_job(&of_container("name"), "x".into());
    renamed().answers("on");
    renamed().file("enabled: no\n").answers("off: configmap/rke2-metrics-responder: enabled");
    beside(renamed()).answers(&format!("on{LIMIT}"));
    let page = beside(renamed()).page();
    let unread = "\nNot read   cronjob/rke2-metrics-responder: its pod has no container metrics-";
    assert!(page.contains(unread), "{page}");
}

#[test]
fn the_command_that_turns_it_off_works_for_this_installation() {
    let suspend = r#"patch cronjob rke2-metrics-responder -p '{"spec":{"suspend":true}}'"#;
    let patch = r#"patch configmap rke2-metrics-responder-override -p '{"data":{"METRICS_RESPONDER_ENABLED":"false"}}'"#;
    let create = "create configmap rke2-metrics-responder-override --from-literal=METRICS_RESPONDER_ENABLED=false";
    let on = json!([{"name": "METRICS_RESPONDER_ENABLED", "value": "true"}]);
    let own = json!({"name": "rke2-metrics-responder-override", "optional": true});
    let prefixed = json!([{"prefix": "METRICS_RESPONDER_", "configMapRef": own}]);
    let other = json!([{"configMapRef": {"name": "x", "optional": true}}]);
    for (installed, command) in [
        (Installed::new(), create),
        (Installed::new().overridden(&json!({"HTTPS_PROXY": "http://p:1"})), patch),
        (Installed::new().cron_job(&of_container("env"), on), suspend),
        (Installed::new().cron_job(&of_container("envFrom"), Value::Null), suspend),
        (Installed::new().cron_job(&of_container("envFrom"), prefixed), suspend),
        (Installed::new().cron_job(&of_container("envFrom"), other), suspend),
    ] {
        let page = installed.page();
        let off = page.lines().find(|line| line.starts_with("Off        kubectl ")).unwrap();
        assert!(off.ends_with(&format!(" -n kube-system {command}")), "{page}");
    }
}

#[test]
fn nodes_that_cannot_be_read_do_not_hide_the_answer() {
    let installed = Installed::new().refuses("/api/v1/nodes");
    installed.answers("on");
    let page = installed.page();
    assert!(page.contains("\nReport     not shown: GET /api/v1/nodes?"), "{page}");
    assert!(page.contains("status 403"), "{page}");
    Installed::new()
        .refuses("/api/v1/nodes")
        .cron_job("/metadata/creationTimestamp", ago(10))
        .answers("begins in 14h");
}

#[test]
fn the_settings_of_this_machine_are_ignored() {
    let installed = Installed::new()
        .env("METRICS_RESPONDER_ENABLED", "false")
        .env("DO_NOT_TRACK", "1")
        .env("METRICS_RESPONDER_ENDPOINT", "https://acme-canary.example/")
        .env("HTTPS_PROXY", "http://acme-canary.example:1");
    installed.answers("on");
    for option in ["--config=/nowhere", "--endpoint=https://a.example/"] {
        let (run, server) = Installed::new().args(&[option]).run();
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{run:?}");
        assert!(run.answer().unwrap().contains("omit --config and --endpoint"), "{run:?}");
        assert_eq!(server.connections(), 0);
    }
}

/// The file is a FIFO that nobody writes to: a program that opened it would wait forever.
#[test]
fn no_file_of_the_pod_is_opened() {
    let installed = Installed::new();
    let fifo = installed.folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let installed = installed.file(&format!("caFile: {}\n", fifo.display()));
    installed.answers("on");
    let line = format!("\nNot read   {} (", fifo.display());
    assert!(installed.page().contains(&line), "{}", installed.page());
}

#[test]
fn the_page_shows_the_proxy_the_last_run_and_another_version() {
    let credentials = "http://acme-canary:acme-canary@proxy.example:3128";
    // Ages are rounded up: half a minute less leaves time for the run.
    let status = json!({
        "lastScheduleTime": seconds_ago(30 * 3600 - 30),
        "lastSuccessfulTime": seconds_ago(38 * 3600 - 30),
    });
    let page = Installed::new()
        .cron_job(&of_container("image"), "acme-canary.example/a:5000/x:v0.1.0".into())
        .cron_job("/status", status)
        .overridden(&json!({"HTTPS_PROXY": credentials}))
        .page();
    for expected in [
        "\nProxy      proxy.example:3128 (HTTPS_PROXY)\n",
        "\nLast run   30h ago; last success: 38h ago\n",
        concat!(
            "\nImage      v0.1.0 is installed, and this program is v",
            env!("CARGO_PKG_VERSION"),
            "\n"
        ),
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let image = "x:v0\u{1b}[31m\nReporting  off";
    let page = Installed::new().cron_job(&of_container("image"), image.into()).page();
    assert!(page.contains("\nImage      v0?[31m?Reporting  off is installed"), "{page}");
    let own = concat!("x:v", env!("CARGO_PKG_VERSION"), "-fips@sha256:0123");
    let page = Installed::new().cron_job(&of_container("image"), own.into()).page();
    assert!(!page.contains("\nImage "), "{page}");
}

#[test]
fn the_commands_name_the_same_cluster() {
    let installed = Installed::new().args(&["--context", "y"]);
    let page = installed.page();
    let kubeconfig = installed.folder.path().join("kubeconfig");
    let kubectl = format!("kubectl --kubeconfig {} --context y -n", kubeconfig.display());
    let off = opt_out_command("kube-system").replacen("kubectl -n", &kubectl, 1);
    assert!(page.contains(&format!("\nOff        {off}\n")), "{page}");
    // kubectl finds KUBECONFIG by itself.
    let (kubeconfig, _server) = installed.kubeconfig();
    let run = bare_with(&["--explain"], &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    let off = format!("\nOff        {}\n", opt_out_command("kube-system"));
    assert!(run.stdout.contains(&off), "{run:?}");
}

#[test]
fn a_failed_preview_names_the_kubeconfig_and_the_server_and_explains_a_401() {
    let folder = Folder::new();
    for (server, status, reason) in [
        (format!("http://127.0.0.1:{}", closed_port()), 1, "GET /"),
        ("https://[zz]".to_owned(), 2, "server: "),
    ] {
        let text = format!(
            "current-context: x\n\
             contexts: [{{name: x, context: {{cluster: c}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n"
        );
        let kubeconfig = folder.write("k", text);
        for preview in ["--dry-run", "--explain"] {
            let run = bare_with(&[preview, "--kubeconfig", kubeconfig.to_str().unwrap()], &[]);
            assert_eq!((run.code, &*run.stdout), (Some(status), ""), "{run:?}");
            let answer = run.answer().unwrap();
            let option = format!("--kubeconfig {}: ", kubeconfig.display());
            assert!(answer.starts_with(&option) && answer.contains(reason), "{answer}");
            assert!(status == 2 || answer.contains(&server), "{answer}");
        }
    }
    // A path is shown unquoted, and its control characters as `?`.
    let run = bare_with(&["--dry-run", "--kubeconfig", "/a=b \"c\"\n"], &[]);
    let expected = "--kubeconfig /a=b \"c\"?: No such file or directory (os error 2)";
    assert_eq!(run.answer(), Some(expected), "{run:?}");
    for path in [CRON_JOB, CONFIG_MAP, OVERRIDE] {
        let (run, server) = Installed { refused: vec![(path, 401)], ..Installed::new() }.run();
        let expected = format!(
            "http://127.0.0.1:{}: GET {path}: status 401, the API server does not accept this credential",
            server.port
        );
        assert_eq!((run.code, &*run.stdout), (Some(1), ""), "{run:?}");
        assert!(run.answer().unwrap().ends_with(&expected), "{run:?}");
    }
}

#[test]
fn an_error_of_standard_output_does_not_name_the_kubeconfig() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let installed = Installed::new();
    let (kubeconfig, _server) = installed.kubeconfig();
    for preview in ["--dry-run", "--explain"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-responder"));
        command.env_clear().args([preview, "--kubeconfig"]).arg(&kubeconfig);
        let run = finish(command.stdout(full).stderr(Stdio::piped()).spawn().unwrap());
        let expected = "standard output: No space left on device (os error 28)";
        assert_eq!((run.code, run.answer()), (Some(1), Some(expected)), "{run:?}");
    }
}
