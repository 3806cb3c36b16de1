//! Lists wrong settings in the file, the environment and the flags. The program never guesses.

use crate::row::Outcome::{Cluster, NotSent, Offline, Sent, SentWithoutCni, Typed, Unclear, Usage};
use crate::row::{DAEMONSETS, Row, VERSION, row};
use crate::support::server::{answer, closed_port};

pub fn rows() -> Vec<Row> {
    let tables = [
        keys(),
        values(),
        files(),
        variables(),
        durations(),
        endpoints(),
        http(),
        flags(),
        clusters(),
        strict(),
    ];
    tables.into_iter().flatten().collect()
}

fn keys() -> Vec<Row> {
    let unknown = [
        ("an unknown key", "endpont", "https://acme-example"),
        ("a misspelt opt-out", "enable", "false"),
        ("an opt-out in capitals", "ENABLED", "false"),
    ];
    let wrong = [
        ("a tab", "\tspread: 1s\n", ""),
        ("a list", "- spread\n", "invalid type: sequence"),
        ("a word", "enabled\n", "invalid type: a text, expected a mapping"),
        ("a duplicate key", "spread: 1s\nspread: 2s\n", "duplicate"),
        (
            "two documents",
            "spread: 1s\n---\nspread: 2s\n",
            "deserializing from YAML containing more than one document",
        ),
        ("aliases grow without end", BOMB, "unknown field `a`"),
    ];
    let unknown = unknown.map(|(name, key, value)| {
        row(name)
            .config(format!("{key}: {value}\n"))
            .gives(Usage(format!("config.yaml: unknown field `{key}`").leak()))
    });
    let wrong = wrong.map(|(name, text, reason)| {
        row(name).config(text).gives(Usage(format!("config.yaml: {reason}").leak()))
    });
    unknown.into_iter().chain(wrong).collect()
}

/// Aliases that expand to nine to the power of seven values.
const BOMB: &str = "\
a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]
endpoint: *g
";

/// Makes rows from a key, a value that is wrong for it, and the expected kind of value.
fn values() -> Vec<Row> {
    const BOOLEAN: &str = "true or false is expected";
    const DURATION: &str = "a duration such as 10m or 90s, at most 24h, is expected";
    const LONG: &str = "a duration such as 10m or 90s, at most 8760h, is expected";
    const TEXT: &str = "invalid type: sequence, expected a string";
    let values = [
        ("enabled", "maybe", BOOLEAN),
        ("enabled", "[false]", TEXT),
        ("allowHttp", "7", BOOLEAN),
        ("allowHttp", "perhaps", BOOLEAN),
        ("endpoint", "[a]", TEXT),
        ("caFile", "/nowhere", "/nowhere: No such file"),
        ("spread", "soon", DURATION),
        ("gracePeriod", "soon", LONG),
        ("gracePeriod", "24", LONG),
        ("gracePeriod", "8761h", LONG),
        ("gracePeriod", "[24h]", TEXT),
        ("timeout", "soon", DURATION),
    ];
    let row = |(key, value, expected)| {
        row(format!("{key}: {value}"))
            .config(format!("{key}: {value}\n"))
            .gives(Usage(format!("config.yaml: {key}: {expected}").leak()))
    };
    values.map(row).into()
}

fn files() -> Vec<Row> {
    let ca_files = [
        ("a CA file that is not there", "/nowhere", "No such file"),
        ("a CA file without a certificate", "/dev/null", "contains no certificate"),
        ("a CA file that never ends", "/dev/zero", "larger than 1048576 bytes"),
    ];
    let files = [
        row("a file that is not UTF-8")
            .config(b"endpoint: \xff\xfe\n")
            .gives(Usage("config.yaml: invalid leading UTF-8 octet")),
        row("a file of a megabyte")
            .config("# acme\n".repeat(150_000))
            .gives(Usage("config.yaml: larger than 65536 bytes")),
        row("a folder instead of a file").config_at("/").gives(Usage("reason=\"/: Is a directory")),
        row("a file that is not there")
            .config_at("/nowhere/config.yaml")
            .gives(Usage("/nowhere/config.yaml: No such file")),
    ];
    let ca_files = ca_files.map(|(name, file, reason)| {
        let reason = format!("METRICS_RESPONDER_CA_FILE: {file}: {reason}");
        row(name).env("METRICS_RESPONDER_CA_FILE", file).gives(Usage(reason.leak()))
    });
    files.into_iter().chain(ca_files).collect()
}

