//! Reads the mappings of a kubeconfig, and resolves the merge key `<<`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest number of YAML nodes. A kubeconfig of the largest size has fewer, unless it repeats
/// them with aliases.
const MAX_NODES: u32 = 1 << 20;

/// A value of the file.
pub(super) enum Node {
    Null,
    /// A float, which cannot be read as a string, since its spelling is lost.
    Float,
    /// A string, an integer or a boolean.
    Text(String),
    List(Vec<Node>),
    Keys(Keys),
}

/// A mapping, with the keys that a `<<` merged into it.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<String, Node>);

pub(super) static NO_KEYS: Keys = Keys(BTreeMap::new());

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        match Reader(&Cell::new(MAX_NODES)).deserialize(yaml)? {
            Node::Keys(keys) => Ok(keys),
            _ => Err(D::Error::custom("a mapping is expected")),
        }
    }
}

/// Reads a node, and counts it. The number of nodes is limited, since a few kilobytes of aliases of
/// aliases could otherwise fill the memory.
#[derive(Clone, Copy)]
struct Reader<'c>(&'c Cell<u32>);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, yaml: D) -> Result<Node, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("too large"))?;
        self.0.set(left);
        yaml.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Text(flag.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Float)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(self)? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let (mut keys, mut written) = (Keys::default(), BTreeSet::new());
        while let Some(key) = map.next_key_seed(self)? {
            let node = map.next_value_seed(self)?;
            // Ignore keys that are lists, mappings or floats, since none of them is used.
            let Node::Text(key) = key else { continue };
            if !written.insert(key.clone()) {
                return Err(A::Error::custom("a repeated key"));
            }
            if key == "<<" {
                keys.merge(node).map_err(A::Error::custom)?;
            } else {
                keys.0.insert(key, node);
            }
        }
        Ok(Node::Keys(keys))
    }
}

impl Keys {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Merges the value of `<<`. As in client-go, a later `<<` overwrites earlier keys, and the
    /// first mapping of a list wins.
    fn merge(&mut self, node: Node) -> Result<(), &'static str> {
        match node {
            Node::Keys(keys) => self.0.extend(keys.0),
            Node::List(list) => list.into_iter().rev().try_for_each(|node| self.merge(node))?,
            _ => return Err("a mapping is expected"),
        }
        Ok(())
    }

    /// Returns the value of a key; null counts as unset.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key).filter(|node| !matches!(node, Node::Null))
    }

    /// Returns the value of a key as a string; an empty one counts as unset.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("{key}: a string is expected; put numbers in quotes")),
        }
    }

    /// Finds the entry with this name in a list, and returns its `kind` (`cluster`, `user` or
    /// `context`).
    pub(super) fn entry(
        &self,
        list: &str,
        kind: &str,
        name: &str,
    ) -> Result<Option<&Self>, String> {
        let entries = match self.get(list) {
            None => return Ok(None),
            Some(Node::List(entries)) => entries,
            Some(_) => return Err(format!("{list}: a list is expected")),
        };
        for entry in entries {
            if let Node::Keys(entry) = entry
                && entry.text("name") == Ok(Some(name.to_owned()))
            {
                return match entry.get(kind) {
                    None => Ok(Some(&NO_KEYS)),
                    Some(Node::Keys(keys)) => Ok(Some(keys)),
                    Some(_) => Err(format!("{kind}: a mapping is expected")),
                };
            }
        }
        Ok(None)
    }
}
