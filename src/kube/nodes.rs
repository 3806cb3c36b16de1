//! The node list, folded row by row as it streams in: memory does not grow with the cluster.
//!
//! Two forms give the same tally. A `Table` is what `kubectl get nodes -o wide` shows, a fiftieth of the
//! bytes; its columns are found by name. A typed `NodeList` may come instead, and is asked for where a
//! Table lacks what is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::types::NodeRecord;
use crate::json::{self, Elements};
use crate::os::Os;

/// What is counted of the nodes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Nodes that run `rke2 server` or `k3s server`: control plane, etcd or both.
    pub servers: u64,
    /// All others.
    pub agents: u64,
    by_os: BTreeMap<Os, OsCount>,
}

/// The nodes of one OS; ordered as they compete for being the cluster's.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct OsCount {
    nodes: u64,
    servers: u64,
}

impl Tally {
    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.servers + self.agents
    }

    /// The OS of most nodes; ties go to that of more servers, then to the first of the alphabet. A list
    /// without nodes has none.
    #[must_use]
    pub fn os(&self) -> Option<Os> {
        self.by_os
            .iter()
            .max_by(|(a_os, a), (b_os, b)| a.cmp(b).then(b_os.cmp(a_os)))
            .map(|(os, _)| *os)
    }

    /// Counts one node.
    pub fn add(&mut self, node: Node) {
        let os = self.by_os.entry(node.os).or_default();
        os.nodes += 1;
        if node.server {
            os.servers += 1;
            self.servers += 1;
        } else {
            self.agents += 1;
        }
    }
}

/// What is read of one node.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Whether it has a server's role.
    pub server: bool,
    /// The OS of its osImage.
    pub os: Os,
}

/// Why there is no tally.
#[derive(Debug)]
pub enum Error {
    /// A Table without a column, or with a row that does not fit: the typed list may still do.
    Table,
    /// Neither form.
    Json(json::Error),
}

/// Counts the nodes of a `Table` or a `NodeList`.
pub fn tally(body: impl Read) -> Result<Tally, Error> {
    let mut elements = Elements::new(body, &["rows", "items"]);
    let mut tally = Tally::default();
    // What stands before the first element, once there is one.
    let mut head = None;
    while let Some((key, element)) = elements.next_element().map_err(Error::Json)? {
        let node = match (key, &head) {
            ("rows", Some(columns)) => row(element, columns)?,
            ("items", None) => item(element)?,
            ("rows", None) => {
                let element = element.to_vec();
                let frame: Frame = json::parse(&elements.head()).map_err(Error::Json)?;
                // The API server writes the columns first. Rows before them cannot be read.
                let columns = frame.columns()?;
                let node = row(&element, &columns)?;
                head = Some(columns);
                node
            }
            _ => return Err(Error::unexpected("rows and items in one list")),
        };
        tally.add(node);
    }
    let frame: Frame = json::parse(elements.frame()).map_err(Error::Json)?;
    frame.check()?;
    Ok(tally)
}

/// The nodes of a `NodeList` one by one, for `record`.
pub fn records(body: impl Read) -> Result<Vec<NodeRecord>, Error> {
    let mut elements = Elements::new(body, &["items"]);
    let mut nodes = Vec::new();
    while let Some((_, element)) = elements.next_element().map_err(Error::Json)? {
        nodes.push(json::parse(element).map_err(Error::Json)?);
    }
    let frame: Frame = json::parse(elements.frame()).map_err(Error::Json)?;
    frame.check()?;
    Ok(nodes)
}

fn row(element: &[u8], columns: &Columns) -> Result<Node, Error> {
    json::parse_seed(Row(columns), element).map_err(|error| match error {
        json::Error::Shape(_) => Error::Table,
        error => Error::Json(error),
    })
}

fn item(element: &[u8]) -> Result<Node, Error> {
    let item: Item = json::parse(element).map_err(Error::Json)?;
    Ok(Node {
        os: item.os(),
        server: item.metadata.labels.is_some_and(|labels| labels.server),
    })
}