fn variables() -> Vec<Row> {
    const MISSPELT: &str =
        "not a variable of this program; METRICS_RESPONDER_ENABLED=false turns reporting off";
    let wrong = [
        ("ENABLED", "perhaps", "true or false is expected"),
        ("ALLOW_HTTP", "perhaps", "true or false is expected"),
        ("ENABLE", "false", MISSPELT),
        ("enabled", "false", MISSPELT),
        // A Service of this name would set such a variable, without `enableServiceLinks: false`.
        ("PORT", "tcp://10.43.0.7:80", MISSPELT),
    ];
    let wrong = wrong.map(|(name, value, expected)| {
        let name = format!("METRICS_RESPONDER_{name}");
        row(format!("{name}={value}"))
            .env(&name, value)
            .gives(Usage(format!("{name}: {expected}").leak()))
    });
    let right = [
        row("variables of other programs")
            .env("OTEL_METRICS_ENABLED", "false")
            .env("RKE2_SECURITY_RESPONDER_ENABLED", "false"),
        row("variables that are empty").env("METRICS_RESPONDER_SPREAD", "").env("DO_NOT_TRACK", ""),
        row("DO_NOT_TRACK=0").env("DO_NOT_TRACK", "0"),
    ];
    let right = right.map(|row| row.gives(Sent));
    wrong.into_iter().chain(right).collect()
}

fn durations() -> Vec<Row> {
    const DURATIONS: [&str; 7] = ["10", "-1s", "1.5s", "soon", "10 m", "1d", "99999999999999s"];
    let variables = [
        ("METRICS_RESPONDER_SPREAD", "24h", vec!["25h"]),
        ("METRICS_RESPONDER_TIMEOUT", "24h", vec!["25h", "0s"]),
        ("METRICS_RESPONDER_GRACE_PERIOD", "8760h", vec!["8761h"]),
    ];
    let rows = |(variable, most, others): (&'static str, _, Vec<_>)| {
        let reason = format!("{variable}: a duration such as 10m or 90s, at most {most}");
        let reason: &'static str = reason.leak();
        let durations = DURATIONS.into_iter().chain(others);
        durations.map(move |duration| {
            row(format!("{variable}={duration}")).env(variable, duration).gives(Usage(reason))
        })
    };
    variables.into_iter().flat_map(rows).collect()
}

fn endpoints() -> Vec<Row> {
    const URLS: [&str; 10] = [
        "nonsense",
        "https://",
        "https://a:99999",
        "https://a b",
        "ftp://a",
        "file:///etc/passwd",
        "https://a#b",
        "//a",
        "https://[::1",
        "https://acme-canary:acme-canary@a",
    ];
    let row = |url| {
        row(format!("METRICS_RESPONDER_ENDPOINT={url}"))
            .endpoint_url(url)
            .gives(Usage("METRICS_RESPONDER_ENDPOINT: "))
    };
    URLS.map(row).into()
}

/// Plain http is only for this machine, unless it is allowed.
fn http() -> Vec<Row> {
    const URL: &str = "http://receiver.example";
    const REFUSED: &str = "METRICS_RESPONDER_ENDPOINT: http is only for this machine";
    const INVALID: &str = "http://receiver.invalid/v1";
    const ALLOWED: &str = "POST http://receiver.invalid/v1: the host name does not resolve";
    let allowed = ["yes", "on", "1", "TRUE", "'true'"];
    let refused = ["no", "off", "0", "false", "~"];
    let allowed = allowed.map(|word| {
        row(format!("allowHttp: {word}"))
            .config(format!("allowHttp: {word}\n"))
            .endpoint_url(INVALID)
            .gives(NotSent(ALLOWED))
    });
    let refused = refused.map(|word| {
        row(format!("allowHttp: {word}"))
            .config(format!("allowHttp: {word}\n"))
            .endpoint_url(URL)
            .gives(Usage(REFUSED))
    });
    let others = [
        row("METRICS_RESPONDER_ENDPOINT=http://receiver.example")
            .endpoint_url(URL)
            .gives(Usage(REFUSED)),
        row("METRICS_RESPONDER_ALLOW_HTTP=yes")
            .env("METRICS_RESPONDER_ALLOW_HTTP", "yes")
            .endpoint_url(INVALID)
            .gives(NotSent(ALLOWED)),
        row("METRICS_RESPONDER_ALLOW_HTTP=no over allowHttp: yes")
            .config("allowHttp: yes\n")
            .env("METRICS_RESPONDER_ALLOW_HTTP", "no")
            .endpoint_url(URL)
            .gives(Usage(REFUSED)),
        row("http to this machine").endpoint_http().gives(Sent),
        row("http with a proxy for https")
            .endpoint_http()
            .env("ALL_PROXY", "http://receiver.invalid")
            .gives(Sent),
    ];
    allowed.into_iter().chain(refused).chain(others).collect()
}

