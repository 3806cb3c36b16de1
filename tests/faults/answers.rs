//! Lists answers of the API server with status 200 that are unusual or wrong.

use std::fs;

use crate::row::Outcome::{Cluster, Offline, Sent, SentAs, SentWithoutCni};
use crate::row::{CLUSTER, DAEMONSETS, MB, NAMESPACE, NODES, Row, TIMED_OUT, VERSION, row};
use crate::support::api::{self, Handled};
use crate::support::cluster;
use crate::support::server::answer;

const UNEXPECTED: &str = "not an answer from Kubernetes: unexpected JSON";

pub fn rows() -> Vec<Row> {
    let tables = [
        versions(),
        uids(),
        timestamps(),
        unusable_tables(),
        lists(),
        whole_answers(),
        pieces(),
        cnis(),
    ];
    tables.into_iter().flatten().collect()
}

fn versions() -> Vec<Row> {
    let long = format!("\"v1.36.2-{}\"", "a".repeat(1000));
    let twice = "\"v1.36.2\",\"gitVersion\":\"v1.36.3\"";
    let versions = [
        ("gitVersion is a number", "3"),
        ("gitVersion is null", "null"),
        ("gitVersion is empty", "\"\""),
        ("gitVersion is a name", "\"acme-canary\""),
        ("gitVersion and more text", "\"v1.36.2 acme-canary\""),
        ("gitVersion has a line break", "\"v1.36.2\\nacme-canary\""),
        ("gitVersion is very long", &long),
        ("gitVersion is duplicated", twice),
    ];
    let with_version = |(name, version)| {
        row(name)
            .api_replies(VERSION, format!("{{\"gitVersion\":{version}}}"))
            .gives(Cluster(UNEXPECTED))
    };
    versions.map(with_version).into()
}

