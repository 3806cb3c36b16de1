//! Compares the documentation with the program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics_responder::internals::{
    DEFAULT_ENDPOINT, FIELDS, HELP, MANIFEST, MANIFEST_HELP, META, PRIMARY, opt_out_command, wait,
};
use serde::Deserialize;
use serde_json::{Value, json};
use support::api::{self, Handled};
use support::run::{Pod, bare, manifest_with};
use support::server::Server;
use support::{Folder, cluster, expected, files};

const CHANGELOG: &str = ".github/CHANGELOG.md";
const CONTRIBUTING: &str = ".github/CONTRIBUTING.md";
const INSTALL: &str = "deploy/docs/install.md";
const PRIVACY: &str = "deploy/docs/privacy.md";
const README: &str = "README.md";
const RKE2: &str = "deploy/docs/rke2.md";
const SECURITY: &str = "deploy/docs/security.md";
const SETTINGS: &str = "deploy/docs/settings.md";

/// Lists the README and every page below `deploy` and `.github`.
fn documents() -> Vec<String> {
    let pages = ["deploy", ".github"].into_iter().flat_map(|folder| {
        let files = files(&root(folder)).into_iter();
        let pages = files.filter(|file| file.extension().is_some_and(|e| e == "md"));
        pages.map(move |page| format!("{folder}/{}", page.display()))
    });
    let pages: Vec<_> = pages.collect();
    assert!(pages.len() > 10, "{pages:?}");
    [README.to_owned()].into_iter().chain(pages).collect()
}

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(root(file)).expect(file)
}

/// Returns the fenced blocks of a document, without their fences.
fn blocks(document: &str) -> Vec<String> {
    let parts = document.split("\n```").collect::<Vec<_>>();
    let inside = parts.iter().skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').unwrap().1.to_owned() + "\n").collect()
}

/// Returns the part of a document below a heading, up to the next heading of the same level.
fn section(document: &str, heading: &str) -> String {
    let text = read(document);
    let level = heading.split(' ').next().unwrap();
    let (_, below) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{document}: {heading}"));
    let end = below.find(&format!("\n{level} ")).unwrap_or(below.len());
    below[..end].to_owned()
}

