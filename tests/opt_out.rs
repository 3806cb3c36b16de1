//! Control: every way to turn reporting off, the first day of grace, and the previews, which need
//! neither.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics_responder::internals::opt_out_command;
use proptest::prelude::*;
use support::api::{self, Handled};
use support::run::{Pod, Run, bare_with, scene};
use support::server::{Server, closed_port};
use support::{cluster, expected};

const CLUSTER: &str = "rke2-canal-ha";

/// A spread that makes this cluster wait for 5.3 seconds: a busy machine needs time to change a file
/// in the meantime.
const WAIT: &str = "6s";

fn assert_disabled(run: &Run, by: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(run.lines().len(), 1, "{run:?}");
    assert!(run.stderr.starts_with("level=info "), "{run:?}");
    assert_eq!(run.logged("msg").as_deref(), Some("reporting is disabled, nothing was sent"));
    assert!(run.logged("by").unwrap().ends_with(by), "{run:?}");
}

/// One of the opt-outs, with what the log names.
#[derive(Clone, Copy, Debug)]
enum OptOut {
    Env(&'static str, &'static str),
    /// A line of the file.
    File(&'static str),
}

impl OptOut {
    fn by(self) -> &'static str {
        match self {
            Self::Env(name, _) => name,
            Self::File(_) => "config.yaml: enabled",
        }
    }
}

fn opt_out() -> impl Strategy<Value = OptOut> {
    let lines = [
        "enabled: false",
        "enabled: no",
        "enabled: off",
        "enabled: 0",
        "enabled: \"false\"",
        "enabled: 'No'",
        "enabled: n",
        "enabled: F",
        "\"enabled\": FALSE # by the admin",
    ];
    prop_oneof![
        prop::sample::select(vec!["1", "true", "yes please"])
            .prop_map(|v| OptOut::Env("DO_NOT_TRACK", v)),
        prop::sample::select(vec!["false", "no", "OFF", "0", "n", "F", "\"false\""])
            .prop_map(|v| OptOut::Env("METRICS_RESPONDER_ENABLED", v)),
        prop::sample::select(lines.to_vec()).prop_map(OptOut::File),
    ]
}

/// Settings of which most are wrong.
fn environment() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let names = [
        "METRICS_RESPONDER_ENDPOINT",
        "METRICS_RESPONDER_ALLOW_HTTP",
        "METRICS_RESPONDER_CA_FILE",
        "METRICS_RESPONDER_SPREAD",
        "METRICS_RESPONDER_GRACE_PERIOD",
        "METRICS_RESPONDER_TIMEOUT",
        "METRICS_RESPONDER_ENABLE",
        "metrics-responder-enabled",
        "config.yaml",
        "HTTPS_PROXY",
        "NO_PROXY",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
    ];
    let value =
        prop_oneof!["[!-~]{1,12}", Just("socks5://acme".to_owned()), Just("10m".to_owned())];
    prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..4)
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        Just("endpoint: https://acme.example".to_owned()),
        Just("endpont: https://acme.example".to_owned()),
        Just("\tspread: 1s".to_owned()),
        Just("spread: [".to_owned()),
        Just("enabled: maybe".to_owned()),
        Just("enabled: true".to_owned()),
        Just("---".to_owned()),
        Just("- a list".to_owned()),
        Just("a: &a [*a, *a]".to_owned()),
        "[ -~]{0,30}",
    ];
    prop::collection::vec(line, 0..4)
}