impl Error {
    /// Where a `NodeList` alone was asked for.
    #[must_use]
    pub fn without_table(self) -> json::Error {
        match self {
            Self::Json(error) => error,
            Self::Table => json::Error::Shape("a Table that nobody asked for".to_owned()),
        }
    }

    fn unexpected(reason: &str) -> Self {
        Self::Json(json::Error::Shape(reason.to_owned()))
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
enum Form {
    NodeList,
    Table,
}

/// The list without its elements.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    kind: Option<Form>,
    metadata: Option<ListMeta>,
    column_definitions: Option<Vec<Column>>,
    /// Go writes an empty list as `null` where it was never made.
    #[serde(default, deserialize_with = "present")]
    rows: Option<Emptied>,
    #[serde(default, deserialize_with = "present")]
    items: Option<Emptied>,
}

/// A list whose elements are gone, or `null`.
type Emptied = Option<[(); 0]>;

fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Emptied>, D::Error> {
    Emptied::deserialize(json).map(Some)
}

#[derive(Deserialize)]
struct ListMeta {
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

impl Frame {
    /// Where the two cells stand, by name.
    fn columns(self) -> Result<Columns, Error> {
        let columns = self.column_definitions.unwrap_or_default();
        let position = |name| columns.iter().position(|column| column.name == name);
        match (position("Roles"), position("OS-Image")) {
            (Some(roles), Some(os_image)) => Ok(Columns { roles, os_image }),
            _ => Err(Error::Table),
        }
    }

    /// Whether it is a whole list of a known kind. One that goes on elsewhere would be counted short; the API
    /// server only cuts where it is asked to.
    fn check(self) -> Result<(), Error> {
        let goes_on = self
            .metadata
            .as_ref()
            .and_then(|meta| meta.r#continue.as_deref());
        let complete = goes_on.is_none_or(str::is_empty);
        match (self.kind, &self.rows, &self.items) {
            (Some(Form::Table), Some(_), None) if complete => self.columns().map(|_| ()),
            (Some(Form::Table), ..) => Err(Error::Table),
            (Some(Form::NodeList), None, Some(_)) if complete => Ok(()),
            _ => Err(Error::unexpected("unexpected JSON around the list")),
        }
    }
}

/// Where in a row the two cells stand.
struct Columns {
    roles: usize,
    os_image: usize,
}

fn once<T, E: serde::de::Error>(place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a key stands twice")),
    }
}

struct Row<'a>(&'a Columns);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Node, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "camelCase")]
        enum Key {
            Cells,
            #[serde(other)]
            Other,
        }
        let mut node = None;
        while let Some(key) = map.next_key()? {
            match key {
                Key::Cells => once(&mut node, map.next_value_seed(Cells(self.0))?)?,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        node.ok_or_else(|| A::Error::missing_field("cells"))
    }
}

struct Cells<'a>(&'a Columns);

impl<'de> DeserializeSeed<'de> for Cells<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Node, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Cells<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cells of a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut cells: A) -> Result<Node, A::Error> {
        let (mut server, mut os) = (None, None);
        for column in 0.. {
            let more = if column == self.0.roles {
                let cell = cells.next_element_seed(Text(has_server_role))?;
                server = cell;
                cell.is_some()
            } else if column == self.0.os_image {
                let cell = cells.next_element_seed(Text(Os::of))?;
                os = cell;
                cell.is_some()
            } else {
                cells.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(Node {
            server: server.ok_or_else(|| A::Error::custom("no cell under Roles"))?,
            os: os.ok_or_else(|| A::Error::custom("no cell under OS-Image"))?,
        })
    }
}

/// Maps a string while it is at hand, so that none is kept.
struct Text<F>(F);

impl<'de, T, F: Fn(&str) -> T> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_str(self)
    }
}

impl<T, F: Fn(&str) -> T> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMeta,
    status: Option<Status>,
}