/// Returns a document without its fenced blocks.
fn prose(document: &str) -> String {
    let text = read(document);
    let mut fence = None;
    let mut outside = |line: &str| {
        let marks = line.trim_start();
        let marks = &marks[..marks.len() - marks.trim_start_matches('`').len()];
        match fence.clone() {
            None if marks.len() >= 3 => fence = Some(marks.to_owned()),
            Some(open) if marks == open => fence = None,
            None => return true,
            Some(_) => {}
        }
        false
    };
    let lines = text.lines().filter(|line| outside(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the words between backquotes that `choose` accepts.
fn quoted(document: &str, choose: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let words = document.split('`').skip(1).step_by(2);
    words.filter(|w| choose(w)).map(ToOwned::to_owned).collect()
}

#[test]
fn the_first_screen_of_the_readme_says_that_reporting_is_on_and_how_to_turn_it_off() {
    let readme = read(README);
    let first: Vec<_> = readme.lines().take(10).collect();
    assert!(first.iter().any(|l| l.starts_with("**It is on by default.**")));
    assert!(first.contains(&opt_out_command("kube-system").as_str()));
}

/// The README has to answer these questions of an admin who did not ask for telemetry.
#[test]
fn the_readme_answers_the_questions_of_a_reluctant_admin() {
    let host = DEFAULT_ENDPOINT.strip_prefix("https://").unwrap();
    let host = host.split('/').next().unwrap();
    let sent = section(README, "## What is sent");
    assert!(sent.contains(DEFAULT_ENDPOINT));
    let readme = prose(README).split_whitespace().collect::<Vec<_>>().join(" ");
    for promise in [
        "Nothing in the cluster depends on the reports, and whoever turns them off loses nothing.",
        "From 1.37 on, RKE2 bundles `rke2-security-responder`, which this opt-out does not stop. For that one, \
         set `disable: [rke2-security-responder]` in RKE2's config.yaml and restart each server.",
        &format!("A firewall has to let through DNS, and TCP port 443 to `{host}`."),
        &format!("The maintainers of RKE2 are to run the default endpoint, `{host}`."),
        "[private report](https://github.com/rancher/rke2-metrics-responder/security/advisories/new)",
        "The ServiceAccount can get the namespace `kube-system`, list nodes, get DaemonSets with a name in the \
         CNI table, and get its own CronJob.",
        "No report is sent in the first 24 hours after the creation of the cluster or of the CronJob, whichever is \
         later (`gracePeriod` in the manifest).",
        "[Contributing](.github/CONTRIBUTING.md)",
    ] {
        assert!(readme.contains(promise), "{promise}");
    }
}

#[test]
fn the_readme_shows_the_payload_that_cargo_run_prints() {
    let readme = read(README);
    let blocks = blocks(&readme);
    let first = blocks.iter().position(|block| block.starts_with("$ "));
    let first = first.unwrap();
    let mut commands = blocks[first].lines();
    let arguments = commands.next().unwrap().strip_prefix("$ cargo run --release -- ").unwrap();
    let run = bare(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(run.stdout, blocks[first + 1], "{run:?}");
    assert_eq!(commands.next(), Some("$ cargo test"));
    assert!(read(".ci/run").contains("\ncargo test"));
}

#[test]
fn the_settings_page_contains_the_help_text() {
    assert!(blocks(&read(SETTINGS)).contains(&HELP.to_owned()));
    assert_eq!(bare(&["--help"]).stdout, HELP);
}

#[test]
fn the_install_page_contains_the_help_text_of_the_manifest_writer() {
    assert!(blocks(&read(INSTALL)).contains(&MANIFEST_HELP.to_owned()));
    assert_eq!(manifest_with(&["--help"], &[]).stdout, MANIFEST_HELP);
}

/// Explains a cluster with the manifest, seen from an admin's machine.
#[test]
fn the_readme_shows_the_output_of_explain() {
    let object = |kind: &str| {
        let documents = serde_yaml::Deserializer::from_str(MANIFEST);
        let mut objects = documents.map(|document| Value::deserialize(document).unwrap());
        objects.find(|object| object["kind"] == kind).unwrap()
    };
    let (cron_job, config_map) = (object("CronJob"), object("ConfigMap"));
    let server = Server::start(None, move |connection| {
        while let Some(request) = connection.request()? {
            let (status, body) = match request.path() {
                path if path.ends_with("/cronjobs/rke2-metrics-responder") => {
                    (200, cron_job.to_string())
                }
                path if path.ends_with("/configmaps/rke2-metrics-responder") => {
                    (200, config_map.to_string())
                }
                _ => api::read(&cluster("rke2-canal-ha"), &request),
            };
            connection.reply(status, &body)?;
        }
        Ok(())
    });
    let folder = Folder::new();
    let file = kubeconfig(&folder, &format!("http://127.0.0.1:{}", server.port), "");
    let page = bare(&["--explain", "--kubeconfig", &file]).stdout;
    let page = page.replace(&file, "/home/me/.kube/config");
    let shown = blocks(&read(README));
    let shown = shown.iter().find(|block| block.starts_with("Reporting  ")).unwrap();
    assert!(shown.lines().count() > 5 && page.starts_with(shown.as_str()), "{page}");
}

/// Writes a kubeconfig whose only user has this key.
fn kubeconfig(folder: &Folder, server: &str, key: &str) -> String {
    let text = format!(
        "current-context: x\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{{key}}}}}]\n"
    );
    folder.write("config", text).to_str().unwrap().to_owned()
}

#[test]
fn the_keys_of_a_kubeconfig_that_are_refused_are_those_of_the_program() {
    let text = prose(PRIVACY);
    let (_, keys) = text.split_once("These keys of a kubeconfig are refused").unwrap();
    let keys = quoted(keys.split_once('.').unwrap().0, |_| true);
    assert!(keys.len() > 10, "{keys:?}");
    let folder = Folder::new();
    for key in keys {
        // As a key of the cluster too: a user with it ends before.
        let server = format!("https://a.example', {key}: 'true");
        let in_cluster = ["proxy-url", "tls-server-name", "insecure-skip-tls-verify"];
        let file = if in_cluster.contains(&&*key) {
            kubeconfig(&folder, &server, "")
        } else {
            kubeconfig(&folder, "https://a.example", &format!("{key}: 'true'"))
        };
        let run = bare(&["--dry-run", "--kubeconfig", &file]);
        let refused = format!("{key}: not supported here; ");
        assert!(run.stderr.contains(&refused), "{run:?}");
        if key == "exec" {
            let answer = run.stderr.replace(&file, "config");
            assert!(blocks(&read(PRIVACY)).contains(&answer), "{answer}");
        }
    }
}

/// The line that a run logs 10 hours and 40 minutes after an installation.
#[test]
fn the_line_of_the_first_day_is_that_of_the_program() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let installed = support::timestamp(now.as_secs() - (10 * 60 + 40) * 60);
    let cron_job = json!({"metadata": {"creationTimestamp": installed}}).to_string();
    let pod = Pod::new();
    let api = api::serve_with(
        pod.authority.server(),
        &cluster("rke2-canal-ha"),
        move |request, connection| {
            if !request.target.contains("/cronjobs/") {
                return Ok(Handled::No);
            }
            connection.reply(200, &cron_job).map(|()| Handled::Yes)
        },
    );
    let pod = pod.api(api.port).config("gracePeriod: 24h\n");
    let run = pod.endpoint("https://no-such-host.invalid/").run();
    let line = run.stderr;
    let (_, file) = line.split_once(" by=\"").unwrap();
    let (file, _) = file.split_once(": gracePeriod").unwrap();
    let line = line.replace(file, "/etc/metrics-responder/config.yaml");
    assert!(blocks(&read(INSTALL)).contains(&line), "{line}");
}

#[test]
fn the_chart_of_the_documents_is_where_the_release_puts_it() {
    let workflow = read(".github/workflows/release.yml");
    let (_, chart) = workflow.split_once("\n      CHART: ").unwrap();
    let rehearsal = "${{ github.event_name != 'push' && '-rehearsal' || '' }}";
    let chart = chart.lines().next().unwrap().replace(rehearsal, "");
    let command = format!("helm upgrade --install rke2-metrics-responder oci://{chart} ");
    for document in [README, INSTALL] {
        assert!(read(document).contains(&command), "{document}: {command}");
    }
    assert!(read(".github/SECURITY.md").contains(&format!("chart={chart}:")));
}

/// The log of an installation, which has a spread.
#[test]
fn the_log_lines_of_the_readme_are_those_of_the_program() {
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster("rke2-canal-ha"));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https());
    let accepted = pod.env("METRICS_RESPONDER_SPREAD", "10ms").run();
    let report: Value = serde_json::from_str(&accepted.stdout).unwrap();
    let uuid = report["extraTagInfo"]["clusteruuid"].as_str().unwrap();
    let uuid = uuid.parse().unwrap();
    let spread = |window| wait(&uuid, window).as_millis();
    // The manifest's spread is too long for a test.
    assert_eq!(spread(Duration::from_secs(600)), (8 * 60 + 17) * 1000 + 342);
    let short = format!("wait={}ms ", spread(Duration::from_millis(10)));
    assert!(accepted.stderr.contains(&short), "{accepted:?}");
    let whole =
        format!("{}{}", accepted.stdout, accepted.stderr).replace(&short, "wait=8m17s342ms ");
    let blocks = blocks(&read(README));
    assert!(blocks.contains(&whole), "{whole}");

    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster("rke2-canal-ha"));
    let url = "https://no-such-host.invalid/v1/checkupgrade";
    let offline = pod.api(api.port).endpoint(url).run();
    assert!(blocks.contains(&offline.stderr.replace(url, DEFAULT_ENDPOINT)), "{offline:?}");
}