fn flags() -> impl Strategy<Value = Vec<String>> {
    let flags = [
        "--dryrun",
        "send",
        "--strict",
        "-v",
        "--endpoint=nonsense",
        "--endpoint",
        "--recorded=/nowhere",
        "--kubeconfig=/nowhere",
        "--config",
        "--",
        "-x",
    ];
    let flag = prop::sample::select(flags.map(str::to_owned).to_vec());
    prop::collection::vec(flag, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn with_an_opt_out_nothing_else_matters(
        opt_out in opt_out(),
        environment in environment(),
        before in lines(),
        after in lines(),
        flags in flags(),
    ) {
        let pod = Pod::new();
        let api = api::serve(pod.authority.server(), &cluster(CLUSTER));
        let endpoint = Server::accepting(Some(pod.authority.server()));
        let mut pod = pod.api(api.port).endpoint(&endpoint.https());
        for (name, value) in &environment {
            pod = pod.env(name, value);
        }
        let mut file = before;
        match opt_out {
            OptOut::Env(name, value) => pod = pod.env(name, value),
            OptOut::File(line) => file.push(line.to_owned()),
        }
        file.extend(after);
        let pod = pod.config(&(file.join("\n") + "\n")).args(flags.iter().map(String::as_str));
        let run = pod.run();
        assert_disabled(&run, opt_out.by());
        prop_assert_eq!((api.connections(), endpoint.connections()), (0, 0));
    }
}

#[test]
fn an_opt_out_stands_beside_a_configuration_that_cannot_be_read() {
    let (pod, ..) = scene(CLUSTER);
    let pod = pod.config_at("/nowhere/config.yaml").env("DO_NOT_TRACK", "1");
    assert_disabled(&pod.run(), "DO_NOT_TRACK");
    let (pod, ..) = scene(CLUSTER);
    let large = "enabled: false\n".to_owned() + &"# acme\n".repeat(50_000);
    assert_disabled(&pod.config(&large).run(), "config.yaml: enabled");
}

#[test]
fn a_variable_goes_before_the_file() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let config = String::from_utf8(pod.config_text().to_owned()).unwrap();
    let pod = pod.config(&(config + "enabled: false\n"));
    let run = pod.env("METRICS_RESPONDER_ENABLED", "true").run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
}

/// Starts a run, and hands over once it waits.
fn waiting(pod: &Pod) -> support::run::Waiting {
    let mut child = pod.start();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut report = String::new();
    stdout.read_line(&mut report).unwrap();
    support::run::Waiting { child, report }
}

#[test]
fn an_opt_out_during_the_wait_is_heeded() {
    let (pod, _, endpoint) = scene(CLUSTER);
    let pod = pod.env("METRICS_RESPONDER_SPREAD", WAIT);
    let waiting = waiting(&pod);
    assert_eq!(waiting.report, expected(&cluster(CLUSTER)) + "\n");
    fs::write(pod.folder.path().join("config.yaml"), "enabled: no\nbroken: [\n").unwrap();
    let run = support::run::finish(waiting.child);
    assert_eq!((run.code, run.lines().len()), (Some(0), 2), "{run:?}");
    assert_eq!(run.logged("msg").as_deref(), Some("reporting is disabled, nothing was sent"));
    assert_eq!(endpoint.connections(), 0);
}

/// As before the wait: it may be a misspelt opt-out.
#[test]
fn a_mistake_made_during_the_wait_sends_nothing() {
    let mistakes = [
        Some("enabled: maybe\n"),
        Some("enabeld: false\n"),
        Some("\t["),
        Some("allowHttp: perhaps\n"),
        None,
    ];
    let runs = mistakes.map(|mistake| {
        let (pod, api, endpoint) = scene(CLUSTER);
        let pod = pod.env("METRICS_RESPONDER_SPREAD", WAIT);
        let waiting = waiting(&pod);
        let config = pod.folder.path().join("config.yaml");
        match mistake {
            Some(text) => fs::write(config, text).unwrap(),
            None => fs::remove_file(config).unwrap(),
        }
        (waiting.child, (pod, api, endpoint))
    });
    for ((child, (_, _, endpoint)), mistake) in runs.into_iter().zip(mistakes) {
        let run = support::run::finish(child);
        assert_eq!((run.code, endpoint.connections()), (Some(2), 0), "{mistake:?}: {run:?}");
        assert_eq!(run.logged("msg").as_deref(), Some("stopped, nothing was sent"));
    }
}