fn uids() -> Vec<Row> {
    let twice = format!("{{\"uid\":\"{UID}\",\"uid\":\"{UID}\"}}");
    let nil = r#"{"uid":"00000000-0000-0000-0000-000000000000"}"#;
    let metadata = [
        ("the uid is no UUID", r#"{"uid":"acme-canary"}"#),
        ("the uid is a number", r#"{"uid":1}"#),
        ("the uid is nil", nil),
        ("the uid is duplicated", &twice),
        ("there is no uid", "{}"),
        ("there is no metadata", "null"),
    ];
    let row = |(name, metadata)| {
        row(name)
            .api_replies(NAMESPACE, format!("{{\"metadata\":{metadata}}}"))
            .gives(Cluster(UNEXPECTED))
    };
    metadata.map(row).into()
}

/// The UID of the recorded cluster.
const UID: &str = "0fd6ac60-b9ea-46b8-85fa-cb6cfdb9e57e";

/// Timestamps must have the one form that Kubernetes writes, or be null.
fn timestamps() -> Vec<Row> {
    let wrong = [
        ("is a word", "\"acme-canary\""),
        ("is empty", "\"\""),
        ("is a number", "1763842628"),
        ("is a date", "\"2026-11-22\""),
        ("has no zone", "\"2026-11-22T20:17:08\""),
        ("is no day of the calendar", "\"2026-02-30T20:17:08Z\""),
        ("has an offset", "\"2024-11-22T20:17:08+01:00\""),
        ("has a fraction", "\"2024-11-22T20:17:08.5Z\""),
    ];
    let right = [("is null", "null"), ("is in the past", "\"2024-11-22T20:17:08Z\"")];
    let row = |what, time| {
        let metadata = format!("{{\"uid\":\"{UID}\",\"creationTimestamp\":{time}}}");
        row(format!("creationTimestamp {what}"))
            .env("METRICS_RESPONDER_GRACE_PERIOD", "24h")
            .api_replies(NAMESPACE, format!("{{\"metadata\":{metadata}}}"))
    };
    let wrong = wrong.map(|(what, time)| row(what, time).gives(Cluster(UNEXPECTED)));
    let right = right.map(|(what, time)| row(what, time).gives(Sent));
    wrong.into_iter().chain(right).collect()
}

/// Returns the recorded Table and the recorded typed list of the nodes.
fn recorded() -> [String; 2] {
    ["nodes.table.json", "nodes.json"].map(|file| {
        let file = cluster(CLUSTER).join("api/v1").join(file);
        fs::read_to_string(file).unwrap()
    })
}

/// The name of a row, a text of the recording, and its replacement.
type Edit = (&'static str, &'static str, &'static str);

fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in the recording");
    text.replacen(from, to, 1)
}

const METADATA: &str = "\"metadata\":{";
const CONTINUED: &str = "\"metadata\":{\"continue\":\"acme-canary\",";

/// The request for the Table.
const ALL_NODES: &str = "/api/v1/nodes?resourceVersion=0&includeObject=None";

/// After each of these Tables the program requests the typed list, which is as recorded.
fn unusable_tables() -> Vec<Row> {
    const CELLS: &str = "{\"cells\":[";
    const OTHER: &str = "\"acme-canary\"";
    const TOO_FEW: &str = "{\"cells\":[\"acme-canary\"]},{\"cells\":[";
    const EDITS: [Edit; 6] = [
        ("the Table has no column Roles", "\"Roles\"", OTHER),
        ("the Table has no column OS-Image", "\"OS-Image\"", OTHER),
        ("a row has too few cells", CELLS, TOO_FEW),
        ("a row has no cells", CELLS, "{},{\"cells\":["),
        ("a cell is a number", "\"control-plane,etcd\"", "7"),
        ("the Table is the first of several pages", METADATA, CONTINUED),
    ];
    let [table, _] = recorded();
    let edits = EDITS.map(|(name, from, to)| {
        row(name).api_replies(ALL_NODES, edited(&table, from, to)).gives(Sent)
    });
    let without_rows = row("the Table has no rows")
        .api_replies(ALL_NODES, r#"{"kind":"Table","columnDefinitions":[]}"#)
        .gives(Sent);
    edits.into_iter().chain([without_rows]).collect()
}

fn lists() -> Vec<Row> {
    const ITEMS: &str = "\"items\":[";
    const LABELS: &str = "\"labels\":{";
    const OS_IMAGE: &str = "\"osImage\":\"Ubuntu 22.04.5 LTS\"";
    const EDITS: [Edit; 7] = [
        ("the list is the first of several pages", METADATA, CONTINUED),
        ("an item is null", ITEMS, "\"items\":[null,"),
        ("an item is a number", ITEMS, "\"items\":[7,"),
        ("the items are duplicated", ITEMS, "\"items\":[],\"items\":["),
        ("the kind is duplicated", "{", "{\"kind\":\"NodeList\","),
        ("labels are a list", LABELS, "\"labels\":[],\"x\":{"),
        ("an osImage is a number", OS_IMAGE, "\"osImage\":7"),
    ];
    let [_, list] = recorded();
    let edits = EDITS.map(|(name, from, to)| {
        row(name).api_replies(NODES, edited(&list, from, to)).gives(Cluster(UNEXPECTED))
    });
    let others = [
        row("the items are an object")
            .api_replies(NODES, r#"{"kind":"NodeList","items":{}}"#)
            .gives(Cluster(UNEXPECTED)),
        row("the list never ends")
            .short()
            .api_floods(
                NODES,
                "{\"kind\":\"NodeList\",\"items\":[{\"metadata\":{}}",
                ",{\"metadata\":{}}",
                usize::MAX,
            )
            .gives(Offline(TIMED_OUT)),
        row("an item has 100 MB")
            .api_floods(
                NODES,
                "{\"kind\":\"NodeList\",\"items\":[{\"a\":\"",
                "acme-canary",
                100 * MB,
            )
            .gives(Cluster("a value of more than 2 MiB")),
    ];
    edits.into_iter().chain(others).collect()
}

fn whole_answers() -> Vec<Row> {
    let [table, list] = recorded();
    vec![
        row("a Table comes instead of the typed list")
            .api_replies(NODES, edited(&table, "\"Roles\"", "\"acme-canary\""))
            .gives(Cluster("a Table, which was not requested")),
        row("the typed list comes instead of a Table").api_replies(NODES, list).gives(Sent),
        row("the connection is closed after each answer")
            .api_answers("/", |request, connection| {
                let (status, body) = api::respond(&cluster(CLUSTER), request);
                let text = answer(status, &body).replacen("\r\n", "\r\nConnection: close\r\n", 1);
                connection.write(text.as_bytes()).map(|()| Handled::Closed)
            })
            .gives(Sent),
    ]
}

fn pieces() -> Vec<Row> {
    let [table, list] = recorded();
    let pieces = |(what, text): (&str, String)| {
        let row = |part| {
            row(format!("{part}/8 of a {what}"))
                .api_replies(NODES, &text[..text.len() * part / 8])
                .gives(Cluster("JSON that ends"))
        };
        (1..8).map(row).collect::<Vec<_>>()
    };
    let texts = [("Table", table), ("list", list)];
    texts.into_iter().flat_map(pieces).collect()
}

/// DaemonSets show the CNI; if none of them does, annotations of the nodes do.
fn cnis() -> Vec<Row> {
    const SOME_NODES: &str = "/api/v1/nodes?limit=5";
    const NO_NODES: &str = r#"{"kind":"PartialObjectMetadataList","items":null}"#;
    const NO_ANNOTATIONS: &str = r#"{"kind":"NodeList","items":[{"metadata":{}}]}"#;
    vec![
        row("a DaemonSet is of another kind")
            .api_replies(DAEMONSETS, r#"{"kind":"acme-canary"}"#)
            .gives(SentWithoutCni(UNEXPECTED)),
        row("multus calls another CNI")
            .daemonsets([("rke2-canal", 200), ("kube-multus-ds", 200)])
            .gives(SentAs("multus,canal")),
        row("kube-router runs in addition to flannel")
            .daemonsets([("kube-router", 200)])
            .gives(SentAs("flannel")),
        row("kube-router runs without flannel")
            .daemonsets([("kube-router", 200)])
            .api_replies(SOME_NODES, NO_ANNOTATIONS)
            .gives(SentAs("kube-router")),
        row("neither a DaemonSet nor an annotation shows a CNI")
            .daemonsets([])
            .api_replies(SOME_NODES, NO_NODES)
            .gives(SentAs("unknown")),
        row("the list of annotations is of another kind")
            .daemonsets([])
            .api_replies(SOME_NODES, r#"{"kind":"acme-canary","items":[]}"#)
            .gives(SentWithoutCni("nodes?limit=5: not an answer from Kubernetes: unexpected JSON")),
    ]
}