#[test]
fn every_variable_of_the_settings_is_in_help_and_the_other_way_round() {
    let table = section(SETTINGS, "## Configuration");
    let is_variable = |word: &str| word.starts_with("METRICS_RESPONDER_") && !word.contains('=');
    let documented = quoted(&table, is_variable);
    let in_help: BTreeSet<_> =
        HELP.split_whitespace().filter(|w| is_variable(w)).map(ToOwned::to_owned).collect();
    assert_eq!(documented, in_help);
    assert!(HELP.contains(DEFAULT_ENDPOINT));
}

/// Limits the words of each page, except for the changelog, which grows with each release.
#[test]
fn no_page_is_too_long_to_read() {
    let words = |text: &str| text.split_whitespace().count();
    for document in documents().iter().filter(|page| *page != CHANGELOG) {
        let text = read(document);
        let folded = text.split("<details>").skip(1);
        let folded = folded.map(|part| words(part.split("</details>").next().unwrap()));
        let (limit, folded) = match document.as_str() {
            README => (1_000, folded.sum()),
            _ => (1_800, 0),
        };
        assert!(words(&text) - folded <= limit, "{document}");
    }
}

/// A sentence with a clause as its subject is hard to read.
#[test]
fn no_sentence_of_a_document_begins_with_a_clause() {
    for document in documents() {
        let prose = prose(&document);
        let paragraphs = prose.split("\n\n").filter(|part| !part.starts_with('#'));
        for paragraph in paragraphs {
            let text = paragraph.replace("\n- ", ". ");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for sentence in text.split(['.', ':', '?', '|']).map(str::trim_start) {
                let clause = ["What ", "Where ", "Whether "];
                let clause = clause.iter().any(|word| sentence.starts_with(word));
                assert!(!clause, "{document}: {sentence}");
            }
        }
    }
}