fn flags() -> Vec<Row> {
    vec![
        row("an unknown option").args(["--dryrun"]).gives(Typed("unexpected argument '--dryrun'")),
        row("an argument that is not an option")
            .args(["send"])
            .gives(Typed("unexpected argument 'send'")),
        row("an option without its value")
            .args(["--endpoint"])
            .gives(Typed("'--endpoint' option doesn't have an associated value")),
        row("an option with an empty value")
            .args(["--endpoint="])
            .gives(Typed("'--endpoint' option doesn't have an associated value")),
        row("an option given twice")
            .args(["--config=/nowhere"])
            .gives(Typed("unexpected argument '--config=...'")),
        row("a key in an option given twice")
            .args(["--endpoint=https://a/?acme-canary", "--endpoint=https://a"])
            .gives(Typed("unexpected argument '--endpoint=...'")),
        row("two previews")
            .args(["--dry-run", "--explain"])
            .gives(Typed("--dry-run and --explain cannot be combined")),
        row("an endpoint that is no URL")
            .args(["--endpoint=nonsense"])
            .gives(Usage("--endpoint: an https URL is expected")),
        row("an endpoint by http")
            .args(["--endpoint=http://receiver.example"])
            .gives(Usage("--endpoint: http is only for this machine")),
    ]
}

fn clusters() -> Vec<Row> {
    vec![
        row("two clusters")
            .args(["--recorded=/", "--kubeconfig=/nowhere"])
            .gives(Typed("--recorded and --kubeconfig cannot be combined")),
        row("a kubeconfig that is not there")
            .args(["--kubeconfig", "/nowhere"])
            .gives(Usage("--kubeconfig /nowhere: No such file")),
        row("an empty kubeconfig")
            .args(["--kubeconfig", "/dev/null"])
            .gives(Usage("--kubeconfig /dev/null: current-context: not set")),
        row("a recording that is not there")
            .args(["--recorded", "/nowhere"])
            .gives(Usage("--recorded /nowhere: not a folder")),
        row("an empty recording")
            .args(["--recorded", "/proc/self/fd"])
            .gives(Cluster("GET /version: status 404")),
    ]
}

/// `--strict` changes the exit status only if a report was not accepted.
fn strict() -> Vec<Row> {
    let nobody = format!("https://127.0.0.1:{}", closed_port());
    let rows = [
        row("an accepted report").gives(Sent),
        row("no cni-plugin").api_refuses(DAEMONSETS, 503).gives(SentWithoutCni("status 503")),
        row("an endpoint on which nobody listens")
            .endpoint_url(&nobody)
            .gives(NotSent("Connection refused")),
        row("a proxy on which nobody listens").proxy_url(&nobody).gives(NotSent(
            "through=HTTPS_PROXY reason=\"POST https://receiver.invalid/v1: Connection refused",
        )),
        row("an endpoint that answers 503")
            .endpoint_replies(answer(503, ""))
            .gives(Unclear("status 503")),
        row("an endpoint that answers 307")
            .endpoint_redirects(307, "http://127.0.0.1:PORT/v1/checkupgrade")
            .gives(Unclear("status 307")),
        row("an endpoint that answers with HTML")
            .endpoint_replies(answer(200, "<html>acme-canary</html>"))
            .gives(Unclear("not the reply of an upgrade-responder")),
        row("an API server on which nobody listens")
            .api_port(closed_port())
            .gives(Offline("GET /version: Connection refused")),
        row("an API server that answers 503")
            .api_refuses(VERSION, 503)
            .gives(Offline("GET /version: status 503")),
        row("an API server that answers 403")
            .api_refuses(VERSION, 403)
            .gives(Cluster("GET /version: status 403")),
        row("a wrong setting")
            .env("METRICS_RESPONDER_SPREAD", "soon")
            .gives(Usage("METRICS_RESPONDER_SPREAD: ")),
    ];
    rows.map(Row::strict).into()
}
