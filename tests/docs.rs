//! What the documentation says is what the program does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use metrics_responder::internals::{
    DEFAULT_ENDPOINT, FIELDS, HELP, META, PRIMARY, opt_out_command,
};
use serde_json::Value;
use support::api;
use support::run::{Pod, bare};
use support::server::Server;
use support::{cluster, expected, files};

const CONTRIBUTING: &str = ".github/CONTRIBUTING.md";
const DEPLOY: &str = "deploy/README.md";
const DOCUMENTS: [&str; 6] = [
    "README.md",
    DEPLOY,
    "deploy/receiver/README.md",
    CONTRIBUTING,
    ".github/CHANGELOG.md",
    ".github/SECURITY.md",
];

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(root(file)).expect(file)
}

/// The fenced blocks of a document, without their fences.
fn blocks(document: &str) -> Vec<String> {
    let parts = document.split("\n```").collect::<Vec<_>>();
    let inside = parts.iter().skip(1).step_by(2);
    inside
        .map(|block| block.split_once('\n').unwrap().1.to_owned() + "\n")
        .collect()
}

/// The words between backquotes that `choose` takes.
fn quoted(document: &str, choose: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let words = document.split('`').skip(1).step_by(2);
    words.filter(|w| choose(w)).map(ToOwned::to_owned).collect()
}

#[test]
fn the_first_command_of_the_readme_prints_the_payload_it_shows() {
    let readme = read("README.md");
    let blocks = blocks(&readme);
    let mut commands = blocks[0].lines();
    let arguments = commands
        .next()
        .unwrap()
        .strip_prefix("$ cargo run --release -- ")
        .unwrap();
    let run = bare(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(run.stdout, blocks[1], "{run:?}");
    assert_eq!(commands.next(), Some("$ cargo test"));
    assert!(read(".ci/run").contains("\ncargo test"));
}

#[test]
fn the_readme_has_the_text_of_help() {
    assert!(blocks(&read("README.md")).contains(&HELP.to_owned()));
    assert_eq!(bare(&["--help"]).stdout, HELP);
}

#[test]
fn the_log_lines_of_the_readme_are_those_of_the_program() {
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster("rke2-canal-ha"));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let accepted = pod.api(api.port).endpoint(&endpoint.https()).run();
    let blocks = blocks(&read("README.md"));
    let whole = format!("{}{}", accepted.stdout, accepted.stderr);
    assert!(blocks.contains(&whole), "{accepted:?}");

    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster("rke2-canal-ha"));
    let url = "https://no-such-host.invalid/v1/checkupgrade";
    let offline = pod.api(api.port).endpoint(url).run();
    assert!(
        blocks.contains(&offline.stderr.replace(url, DEFAULT_ENDPOINT)),
        "{offline:?}"
    );
}

#[test]
fn every_variable_of_the_readme_is_in_help_and_the_other_way_round() {
    let readme = read("README.md");
    let table = readme.split("### Configuration").nth(1).unwrap();
    let is_variable = |word: &str| word.starts_with("METRICS_RESPONDER_") && !word.contains('=');
    let in_readme = quoted(table, is_variable);
    let in_help: BTreeSet<_> = HELP
        .split_whitespace()
        .filter(|w| is_variable(w))
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(in_readme, in_help);
    assert!(HELP.contains(DEFAULT_ENDPOINT));
}

#[test]
fn the_list_of_files_is_whole() {
    let listed = quoted(&read(CONTRIBUTING), |w| {
        w.starts_with("src/") && w.contains(".rs")
    });
    let existing = files(&root("src")).into_iter();
    let existing: BTreeSet<_> = existing
        .map(|file| format!("src/{}", file.display()))
        .collect();
    assert_eq!(listed, existing);
}

/// Every path of the repository that a document names, in prose or in a command.
#[test]
fn every_path_of_a_document_exists() {
    for document in DOCUMENTS {
        let text = read(document);
        let words = text.split(|c: char| c.is_whitespace() || "`'\"()|,;:#".contains(c));
        for word in words.map(|word| word.trim_end_matches('.')) {
            let inside = ["deploy/", "src/", "tests/", "testdata/", ".github/", ".ci/"];
            let example = ["my-cluster", "sha256", "NAMESPACE"]
                .iter()
                .any(|part| word.contains(part));
            if inside.iter().any(|folder| word.starts_with(folder)) && !example {
                assert!(root(word).exists(), "{document}: {word}");
            }
        }
    }
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = Path::new(document).parent().unwrap();
        for link in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                document.into()
            } else {
                folder.join(file)
            };
            let target = target.to_str().unwrap();
            assert!(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
                "{document}: {link}"
            );
            let anchors = || {
                read(target)
                    .lines()
                    .filter(|l| l.starts_with('#'))
                    .map(slug)
                    .collect::<Vec<_>>()
            };
            assert!(
                anchor.is_empty() || anchors().contains(&anchor.to_owned()),
                "{document}: {link}"
            );
        }
    }
}

