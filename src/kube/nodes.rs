//! Reads the node list from a stream, node by node, so that memory does not grow with the cluster.
//!
//! Two forms give the same nodes. A `Table` has the columns that `kubectl get nodes -o wide` shows,
//! and a fiftieth of the bytes; the columns are found by name. A server may answer with a typed
//! `NodeList` instead, and the program requests one if a Table lacks a column.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::json::JsonError;
use crate::json::cursor::Cursor;
use crate::json::object::Object;

/// The facts of one node, from either form.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Node {
    /// Whether the node runs `rke2 server` or `k3s server`.
    pub is_server: bool,
    /// `status.nodeInfo.osImage`: free text.
    pub os_image: String,
}

/// Returns true for the roles of servers. A node with only `etcd` is one, too; `master` is the
/// former name of `control-plane`.
fn is_of_server(role: &str) -> bool {
    ["control-plane", "etcd", "master"].contains(&role)
}

/// The reason why a node list could not be read.
#[derive(Debug)]
pub(crate) enum ListError {
    /// A Table lacks a column, or has an unexpected row. The typed list may still be readable.
    Columns,
    /// The JSON is neither form.
    Json(JsonError),
}

impl From<JsonError> for ListError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// Collects the nodes of a `Table` or a `NodeList`.
pub(crate) fn read<T: Default + Extend<Node>>(body: impl Read) -> Result<T, ListError> {
    let mut nodes = T::default();
    let mut list = List::default();
    let mut json = Cursor::new(body);
    json.object(|json, key| list.entry(json, key, &mut nodes))?;
    json.end()?;
    list.check()?;
    Ok(nodes)
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
enum ListKind {
    NodeList,
    Table,
}

/// The parts of a list, other than its nodes, that have been read so far.
#[derive(Default)]
struct List {
    kind: Option<ListKind>,
    metadata: Option<ListMeta>,
    columns: Option<Result<Columns, ListError>>,
    /// The form in which the nodes were listed.
    nodes: Option<ListKind>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

impl List {
    fn entry<R: Read>(
        &mut self,
        json: &mut Cursor<R>,
        key: &str,
        nodes: &mut impl Extend<Node>,
    ) -> Result<(), ListError> {
        match key {
            "kind" => once(&mut self.kind, json.value()?),
            "metadata" => {
                let metadata: Option<Object<ListMeta>> = json.value()?;
                once(&mut self.metadata, metadata.map(|Object(m)| m).unwrap_or_default())
            }
            "columnDefinitions" => {
                let columns: Option<Vec<Object<Column>>> = json.value()?;
                once(&mut self.columns, Columns::find(&columns.unwrap_or_default()))
            }
            "rows" => {
                once(&mut self.nodes, ListKind::Table)?;
                // Require the columns before the rows, as the API server sends them.
                let Some(Ok(columns)) = self.columns else {
                    return Err(ListError::Columns);
                };
                each(json, nodes, |json| columns.row(json))
            }
            "items" => {
                once(&mut self.nodes, ListKind::NodeList)?;
                each(json, nodes, |json| {
                    let Object(item): Object<Item> = json.value()?;
                    Ok(item.into())
                })
            }
            _ => Ok(json.skip()?),
        }
    }

    /// Checks that this is a complete list of a known kind. Refuses one page of a longer list,
    /// which the API server sends only on request, since counting it would give too few nodes.
    fn check(self) -> Result<(), ListError> {
        let continued = self.metadata.and_then(|metadata| metadata.r#continue);
        let whole = continued.is_none_or(|token| token.is_empty());
        match (self.kind, self.nodes) {
            (Some(ListKind::Table), Some(ListKind::Table)) if whole => {
                self.columns.unwrap_or(Err(ListError::Columns)).map(|_| ())
            }
            (Some(ListKind::Table), Some(ListKind::Table) | None) => Err(ListError::Columns),
            (Some(ListKind::NodeList), Some(ListKind::NodeList)) if whole => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ListError> {
    slot.replace(value).map_or(Ok(()), |_| Err(unexpected()))
}

/// Reads a list of nodes. It may be `null`: Go writes `null` for a slice that was never allocated.
fn each<R: Read>(
    json: &mut Cursor<R>,
    nodes: &mut impl Extend<Node>,
    mut node: impl FnMut(&mut Cursor<R>) -> Result<Node, ListError>,
) -> Result<(), ListError> {
    if json.null()? {
        return Ok(());
    }
    json.list(|json| {
        nodes.extend([node(json)?]);
        Ok(())
    })
}

fn unexpected() -> ListError {
    ListError::Json(JsonError::Shape("unexpected JSON around the list".to_owned()))
}

/// The positions of the cells `Roles` and `OS-Image` in a row.
#[derive(Clone, Copy)]
struct Columns {
    roles: usize,
    os_image: usize,
}

impl Columns {
    fn find(columns: &[Object<Column>]) -> Result<Self, ListError> {
        let position = |name| columns.iter().position(|Object(column)| column.name == name);
        match (position("Roles"), position("OS-Image")) {
            (Some(roles), Some(os_image)) => Ok(Self { roles, os_image }),
            _ => Err(ListError::Columns),
        }
    }

    fn row<R: Read>(self, json: &mut Cursor<R>) -> Result<Node, ListError> {
        let (mut is_server, mut os_image) = (None, None);
        let read = json.object(|json, key| {
            if key != "cells" {
                return json.skip();
            }
            let mut column = 0;
            json.list(|json| {
                if column == self.roles {
                    // Such as `control-plane,etcd` or `<none>`.
                    let roles = json.value::<String>()?;
                    is_server = Some(roles.split(',').any(is_of_server));
                } else if column == self.os_image {
                    os_image = Some(json.value()?);
                } else {
                    json.skip()?;
                }
                column += 1;
                Ok(())
            })
        });
        // Try the typed list if a cell has an unexpected type, but not if the JSON is broken.
        match (read, is_server, os_image) {
            (Ok(()), Some(is_server), Some(os_image)) => Ok(Node { is_server, os_image }),
            (Ok(()) | Err(JsonError::Shape(_)), ..) => Err(ListError::Columns),
            (Err(error), ..) => Err(ListError::Json(error)),
        }
    }
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMeta,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct ItemMeta {
    labels: Option<Labels>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    node_info: Option<NodeInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    os_image: Option<String>,
}

impl From<Item> for Node {
    fn from(item: Item) -> Self {
        let info = item.status.and_then(|status| status.node_info);
        Self {
            is_server: item.metadata.labels.is_some_and(|Labels(is_server)| is_server),
            os_image: info.and_then(|info| info.os_image).unwrap_or_default(),
        }
    }
}

/// True if a node's labels contain a role of servers. As in the API server's column `Roles`, a role
/// is the end of `node-role.kubernetes.io/ROLE`, with any value, or the value of the older
/// `kubernetes.io/role`.
struct Labels(bool);

/// A string that is borrowed unless it contains escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct LabelVisitor;

        impl<'de> Visitor<'de> for LabelVisitor {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut is_server = false;
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    is_server |= match key.strip_prefix("node-role.kubernetes.io/") {
                        Some(role) => is_of_server(role),
                        None => key == "kubernetes.io/role" && is_of_server(&value),
                    };
                }
                Ok(Labels(is_server))
            }
        }

        json.deserialize_map(LabelVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str =
        r#""columnDefinitions":[{"name":"Name"},{"name":"Roles"},{"name":"OS-Image"}]"#;

    fn table(rows: &str) -> String {
        format!(r#"{{"kind":"Table",{COLUMNS},"rows":{rows}}}"#)
    }

    fn list(items: &str) -> String {
        format!(r#"{{"kind":"NodeList","metadata":{{}},"items":{items}}}"#)
    }

    fn nodes(json: &str) -> Result<Vec<Node>, ListError> {
        read(json.as_bytes())
    }

    #[test]
    fn each_of_three_roles_makes_a_server_with_any_value() {
        for (labels, cell, is_server) in [
            (r#"{"node-role.kubernetes.io/control-plane":""}"#, "control-plane", true),
            (r#"{"node-role.kubernetes.io/etcd":"true"}"#, "etcd", true),
            (r#"{"node-role.kubernetes.io/master":"false"}"#, "master", true),
            (
                r#"{"node-role.kubernetes.io/worker":"true","node-role.kubernetes.io/etcd":"true"}"#,
                "etcd,worker",
                true,
            ),
            (
                r#"{"node-role.kubernetes.io/master":"","node-role.kubernetes.io/control-plane":""}"#,
                "control-plane,master",
                true,
            ),
            (r#"{"node-role.kubernetes.io/worker":"true"}"#, "worker", false),
            (r#"{"node-role.kubernetes.io/controlplane":"true"}"#, "controlplane", false),
            (r#"{"kubernetes.io/role":"master"}"#, "master", true),
            // A repeated role counts once.
            (
                r#"{"kubernetes.io/role":"master","node-role.kubernetes.io/master":""}"#,
                "master,master",
                true,
            ),
            (r#"{"kubernetes.io/role":"node"}"#, "node", false),
            (r#"{"role":"master"}"#, "<none>", false),
            (r#"{"acme/node-role.kubernetes.io/etcd":"true"}"#, "<none>", false),
            (r#"{"node-role.kubernetes.io\/\u0065tcd":"\n"}"#, "etcd", true),
            ("{}", "<none>", false),
            ("null", "<none>", false),
        ] {
            let item = format!(
                r#"[{{"metadata":{{"labels":{labels}}},"status":{{"nodeInfo":{{"osImage":"x"}}}}}}]"#
            );
            let row = format!(r#"[{{"cells":["n","{cell}","x"],"object":null}}]"#);
            for json in [list(&item), table(&row)] {
                let [node] = &nodes(&json).unwrap()[..] else {
                    panic!("{json}");
                };
                assert_eq!(node.is_server, is_server, "{json}");
                assert_eq!(node.os_image, "x");
            }
        }
    }

    #[test]
    fn labels_must_be_a_mapping() {
        let error = serde_json::from_str::<Labels>("[]").err().unwrap();
        assert!(error.to_string().contains("expected labels"), "{error}");
    }

    #[test]
    fn columns_are_found_by_name() {
        let json = r#"{"columnDefinitions":[{"name":"OS-Image"},{"name":"Internal-IP"},{"name":"Roles"}],
            "rows":[{"object":{"a":[]},"cells":["Ubuntu 1",null,"etcd"]}],"kind":"Table"}"#;
        let [node] = &nodes(json).unwrap()[..] else {
            panic!();
        };
        assert!(node.is_server && node.os_image == "Ubuntu 1");
    }

    #[test]
    fn a_node_without_an_os_image_has_an_empty_one() {
        for item in [
            r#"{"metadata":{}}"#,
            r#"{"metadata":{},"status":{}}"#,
            r#"{"metadata":{},"status":{"nodeInfo":{}}}"#,
        ] {
            assert_eq!(nodes(&list(&format!("[{item}]"))).unwrap(), [Node::default()], "{item}");
        }
    }

    #[test]
    fn an_empty_or_null_list_has_no_nodes() {
        for json in [table("[]"), table("null"), list("[]"), list("null")] {
            assert_eq!(nodes(&json).unwrap(), []);
        }
    }

    #[test]
    fn a_table_without_the_needed_columns_or_cells_is_reported_as_such() {
        for json in [
            r#"{"kind":"Table","columnDefinitions":[{"name":"Roles"}],"rows":[]}"#,
            r#"{"kind":"Table","columnDefinitions":null,"rows":[]}"#,
            r#"{"kind":"Table","rows":[]}"#,
            r#"{"kind":"Table"}"#,
            &format!(r#"{{"kind":"Table",{COLUMNS}}}"#),
            &table(r#"[{"cells":["a","b"]}]"#),
            &table(r#"[{"cells":["a",3,"b"]}]"#),
            &table(r#"[{"cells":["a","b",3]}]"#),
            &table(r#"[{"cells":null}]"#),
            &table("[{}]"),
            &table("[null]"),
            // The rows come before the columns, and this is one page of a list.
            &format!(r#"{{"rows":[{{"cells":["a","b","c"]}}],"kind":"Table",{COLUMNS}}}"#),
            &format!(r#"{{"kind":"Table","metadata":{{"continue":"x"}},{COLUMNS},"rows":[]}}"#),
        ] {
            assert!(matches!(nodes(json), Err(ListError::Columns)), "{json}");
        }
    }

    #[test]
    fn json_that_is_not_a_node_list_is_an_error() {
        for json in [
            // Another kind, or none.
            "",
            "{}",
            &table("7"),
            "[]",
            "null",
            "<html>",
            r#"{"items":[]}"#,
            r#"{"kind":"Status"}"#,
            r#"{"kind":"NodeList"}"#,
            &format!(r#"{{"kind":"NodeList",{COLUMNS},"rows":[]}}"#),
            r#"{"kind":"Table","items":[]}"#,
            r#"{"kind":"NodeList","metadata":{"continue":"x"},"items":[]}"#,
            // Repeated keys and broken JSON.
            r#"{"kind":"NodeList","metadata":{},"metadata":{},"items":[]}"#,
            r#"{"kind":"NodeList","metadata":[],"items":[]}"#,
            r#"{"kind":"NodeList","items":[],"items":[]}"#,
            r#"{"kind":"NodeList","kind":"NodeList","items":[]}"#,
            r#"{"kind":"NodeList","items":[]} x"#,
            r#"{"kind":"NodeList","items":[],}"#,
            r#"{"kind":"NodeList" "items":[]}"#,
            r#"{"kind":"NodeList","items"[]}"#,
            // Items that are no nodes.
            &list("[null]"),
            &list("[[]]"),
            &list("{}"),
            &list("[{\"metadata\":{}},]"),
            &list("[{\"metadata\":{}} {\"metadata\":{}}]"),
            &list(r#"[{"metadata":null}]"#),
            &list(r#"[{"metadata":{"labels":[]}}]"#),
            &list(r#"[{"metadata":{"labels":{"a":1}}}]"#),
            &list(r#"[{"metadata":{},"metadata":{}}]"#),
            &list(r#"[{"metadata":{},"status":{"nodeInfo":{"osImage":4}}}]"#),
            &table(r#"[{"cells":["a""#),
            &table(r#"[{"cells":["a" "b"]}]"#),
        ] {
            assert!(matches!(nodes(json), Err(ListError::Json(_))), "{json}");
        }
    }

    #[test]
    fn a_list_that_is_cut_anywhere_is_an_error() {
        let whole = [
            table(r#"[{"cells":["n","etcd","Ubuntu"],"object":null}]"#),
            list(
                r#"[{"metadata":{"labels":{"a":"b"}},"status":{"nodeInfo":{"osImage":"Wolfi"}}}]"#,
            ),
        ];
        for json in whole {
            assert!(nodes(&json).is_ok());
            for end in 0..json.len() {
                assert!(nodes(&json[..end]).is_err(), "{}", &json[..end]);
            }
        }
    }
}