impl Item {
    fn os(&self) -> Os {
        self.status
            .as_ref()
            .and_then(|status| status.node_info.as_ref())
            .and_then(|info| info.os_image)
            .map_or(Os::OTHER, |OsImage(os)| os)
    }
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
    os_image: Option<OsImage>,
}

#[derive(Clone, Copy)]
struct OsImage(Os);

impl<'de> Deserialize<'de> for OsImage {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Text(Os::of).deserialize(json).map(Self)
    }
}

struct Labels {
    server: bool,
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Roles;

        impl<'de> Visitor<'de> for Roles {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut server = false;
                while let Some(label) = map.next_key_seed(Text(Label::of))? {
                    server |= match label {
                        Label::Role => map.next_value_seed(Text(is_server_role))?,
                        Label::ServerRole | Label::Other => {
                            map.next_value::<IgnoredAny>()?;
                            matches!(label, Label::ServerRole)
                        }
                    };
                }
                Ok(Labels { server })
            }
        }

        json.deserialize_map(Roles)
    }
}

/// What a label's key says of a node's role. The API server makes the Table's column `Roles` of the same
/// two labels.
enum Label {
    Other,
    Role,
    ServerRole,
}

impl Label {
    fn of(key: &str) -> Self {
        match key.strip_prefix(ROLE_LABEL) {
            Some(role) if is_server_role(role) => Self::ServerRole,
            None if key == OLD_ROLE_LABEL => Self::Role,
            _ => Self::Other,
        }
    }
}

/// A cell of the column `Roles`: names divided by commas, `<none>` where there are none.
fn has_server_role(cell: &str) -> bool {
    cell.split(',').any(is_server_role)
}

fn is_server_role(role: &str) -> bool {
    SERVER_ROLES.contains(&role)
}

/// The end of such a key is a role, whatever the value.
pub const ROLE_LABEL: &str = "node-role.kubernetes.io/";

/// The value of this older one is a role too.
pub const OLD_ROLE_LABEL: &str = "kubernetes.io/role";