/// The anchor that a heading gets.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_recipe_that_a_document_names_exists() {
    let recipes: BTreeSet<String> = read("justfile")
        .lines()
        .filter(|line| {
            line.starts_with(|c: char| c.is_ascii_lowercase())
                && line.contains(':')
                && !line.contains(":=")
        })
        .map(|line| line.split([' ', ':']).next().unwrap().to_owned())
        .collect();
    for document in DOCUMENTS.into_iter().chain(["src/report/cni.rs"]) {
        for command in quoted(&read(document), |w| w.starts_with("just ")) {
            let recipe = command.split(' ').nth(1).unwrap();
            assert!(recipes.contains(recipe), "{document}: {command}");
        }
    }
}

#[test]
fn rbac_names_the_daemonsets_of_the_table_and_nothing_else() {
    let names: BTreeSet<_> = META
        .iter()
        .chain(PRIMARY)
        .map(|row| row.daemonset.name)
        .collect();
    let rule = "    resources: [daemonsets]\n    resourceNames:\n";
    let manifest = read("deploy/upgrade-responder.yaml");
    let listed = manifest.split(rule).nth(1).unwrap().lines();
    let listed = listed.map_while(|line| line.strip_prefix("      - "));
    assert_eq!(listed.collect::<BTreeSet<_>>(), names);
}

#[test]
fn the_schema_of_the_receiver_takes_exactly_the_payload() {
    let schema: Value = serde_json::from_str(&read("deploy/receiver/request-schema.json")).unwrap();
    let report: Value = serde_json::from_str(&expected(&cluster("rke2-canal-ha"))).unwrap();
    for part in ["extraTagInfo", "extraFieldInfo"] {
        let allowed = schema[format!("{part}Schema")].as_object().unwrap();
        let sent = report[part].as_object().unwrap();
        assert_eq!(keys(allowed), keys(sent));
        for (key, value) in sent {
            let kind = if value.is_string() { "string" } else { "float" };
            assert_eq!(allowed[key]["dataType"], kind, "{key}");
        }
    }
    assert_eq!(schema["appVersionSchema"]["dataType"], "string");
}

fn keys(map: &serde_json::Map<String, Value>) -> BTreeSet<&String> {
    map.keys().collect()
}