/// Opening a FIFO that nobody writes to would wait forever.
#[test]
fn an_opt_out_of_the_environment_opens_no_file() {
    for (name, value) in [("DO_NOT_TRACK", "1"), ("METRICS_RESPONDER_ENABLED", "no")] {
        let pod = Pod::new().env(name, value);
        let fifo = pod.folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let mut child = pod.config_at(fifo.to_str().unwrap()).start();
        let mut patience = 300;
        while child.try_wait().unwrap().is_none() {
            patience -= 1;
            if patience == 0 {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let run = support::run::finish(child);
        assert_eq!((run.code, run.logged("by").as_deref()), (Some(0), Some(name)), "{run:?}");
    }
}

#[test]
fn previews_show_the_report_of_a_disabled_installation() {
    for name in ["DO_NOT_TRACK", "METRICS_RESPONDER_ENABLED"] {
        let value = if name == "DO_NOT_TRACK" { "1" } else { "off" };
        let recording = cluster(CLUSTER);
        let recording = recording.to_str().unwrap();
        let run = bare_with(&["--dry-run", "--recorded", recording], &[(name, value)]);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(0), &*(expected(&cluster(CLUSTER)) + "\n"))
        );
        assert_eq!((run.lines().len(), run.logged("by").as_deref()), (1, Some(name)), "{run:?}");
        let run = bare_with(&["--explain", "--recorded", recording], &[(name, value)]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let answer = format!("Reporting  off: {name}\n");
        assert!(run.stdout.starts_with(&answer), "{run:?}");
        let applies_if_on = ["\nOff ", "\nWhen ", "\nFirst "];
        assert!(!applies_if_on.iter().any(|label| run.stdout.contains(label)), "{run:?}");
    }
}

#[test]
fn a_preview_that_cannot_be_printed_is_a_failure() {
    for (preview, reason) in [
        ("--dry-run", "GET /version: Connection refused (os error 111)"),
        ("--explain", "GET /version: Connection refused (os error 111)"),
    ] {
        let (pod, ..) = scene(CLUSTER);
        let run = pod.api(closed_port()).args([preview]).run();
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert_eq!(run.lines().len(), 1);
        assert_eq!(run.answer(), Some(reason), "{run:?}");
    }
    for config in ["spread: soon\n", "caFile: /nowhere/ca.pem\n"] {
        let (pod, ..) = scene(CLUSTER);
        let run = pod.config(config).args(["--dry-run"]).run();
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    }
}

/// The scene, in a cluster and with a CronJob of these creationTimestamps. `None` answers 404.
fn born(cluster_at: &str, cron_job_at: Option<&str>) -> (Pod, Server, Server) {
    let pod = Pod::new();
    let text =
        fs::read_to_string(cluster(CLUSTER).join("api/v1/namespaces/kube-system.json")).unwrap();
    let mut namespace: serde_json::Value = serde_json::from_str(&text).unwrap();
    namespace["metadata"]["creationTimestamp"] = serde_json::from_str(cluster_at).unwrap();
    let namespace = namespace.to_string();
    let cron_job = cron_job_at.map(|at| {
        format!(r#"{{"kind":"PartialObjectMetadata","metadata":{{"name":"x","creationTimestamp":{at}}}}}"#)
    });
    let api =
        api::serve_with(pod.authority.server(), &cluster(CLUSTER), move |request, connection| {
            let (status, body) = match request.path() {
                "/api/v1/namespaces/kube-system" => (200, namespace.clone()),
                path if path.contains("/cronjobs/") => match &cron_job {
                    Some(body) => (200, body.clone()),
                    None => api::refusal(404),
                },
                _ => return Ok(Handled::No),
            };
            connection.reply(status, &body).map(|()| Handled::Yes)
        });
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https());
    let pod = pod.env("METRICS_RESPONDER_GRACE_PERIOD", "24h");
    (pod, api, endpoint)
}

/// A timestamp in JSON, so many seconds from now.
fn from_now(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let moment = now.as_secs().checked_add_signed(seconds).unwrap();
    format!("\"{}\"", support::timestamp(moment))
}

#[test]
fn a_young_cluster_sends_nothing_and_says_in_how_long_it_will() {
    let (pod, _, endpoint) = born(&from_now(-10 * 3600 - 1800), None);
    let run = pod.run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!((run.lines().len(), endpoint.connections()), (1, 0), "{run:?}");
    let message = run.logged("msg").unwrap();
    assert!(message.contains("gracePeriod") && message.contains("nothing was sent"), "{message}");
    assert_eq!(run.logged("begins_in").as_deref(), Some("13h30m"));
    assert_eq!(run.logged("by").as_deref(), Some("METRICS_RESPONDER_GRACE_PERIOD"));
    assert_eq!(run.logged("turn_off"), Some(opt_out_command("kube-system")));
    // Not in the override, which the opt-out of the same line has to be able to create.
    let end = "kubectl -n kube-system set env cronjob/rke2-metrics-responder METRICS_RESPONDER_GRACE_PERIOD=0s";
    assert_eq!(run.logged("end_grace_period").as_deref(), Some(end));

    let run = pod.args(["--dry-run"]).run();
    assert_eq!(run.stdout, expected(&cluster(CLUSTER)) + "\n", "{run:?}");
    let (pod, ..) = born(&from_now(-10 * 3600 - 1800), None);
    let run = pod.args(["--explain"]).run();
    assert!(run.stdout.starts_with("Reporting  begins in 13h30m\n"), "{run:?}");
    let first =
        "24h after the cluster and the CronJob were created (METRICS_RESPONDER_GRACE_PERIOD)";
    assert!(run.stdout.contains(first), "{run:?}");
}

#[test]
fn an_old_cluster_with_a_new_cron_job_has_a_first_day_too() {
    let year_ago = from_now(-365 * 86_400);
    for (cluster_at, cron_job_at, sent) in [
        (&year_ago, Some(from_now(-3600)), 0),
        (&year_ago, Some(from_now(-25 * 3600)), 1),
        (&year_ago, Some("null".to_owned()), 1),
        (&year_ago, None, 1),
        (&from_now(-3600), Some(year_ago.clone()), 0),
        (&"null".to_owned(), Some(from_now(-3600)), 0),
        (&"null".to_owned(), None, 1),
        (&from_now(3600), None, 0),
        (&"\"2100-01-01T00:00:00Z\"".to_owned(), None, 0),
    ] {
        let (pod, api, endpoint) = born(cluster_at, cron_job_at.as_deref());
        let run = pod.run();
        assert_eq!(
            (run.code, endpoint.seen().len()),
            (Some(0), sent),
            "{cluster_at} {cron_job_at:?}: {run:?}"
        );
        let asked = api.seen().into_iter().map(|request| request.target);
        let cron_jobs: Vec<_> = asked.filter(|target| target.contains("cronjob")).collect();
        let path = "/apis/batch/v1/namespaces/kube-system/cronjobs/rke2-metrics-responder?resourceVersion=0";
        assert_eq!(cron_jobs, [path]);
    }
}

#[test]
fn without_a_grace_period_the_cron_job_is_not_read() {
    let (pod, api, endpoint) = born(&from_now(3600), Some(&from_now(3600)));
    let run = pod.env("METRICS_RESPONDER_GRACE_PERIOD", "0s").run();
    assert_eq!((run.code, endpoint.seen().len()), (Some(0), 1), "{run:?}");
    assert!(api.seen().iter().all(|request| !request.target.contains("cronjob")));
}

#[test]
fn the_cron_job_is_read_in_the_namespace_of_the_pod() {
    let (pod, api, _) = born(&from_now(-3600), None);
    pod.folder.write("sa/namespace", "telemetry");
    pod.run();
    let asked = api.seen().into_iter().any(|request| {
        request.path() == "/apis/batch/v1/namespaces/telemetry/cronjobs/rke2-metrics-responder"
    });
    assert!(asked);
}

/// A report that cannot be printed is not sent, because the log has to show whatever leaves.
#[test]
fn a_report_that_cannot_be_printed_is_not_sent() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let (pod, _, endpoint) = scene(CLUSTER);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = pod.command();
    let run = support::run::finish(command.stdout(full).spawn().unwrap());
    assert_eq!((run.code, endpoint.connections()), (Some(1), 0), "{run:?}");
    let reason = run.logged("reason").unwrap();
    assert_eq!(reason, "standard output: No space left on device (os error 28)");
    assert!(run.took < Duration::from_secs(20));
}