#[test]
fn every_release_of_the_changelog_has_its_date() {
    let changelog = read(CHANGELOG);
    let releases = changelog.lines().filter_map(|l| l.strip_prefix("## ["));
    let releases: Vec<_> = releases.filter(|l| *l != "Unreleased]").collect();
    assert!(releases[0].starts_with(&format!("{}] - ", env!("CARGO_PKG_VERSION"))));
    for release in releases {
        let (_, date) = release.split_once("] - ").expect(release);
        let shape: String = date.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(shape, "0000-00-00", "{release}");
    }
}

#[test]
fn the_list_of_files_is_complete() {
    let listed = quoted(&read(CONTRIBUTING), |w| w.starts_with("src/") && w.contains(".rs"));
    let existing = files(&root("src")).into_iter();
    let existing: BTreeSet<_> = existing
        .filter(|file| file.extension().is_some_and(|e| e == "rs"))
        .map(|file| format!("src/{}", file.display()))
        .collect();
    assert_eq!(listed, existing);
}

/// Checks every path of the repository that a document names, in prose or in a command.
#[test]
fn every_path_of_a_document_exists() {
    for document in documents() {
        let text = read(&document);
        let words = text.split(|c: char| c.is_whitespace() || "`'\"()|,;:#".contains(c));
        for word in words.map(|word| word.trim_end_matches('.')) {
            let inside = ["deploy/", "src/", "tests/", "testdata/", ".github/", ".ci/"];
            let example =
                ["my-cluster", "sha256", "NAMESPACE"].iter().any(|part| word.contains(part));
            if inside.iter().any(|folder| word.starts_with(folder)) && !example {
                assert!(root(word).exists(), "{document}: {word}");
            }
        }
    }
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    for document in documents() {
        let text = prose(&document);
        let folder = Path::new(&document).parent().unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { PathBuf::from(&document) } else { folder.join(file) };
            let target = target.to_str().unwrap();
            assert!(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
                "{document}: {link}"
            );
            let anchors = || {
                prose(target).lines().filter(|l| l.starts_with('#')).map(slug).collect::<Vec<_>>()
            };
            assert!(
                anchor.is_empty() || anchors().contains(&anchor.to_owned()),
                "{document}: {link}"
            );
        }
    }
}

/// Returns the anchor of a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
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
    for document in documents().into_iter().chain(["src/report/cni.rs".to_owned()]) {
        for command in quoted(&read(&document), |w| w.starts_with("just ")) {
            let recipe = command.split(' ').nth(1).unwrap();
            assert!(recipes.contains(recipe), "{document}: {command}");
        }
    }
}