#[test]
fn the_readme_describes_the_fields_of_the_payload() {
    let readme = read("README.md");
    let table = readme
        .split("| field |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let listed: Vec<_> = table
        .lines()
        .skip(2)
        .map(|row| row.split('`').nth(1).unwrap())
        .collect();
    let fields: Vec<_> = FIELDS.iter().map(|field| field.key).collect();
    assert_eq!(listed, fields);
}

/// Every image, file and tag of ours in a document is of this version.
#[test]
fn the_documents_name_this_version() {
    let ours = [
        "rke2-metrics-responder:v",
        "rke2-metrics-responder-",
        "tags/v",
        "branch v",
        "download v",
        "tag=v",
        "tag `v",
        "  - version: ",
    ];
    let documents = read("deploy/README.md") + &read(".github/SECURITY.md");
    let after = ours
        .iter()
        .flat_map(|before| documents.split(before).skip(1));
    let named: Vec<_> = after
        .filter(|after| after.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert!(named.len() > 6, "{named:?}");
    for after in named {
        // rancher/rke2-charts append the number of the packaging: `0.3.001`.
        assert!(after.starts_with(env!("CARGO_PKG_VERSION")), "{after:.20}");
    }
}

/// Every request of the README's table is one that the program makes, and the other way round.
#[test]
fn the_requests_of_the_readme_are_those_of_the_program() {
    let readme = read("README.md");
    let table = readme.split("### What a run does").nth(1).unwrap();
    let table = table.split("\n\nAll GETs").next().unwrap();
    let listed = quoted(table, |w| w.starts_with("GET /"));
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster("k3s-embedded-flannel"));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    assert_eq!(
        pod.api(api.port).endpoint(&endpoint.https()).run().code,
        Some(0)
    );
    let general = |target: &str| {
        let daemonset = target.strip_prefix("/apis/apps/v1/namespaces/");
        match daemonset.and_then(|rest| rest.split_once('?')) {
            Some((_, query)) => {
                format!("/apis/apps/v1/namespaces/NAMESPACE/daemonsets/NAME?{query}")
            }
            None => target.to_owned(),
        }
    };
    let made = api
        .seen()
        .iter()
        .map(|r| format!("GET {}", general(&r.target)))
        .collect();
    assert_eq!(listed, made);
}

#[test]
fn every_proof_of_the_threat_model_exists() {
    let document = read(DEPLOY);
    let section = document.split("\n## Who could attack it").nth(1).unwrap();
    let rows = section.split("\n\n").nth(2).unwrap().lines().skip(2);
    let proofs = rows.flat_map(|row| quoted(row.rsplit('|').nth(1).unwrap(), |_| true));
    let sources = sources();
    for proof in proofs {
        let named = format!("\"{proof}\"");
        let is_row = sources.contains(&named) || sources.contains(&format!("fn {proof}("));
        // Rows for statuses are made by a loop over them.
        let status = proof
            .strip_prefix("status ")
            .is_some_and(|s| sources.contains(s));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(&proof).exists();
        assert!(is_row || status || script, "{proof}");
    }
}

/// The text of all tests.
fn sources() -> String {
    let folders = ["tests", "tests/faults"].map(|folder| fs::read_dir(root(folder)).unwrap());
    let files = folders
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let tests = files.filter(|file| file.extension().is_some_and(|e| e == "rs"));
    tests
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

/// A name with blanks is a row of a table, one with underscores a test, one with slashes a file.
#[test]
fn every_keeper_of_the_decision_record_exists() {
    let document = read(DEPLOY);
    let section = document.split("\n## The decision record").nth(1).unwrap();
    let unit = read("src/config.rs");
    let sources = sources() + &unit;
    for row in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let keepers = row.rsplit('|').nth(1).unwrap();
        for keeper in quoted(keepers, |w| {
            w.contains('_') || w.contains(' ') || w.contains('/')
        }) {
            let file = keeper.split(' ').next().unwrap();
            let exists = if keeper.contains('/') {
                root(file).exists()
            } else {
                sources.contains(&format!("fn {keeper}("))
                    || sources.contains(&format!("\"{keeper}\""))
            };
            assert!(exists, "{keeper}");
        }
    }
}

#[test]
fn the_opt_out_is_the_same_line_everywhere() {
    let line = opt_out_command("kube-system");
    for document in ["README.md", DEPLOY] {
        assert!(
            blocks(&read(document)).contains(&format!("{line}\n")),
            "{document}"
        );
    }
    for file in ["deploy/upgrade-responder.yaml", "deploy/chart/values.yaml"] {
        assert!(
            read(file)
                .lines()
                .any(|l| l.trim_start_matches(['#', ' ']) == line),
            "{file}"
        );
    }
    let notes =
        read("deploy/chart/templates/NOTES.txt").replace("{{ .Release.Namespace }}", "kube-system");
    assert!(notes.lines().any(|l| l.trim() == line));
    let receiver = read("deploy/receiver/README.md");
    assert!(receiver.lines().any(|l| l.trim() == line));
    // No other line makes the ConfigMap for this.
    for document in DOCUMENTS {
        for other in read(document)
            .lines()
            .filter(|l| l.contains("METRICS_RESPONDER_ENABLED=false"))
        {
            assert!(
                other.contains(&line) || !other.contains("create configmap"),
                "{document}: {other}"
            );
        }
    }
    // The log has it in `tests/e2e.rs`, `--explain` in `tests/explain.rs`, `manifest` in
    // `tests/manifest.rs`.
}

/// A manifest that is redirected into the live folder would be empty while it is written.
#[test]
fn no_document_redirects_into_a_live_manifest() {
    for document in DOCUMENTS {
        for line in read(document).lines() {
            let redirected = line
                .split('>')
                .skip(1)
                .any(|rest| rest.contains("server/manifests"));
            assert!(!redirected, "{document}: {line}");
        }
    }
}

#[test]
fn the_drop_ins_are_those_of_the_document() {
    for unit in ["rke2-server", "k3s"] {
        let file = format!("deploy/systemd/{unit}.conf");
        let install = format!("{file} /etc/systemd/system/{unit}.service.d/metrics-responder.conf");
        assert!(read(DEPLOY).contains(&install), "{unit}");
        assert!(
            read(&file).contains(&install["deploy/systemd/".len()..]),
            "{unit}"
        );
    }
}
