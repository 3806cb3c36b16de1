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
use std::path::Path;

use metrics_responder::internals::{DEFAULT_ENDPOINT, FIELDS, HELP, META, PRIMARY};
use serde_json::Value;
use support::api;
use support::run::{Pod, bare};
use support::server::Server;
use support::{cluster, expected};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
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
    assert!(blocks.contains(&accepted.stderr), "{accepted:?}");

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
fn every_option_and_variable_of_the_readme_is_in_help_and_the_other_way_round() {
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
fn the_readme_lists_the_source_files() {
    let listed = quoted(&read("README.md"), |w| w.starts_with("src/"));
    let mut existing = BTreeSet::new();
    for folder in ["src", "src/kube"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                existing.insert(format!("{folder}/{name}"));
            }
        }
    }
    assert_eq!(listed, existing);
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    for document in [
        "README.md",
        "deploy/README.md",
        "deploy/receiver/README.md",
        ".github/CONTRIBUTING.md",
    ] {
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
    for document in [
        "README.md",
        "deploy/README.md",
        ".github/CONTRIBUTING.md",
        "src/cni.rs",
    ] {
        for command in quoted(&read(document), |w| w.starts_with("just ")) {
            let recipe = command.split(' ').nth(1).unwrap();
            assert!(recipes.contains(recipe), "{document}: {command}");
        }
    }
}

#[test]
fn the_readme_counts_the_daemonsets_that_rbac_names() {
    let names: BTreeSet<_> = META
        .iter()
        .chain(PRIMARY)
        .map(|row| row.daemonset.name)
        .collect();
    assert_eq!(names.len(), 17);
    assert!(read("README.md").contains("seventeen DaemonSets by name"));
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

#[test]
fn the_changelog_knows_this_version() {
    let heading = concat!("## [", env!("CARGO_PKG_VERSION"), "]");
    assert!(read(".github/CHANGELOG.md").contains(heading));
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
    let general = |target: &str| match target.split('/').collect::<Vec<_>>()[..] {
        ["", "apis", "apps", "v1", "namespaces", _, "daemonsets", _] => {
            "/apis/apps/v1/namespaces/NAMESPACE/daemonsets/NAME".to_owned()
        }
        _ => target.to_owned(),
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
    let readme = read("README.md");
    let section = readme.split("\n## Who could attack it").nth(1).unwrap();
    let rows = section.split("\n\n").nth(2).unwrap().lines().skip(2);
    let proofs = rows.flat_map(|row| quoted(row.rsplit('|').nth(1).unwrap(), |_| true));
    let sources = [
        "tests/faults.rs",
        "tests/e2e.rs",
        "tests/properties.rs",
        "tests/docs.rs",
    ];
    let sources: String = sources.map(read).concat();
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
