//! Lines in which processes report results to each other.

use std::collections::BTreeMap;

use orchestrate_cache::{ActionKey, OutputDigest};

/// Named outputs.
pub(crate) type Outputs = Vec<(String, OutputDigest)>;

/// Outputs by key.
pub(crate) type Results = BTreeMap<ActionKey, Outputs>;

/// A finished node, or a result that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    /// `ran`, `hit`, or `half` if some bytes are missing.
    pub(crate) status: String,
    pub(crate) node: String,
    pub(crate) key: ActionKey,
    pub(crate) outputs: Outputs,
}

impl Ended {
    pub(crate) fn new(status: &str, node: &str, key: ActionKey, outputs: &[(String, OutputDigest)]) -> Self {
        Self { status: status.to_owned(), node: node.to_owned(), key, outputs: outputs.to_vec() }
    }

    pub(crate) fn line(&self) -> String {
        let outputs: Vec<_> = self.outputs.iter().map(|(name, digest)| format!("{name}={}", digest.0)).collect();
        format!("result {} {} {} {}", self.status, self.node, self.key.0, outputs.join(" "))
    }

    /// Reads a line; a torn line of a dead writer promises nothing.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        if words.next() != Some("result") {
            return None;
        }
        let (status, node) = (words.next()?.to_owned(), words.next()?.to_owned());
        let key = ActionKey(words.next()?.parse().ok()?);
        let output = |word: &str| {
            let (name, digest) = word.split_once('=')?;
            Some((name.to_owned(), OutputDigest(digest.parse().ok()?)))
        };
        Some(Self { status, node, key, outputs: words.map(output).collect::<Option<_>>()? })
    }
}