#[test]
fn rbac_names_the_daemonsets_of_the_table_and_nothing_else() {
    let names: BTreeSet<_> = META.iter().chain(PRIMARY).map(|row| row.daemonset.name).collect();
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
    let readme = section(README, "## What is sent");
    let table = readme.split("| field |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows: Vec<_> = table.lines().skip(2).collect();
    let listed: Vec<_> = rows.iter().map(|row| row.split('`').nth(1).unwrap()).collect();
    let fields: Vec<_> = FIELDS.iter().map(|field| field.key).collect();
    assert_eq!(listed, fields);
    for (row, field) in rows.iter().zip(FIELDS) {
        assert!(row.ends_with(&format!("| {} |", field.purpose)), "{row}");
    }
    let uuid = rows.iter().find(|row| row.contains("`clusteruuid`"));
    assert!(uuid.unwrap().contains("*pseudonym*"));
}

/// Checks the version in the name of every image, file and tag of this project.
#[test]
fn the_documents_name_this_version() {
    let ours = [
        "rke2-metrics-responder:v",
        "rke2-metrics-responder-",
        "tags/v",
        "branch v",
        "download v",
        "download/v",
        "tag=v",
        "tag `v",
        "  - version: ",
        "--version ",
    ];
    let pages = documents();
    let pages = pages.iter().filter(|page| *page != CHANGELOG);
    let documents: String = pages.map(|page| read(page)).collect();
    let after = ours.iter().flat_map(|before| documents.split(before).skip(1));
    let named: Vec<_> =
        after.filter(|after| after.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(named.len() > 6, "{named:?}");
    for after in named {
        // rancher/rke2-charts append the number of a packaging: `0.3.001`.
        assert!(after.starts_with(env!("CARGO_PKG_VERSION")), "{after:.20}");
    }
}

/// The table has the same requests that the program makes, and the text has their number in both
/// kinds of clusters.
#[test]
fn the_requests_of_a_run_are_those_of_the_program() {
    let text = section(CONTRIBUTING, "## A run");
    let listed = quoted(&text, |w| w.starts_with("GET /"));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let requests = |recorded: &str| -> Vec<String> {
        let pod = Pod::new();
        let api = api::serve(pod.authority.server(), &cluster(recorded));
        let endpoint = Server::accepting(Some(pod.authority.server()));
        let pod = pod.api(api.port).endpoint(&endpoint.https());
        let run = pod.env("METRICS_RESPONDER_GRACE_PERIOD", "24h").run();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(endpoint.seen().len(), 1);
        api.seen().iter().map(|r| general(&r.target)).collect()
    };
    let (canal, k3s) = (requests("rke2-canal-ha"), requests("k3s-embedded-flannel"));
    assert_eq!(listed, k3s.iter().cloned().collect());
    // The POST of the report is one more.
    let (in_canal, in_k3s) = (canal.len() + 1, k3s.len() + 1);
    let sentence = format!(
        "a run makes {in_canal} requests in a Canal cluster, and {in_k3s} in a default K3s"
    );
    assert!(text.contains(&sentence), "{sentence}");
}

/// Replaces the namespace and the name of a DaemonSet in a request with general words.
fn general(target: &str) -> String {
    let parts = target.split_once("/namespaces/");
    let inside = parts.and_then(|(api, rest)| Some((api, rest.split_once('/')?)));
    let target = match inside {
        Some((api, (_, rest))) => match rest.strip_prefix("daemonsets/") {
            Some(name) => {
                let query = name.split_once('?').unwrap().1;
                format!("{api}/namespaces/NAMESPACE/daemonsets/NAME?{query}")
            }
            None => format!("{api}/namespaces/NAMESPACE/{rest}"),
        },
        None => target.to_owned(),
    };
    format!("GET {target}")
}

#[test]
fn every_proof_of_the_threat_model_exists() {
    let section = section(SECURITY, "## Who could attack it, and what stops them");
    let rows = section.split("\n\n").nth(1).unwrap().lines().skip(2);
    let sources = sources();
    for row in rows {
        let proofs = quoted(row.rsplit('|').nth(1).unwrap(), |_| true);
        assert!(!proofs.is_empty(), "{row}");
        for proof in proofs {
            assert!(is_kept(&proof, &sources), "{proof}");
        }
    }
}

/// Returns whether a test, a row of a table or a file keeps a promise. A name with blanks is a row,
/// one with underscores a test, one with slashes a file.
fn is_kept(keeper: &str, sources: &str) -> bool {
    if keeper.contains('/') {
        return root(keeper.split(' ').next().unwrap()).exists();
    }
    let row = format!("\"{keeper}\"");
    sources.contains(&row) || sources.contains(&format!("fn {keeper}("))
}

/// The text of all tests, and of those in `src`.
fn sources() -> String {
    let texts = ["tests", "src"].into_iter().flat_map(|folder| {
        let files = files(&root(folder)).into_iter();
        let rust = files.filter(|file| file.extension().is_some_and(|e| e == "rs"));
        rust.map(move |file| read(&format!("{folder}/{}", file.display())))
    });
    texts.collect()
}

#[test]
fn every_test_and_file_that_keeps_the_decision_record_exists() {
    let section = section(RKE2, "## The decision record");
    let table = section.split("\n\n| the record says |").nth(1).unwrap();
    let sources = sources();
    let rows: Vec<_> = table.lines().filter(|l| l.starts_with("| ")).collect();
    assert!(rows.len() > 9, "{rows:?}");
    for row in rows {
        let keepers = row.rsplit('|').nth(1).unwrap();
        for keeper in quoted(keepers, |w| w.contains(['_', ' ', '/'])) {
            assert!(is_kept(&keeper, &sources), "{keeper}");
        }
    }
}

#[test]
fn the_opt_out_is_the_same_line_everywhere() {
    let line = opt_out_command("kube-system");
    for document in
        [README, "deploy/README.md", "deploy/chart/README.md", PRIVACY, "deploy/docs/turn-off.md"]
    {
        assert!(blocks(&read(document)).contains(&format!("{line}\n")), "{document}");
    }
    for file in ["deploy/upgrade-responder.yaml", "deploy/chart/values.yaml"] {
        assert!(read(file).lines().any(|l| l.trim_start_matches(['#', ' ']) == line), "{file}");
    }
    let notes =
        read("deploy/chart/templates/NOTES.txt").replace("{{ .Release.Namespace }}", "kube-system");
    assert!(notes.lines().any(|l| l.trim() == line));
    for document in ["deploy/receiver/data.md", RKE2] {
        assert!(read(document).lines().any(|l| l.trim() == line));
    }
    // No document has another command that creates the ConfigMap for an opt-out.
    for document in documents() {
        for other in
            read(&document).lines().filter(|l| l.contains("METRICS_RESPONDER_ENABLED=false"))
        {
            // `--explain` adds the kubeconfig that it was given.
            let other = other.replace(" --kubeconfig /home/me/.kube/config", "");
            assert!(
                other.contains(&line) || !other.contains("create configmap"),
                "{document}: {other}"
            );
        }
    }
    // Other tests check this line in the log (`tests/e2e.rs`), in `--explain` (`tests/explain.rs`)
    // and in the output of metrics-responder-manifest (`tests/manifest.rs`).
}

/// The shell would first empty the live manifest, and RKE2 could read it before it is written.
#[test]
fn no_document_redirects_into_a_live_manifest() {
    for document in documents() {
        for line in read(&document).lines() {
            let redirected = line.split('>').skip(1).any(|rest| rest.contains("server/manifests"));
            assert!(!redirected, "{document}: {line}");
        }
    }
}

#[test]
fn the_containerfile_compiles_with_the_pinned_rust() {
    let versions = read("deploy/tools/versions.txt");
    let line = versions.lines().find(|l| l.starts_with("rust ")).unwrap();
    let pinned = line.split_whitespace().last().unwrap();
    let containerfile = read("Containerfile");
    let images: Vec<_> = containerfile.split("docker.io/library/rust:").skip(1).collect();
    assert!(!images.is_empty());
    for image in images {
        let version = image.split('-').next().unwrap();
        assert!(
            format!("{pinned}.").starts_with(&format!("{version}.")),
            "{version}, not {pinned}"
        );
    }
}

#[test]
fn the_drop_ins_are_those_of_the_document() {
    for unit in ["rke2-server", "k3s"] {
        let file = format!("deploy/systemd/{unit}.conf");
        let install =
            format!("{unit}.conf /etc/systemd/system/{unit}.service.d/metrics-responder.conf");
        assert!(read(INSTALL).contains(&format!(" dist/{install}\n")), "{unit}");
        assert!(read(&file).contains(&install), "{unit}");
        assert!(read("deploy/release/dist").contains(&format!("{file} ")));
    }
}
