//! The Envoy that an edge runs in.

use serde::{Deserialize, Serialize};

/// The most characters of each text of a [`Node`].
pub const MAX_NODE_TEXT: usize = 256;

/// Envoy's description of itself, which operators read to find the machine of an edge. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The node's id, from `--service-node` or the bootstrap.
    pub id: NodeText,
    /// The node's cluster, from `--service-cluster` or the bootstrap.
    pub cluster: NodeText,
    /// Envoy's version.
    pub version: NodeText,
}

impl Node {
    /// Whether nothing is known of the Envoy.
    pub fn is_empty(&self) -> bool {
        *self == Node::default()
    }
}

/// A text of a [`Node`], empty if unknown. It can be printed anywhere: it has at most [`MAX_NODE_TEXT`] characters, all of them
/// visible ASCII or spaces. Bytes that are neither become `?`, because a lease must not fail for a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct NodeText(String);

impl NodeText {
    /// The text of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let printable = |&byte: &u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' };
        NodeText(bytes.iter().take(MAX_NODE_TEXT).map(printable).collect())
    }

    /// The text; `None` if it is unknown.
    pub fn known(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

impl From<String> for NodeText {
    fn from(text: String) -> Self {
        NodeText::of(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_and_printable() {
        assert_eq!(
            NodeText::of(b"sidecar~10.0.0.7~shop.default").known(),
            Some("sidecar~10.0.0.7~shop.default")
        );
        assert_eq!(NodeText::of(b"a\0b\n\x7f\xff").known(), Some("a?b???"));
        assert_eq!(NodeText::of(&[b'n'; 300]).known().map(str::len), Some(MAX_NODE_TEXT));
        assert_eq!(NodeText::of(b"").known(), None);
        let read: Node = serde_json::from_str(r#"{"id":"\u202eedge","zone":"later"}"#).unwrap();
        assert_eq!(read, Node { id: NodeText::of(b"???edge"), ..Node::default() });
    }
}