/// An etcd-only node runs `rke2 server` too; `master` is the control plane's name of old.
pub const SERVER_ROLES: [&str; 3] = ["control-plane", "etcd", "master"];

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

    fn count(json: &str) -> (u64, u64, Option<&'static str>) {
        let tally = tally(json.as_bytes()).unwrap();
        (tally.servers, tally.agents, tally.os().map(Os::id))
    }

    #[test]
    fn any_of_three_roles_makes_a_server_whatever_the_value() {
        for (labels, roles, servers) in [
            (
                r#"{"node-role.kubernetes.io/control-plane":""}"#,
                "control-plane",
                1,
            ),
            (r#"{"node-role.kubernetes.io/etcd":"true"}"#, "etcd", 1),
            (r#"{"node-role.kubernetes.io/master":"false"}"#, "master", 1),
            (
                r#"{"node-role.kubernetes.io/worker":"true","node-role.kubernetes.io/etcd":"true"}"#,
                "etcd,worker",
                1,
            ),
            (r#"{"node-role.kubernetes.io/worker":"true"}"#, "worker", 0),
            (
                r#"{"node-role.kubernetes.io/controlplane":"true"}"#,
                "controlplane",
                0,
            ),
            (r#"{"kubernetes.io/role":"master"}"#, "master", 1),
            (r#"{"kubernetes.io/role":"node"}"#, "node", 0),
            (
                r#"{"acme/node-role.kubernetes.io/etcd":"true"}"#,
                "<none>",
                0,
            ),
            ("{}", "<none>", 0),
            ("null", "<none>", 0),
        ] {
            let item = format!(r#"[{{"metadata":{{"labels":{labels}}}}}]"#);
            let row = format!(r#"[{{"cells":["n","{roles}","x"],"object":null}}]"#);
            assert_eq!(
                count(&list(&item)),
                (servers, 1 - servers, Some("other")),
                "{labels}"
            );
            assert_eq!(
                count(&table(&row)),
                (servers, 1 - servers, Some("other")),
                "{roles}"
            );
        }
    }

    #[test]
    fn the_os_is_that_of_most_nodes_then_of_more_servers_then_the_first() {
        let node = |server, image| Node {
            server,
            os: Os::of(image),
        };
        for (nodes, os) in [
            (vec![], None),
            (
                vec![
                    node(true, "Ubuntu"),
                    node(false, "Wolfi"),
                    node(false, "Wolfi"),
                ],
                Some("wolfi"),
            ),
            (
                vec![node(true, "Ubuntu"), node(false, "Debian GNU/Linux")],
                Some("ubuntu"),
            ),
            (
                vec![node(false, "Ubuntu"), node(false, "Debian GNU/Linux")],
                Some("debian"),
            ),
            (
                vec![node(true, "?"), node(true, "Windows"), node(false, "?")],
                Some("other"),
            ),
        ] {
            let mut tally = Tally::default();
            for node in nodes {
                tally.add(node);
            }
            assert_eq!(tally.os().map(Os::id), os);
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let json = r#"{"columnDefinitions":[{"name":"OS-Image"},{"name":"Internal-IP"},{"name":"Roles"}],
            "rows":[{"object":{"a":[]},"cells":["Ubuntu 1",null,"etcd"]}],"kind":"Table"}"#;
        assert_eq!(count(json), (1, 0, Some("ubuntu")));
    }

    #[test]
    fn no_nodes_are_none_in_every_notation() {
        for json in [table("[]"), table("null"), list("[]"), list("null")] {
            assert_eq!(count(&json), (0, 0, None));
        }
    }

    #[test]
    fn a_table_without_what_is_needed_says_so() {
        for json in [
            r#"{"kind":"Table","columnDefinitions":[{"name":"Roles"}],"rows":[]}"#,
            r#"{"kind":"Table","rows":[]}"#,
            r#"{"kind":"Table"}"#,
            &table(r#"[{"cells":["a","b"]}]"#),
            &table(r#"[{"cells":["a",3,"b"]}]"#),
            &table(r#"[{"cells":null}]"#),
            &table("[{}]"),
            &table("[null]"),
        ] {
            assert!(
                matches!(tally(json.as_bytes()), Err(Error::Table)),
                "{json}"
            );
        }
    }

    #[test]
    fn what_is_not_a_node_list_is_an_error() {
        for json in [
            "",
            "{}",
            &table("7"),
            "[]",
            "null",
            "<html>",
            r#"{"items":[]}"#,
            r#"{"kind":"Status"}"#,
            r#"{"kind":"NodeList"}"#,
            r#"{"kind":"NodeList","metadata":{"continue":"x"},"items":[]}"#,
            r#"{"kind":"NodeList","items":[],"items":[]}"#,
            r#"{"kind":"NodeList","kind":"NodeList","items":[]}"#,
            &list("[null]"),
            &list("{}"),
            &list(r#"[{"metadata":null}]"#),
            &list(r#"[{"metadata":{"labels":[]}}]"#),
            &list(r#"[{"metadata":{},"metadata":{}}]"#),
            &list(r#"[{"metadata":{},"status":{"nodeInfo":{"osImage":4}}}]"#),
            &table(r#"[{"cells":["a""#),
        ] {
            assert!(
                matches!(tally(json.as_bytes()), Err(Error::Json(_))),
                "{json}"
            );
        }
    }

    #[test]
    fn every_cut_of_a_list_is_an_error() {
        let whole = [
            table(r#"[{"cells":["n","etcd","Ubuntu"],"object":null}]"#),
            list(
                r#"[{"metadata":{"labels":{"a":"b"}},"status":{"nodeInfo":{"osImage":"Wolfi"}}}]"#,
            ),
        ];
        for json in whole {
            assert!(tally(json.as_bytes()).is_ok());
            for end in 0..json.len() {
                assert!(tally(&json.as_bytes()[..end]).is_err(), "{}", &json[..end]);
            }
        }
    }
}
