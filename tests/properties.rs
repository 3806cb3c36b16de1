//! Checks laws on generated input, and on inputs that the fuzzer once found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "fuzz/laws.rs"]
mod laws;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use std::time::Duration;

use metrics_responder::internals::{
    Cni, Facts, GitVersion, META, NamespaceMeta, Os, PRIMARY, Payload, Tally, nodes, wait,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn every_law_holds_for_what_the_fuzzer_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for (name, law) in laws::LAWS {
        assert!(folder.join(format!("fuzz_targets/{name}.rs")).exists(), "{name}");
        let found = fs::read_dir(folder.join("regressions").join(name));
        for entry in found.into_iter().flatten() {
            law(&fs::read(entry.unwrap().path()).unwrap());
        }
    }
}

/// A node, in the forms of a typed object and of a row of a Table.
#[derive(Clone, Debug)]
struct Node {
    roles: BTreeSet<String>,
    os_image: String,
}

impl Node {
    fn item(&self) -> Value {
        let label =
            |role: &String| (format!("node-role.kubernetes.io/{role}"), Value::from("true"));
        let labels: serde_json::Map<_, _> = self.roles.iter().map(label).collect();
        json!({"metadata": {"name": "n", "labels": labels}, "status": {"nodeInfo": {"osImage": self.os_image}}})
    }

    fn row(&self) -> Value {
        let roles: Vec<_> = self.roles.iter().map(String::as_str).collect();
        let roles = if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") };
        json!({"cells": ["n", roles, self.os_image], "object": null})
    }
}

fn node() -> impl Strategy<Value = Node> {
    let role = prop_oneof![
        Just("control-plane".to_owned()),
        Just("etcd".to_owned()),
        Just("master".to_owned()),
        "[a-z]{1,8}",
    ];
    let image = prop_oneof![
        Just("Ubuntu 24.04 LTS".to_owned()),
        Just("SUSE Linux Micro 6.1".to_owned()),
        Just("Windows Server 2022 Datacenter".to_owned()),
        ".{0,40}",
    ];
    (prop::collection::btree_set(role, 0..3), image)
        .prop_map(|(roles, os_image)| Node { roles, os_image })
}

fn tally(json: &Value) -> Tally {
    nodes(json.to_string().as_bytes()).unwrap()
}

proptest! {
    #[test]
    fn table_and_list_of_the_same_nodes_give_the_same_tally(nodes in prop::collection::vec(node(), 0..40)) {
        let items: Vec<_> = nodes.iter().map(Node::item).collect();
        let rows: Vec<_> = nodes.iter().map(Node::row).collect();
        let columns = json!([{"name": "Name"}, {"name": "Roles"}, {"name": "OS-Image"}]);
        let list = tally(&json!({"kind": "NodeList", "items": items}));
        // serde_json sorts the keys, so columnDefinitions comes before rows.
        let table = tally(&json!({"kind": "Table", "columnDefinitions": columns, "rows": rows}));
        prop_assert_eq!(&list, &table);
        prop_assert_eq!(list.servers + list.agents, nodes.len() as u64);
    }

    #[test]
    fn every_string_of_a_report_is_of_a_table_and_short(
        nodes in prop::collection::vec(node(), 0..20),
        primary in prop::option::of(0..PRIMARY.len()),
        meta in prop::option::of(0..META.len()),
        version in ".{0,300}",
        id in any::<u128>(),
        flannel in any::<bool>(),
    ) {
        let items: Vec<_> = nodes.iter().map(Node::item).collect();
        let version = GitVersion::try_from(version).or_else(|_| GitVersion::try_from("v1.2.3+rke2r1".to_owned()));
        let cni = Cni::new(meta.map(|i| &META[i]), primary.map(|i| &PRIMARY[i]), flannel);
        let facts = Facts {
            version: version.unwrap(),
            kube_system: NamespaceMeta { uid: Uuid::from_u128(id), creation_timestamp: None },
            nodes: tally(&json!({"kind": "NodeList", "items": items})),
            cni: Ok(cni),
        };
        let report = serde_json::to_value(Payload::from(&facts)).unwrap();
        let fields = &report["extraFieldInfo"];
        for word in fields["cni-plugin"].as_str().unwrap().split(',') {
            let known = META.iter().chain(PRIMARY).any(|row| row.cni == word);
            prop_assert!(known || word == "unknown", "{}", word);
        }
        if let Some(os) = fields["os"].as_str() {
            prop_assert!(Os::all().any(|known| known.id() == os), "{}", os);
        }
        strings(&report, &mut |text| assert!(text.len() <= 200, "{text}"));
    }

    #[test]
    fn the_wait_is_shorter_than_the_window(id in any::<u128>(), window in 1_u64..86_400_000) {
        let window = Duration::from_millis(window);
        prop_assert!(wait(&Uuid::from_u128(id), window) < window);
    }

    #[test]
    fn every_law_holds_for_any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, law) in laws::LAWS {
            law(&data);
        }
    }

    #[test]
    fn every_law_holds_for_any_text(data in "[ -~\n]{0,200}") {
        for (_, law) in laws::LAWS {
            law(data.as_bytes());
        }
    }
}

fn strings(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(values) => values.iter().for_each(|v| strings(v, see)),
        Value::Object(map) => map.values().for_each(|v| strings(v, see)),
        _ => {}
    }
}

/// A fleet of 100,000 clusters over ten minutes sends 166.7 reports per second on average. More
/// than 240 in a second would be 5.7 standard deviations above; the probability that this happens
/// in any of the 600 seconds is one in a hundred thousand.
#[test]
fn a_fleet_is_spread_evenly_over_the_window() {
    let window = Duration::from_secs(600);
    let mut per_second = [0_u32; 600];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..100_000 {
        let bits = u128::from(random()) << 64 | u128::from(random());
        // Make UUIDs as Kubernetes does: version 4, RFC 4122.
        let version = bits & !(0xf << 76) | 4 << 76;
        let uuid = Uuid::from_u128(version & !(3 << 62) | 2 << 62);
        assert_eq!(uuid.get_version_num(), 4);
        let second = wait(&uuid, window).as_secs();
        per_second[usize::try_from(second).unwrap()] += 1;
    }
    let (least, most) = (per_second.iter().min().unwrap(), per_second.iter().max().unwrap());
    assert!(*most <= 240 && *least >= 100, "{least} to {most}");
}
