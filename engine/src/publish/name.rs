//! Names of the folders of points, `model=tiny,fold=1`, and of the logs of nodes.
//!
//! Different labels give different names. Characters with a meaning to a filesystem, a shell glob or a reader that
//! splits at `,` and `=` are percent-encoded: `a/b` becomes `a%2Fb`, which `urllib.parse.unquote` reads back. A name
//! that is too long, or that differs from an earlier one only by case, ends in `~` and digits of a hash.

use std::collections::HashSet;

use orchestrate_cache::Digest;

use crate::node::NodeId;
use crate::plan::Plan;
use crate::spec::axis::Axis;

/// The longest name, in bytes. Most filesystems allow 255, and other names are derived from this one.
const BYTES_MAX: usize = 200;

/// Printable ASCII characters that are percent-encoded; `~` begins a hash.
const ENCODED: &str = "/\\%,=[]<>:\"|?*~";

/// The names of the folders of a stage's points.
#[derive(Debug)]
pub struct PointNames {
    /// For each of the stage's axes, the text of each value: `model=tiny`.
    values: Vec<Vec<String>>,
}

impl PointNames {
    /// The names of a planned stage, by its index.
    pub fn new(plan: &Plan, stage: usize) -> Self {
        Self { values: plan.axes(&plan.stages[stage]).map(value_names).collect() }
    }

    /// The name of one of the stage's points; empty if the stage has no axes.
    pub fn folder(&self, plan: &Plan, id: NodeId) -> String {
        let mut name = String::new();
        for (position, values) in self.values.iter().enumerate() {
            let (_, value) = plan.value(id, position);
            name.push_str(if position == 0 { "" } else { "," });
            name.push_str(&values[value]);
        }
        shorten(name)
    }
}

fn value_names(axis: &Axis) -> Vec<String> {
    let mut seen = HashSet::new();
    let value_name = |label: &str| {
        let encoded = encode(label, "");
        let name = axis.name.get_ref();
        if seen.insert(encoded.to_lowercase()) {
            format!("{name}={encoded}")
        } else {
            format!("{name}={encoded}~{}", hash(label, 6))
        }
    };
    axis.values.iter().map(|value| value.label.as_str()).map(value_name).collect()
}

/// The name of a file for a node, without its extension.
///
/// Readers do not know the other nodes, so every name with capital letters ends in a hash.
pub(crate) fn node_file(node: &str) -> String {
    let encoded = encode(node, "[]=,");
    shorten(if node.to_lowercase() == node { encoded } else { format!("{encoded}~{}", hash(node, 6)) })
}

/// Percent-encodes a text, but for plain characters and those in `kept`.
fn encode(text: &str, kept: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        let at_an_end = index == 0 && c == '.' || index == last && (c == '.' || c == ' ');
        let plain = match c {
            _ if kept.contains(c) => true,
            ' '..='~' => !ENCODED.contains(c),
            _ => c.is_alphanumeric(),
        };
        if plain && !at_an_end {
            encoded.push(c);
            continue;
        }
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn shorten(name: String) -> String {
    if name.len() <= BYTES_MAX {
        return name;
    }
    let hash = hash(&name, 12);
    let mut end = BYTES_MAX - 1 - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    // Never cuts through `%2F`.
    if let Some(percent) = name[..end].rfind('%').filter(|percent| percent + 3 > end) {
        end = percent;
    }
    format!("{}~{hash}", &name[..end])
}

fn hash(text: &str, digits: usize) -> String {
    let mut hash = Digest::of(text.as_bytes()).to_string();
    hash.truncate(digits);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{STUDY, plan};

    /// Folders of the points of `train` over a model with these labels.
    fn folders(labels: &[&str]) -> Vec<String> {
        let list: Vec<_> = labels.iter().map(|label| toml::Value::from(*label).to_string()).collect();
        let study =
            STUDY.replace("[\"a\", \"b\"]", &format!("[{}]", list.join(", "))).replace("folds = 3", "folds = 2");
        let plan = plan(&study, &[]).unwrap();
        let stage = plan.stages.iter().position(|stage| stage.name == "train").unwrap();
        let names = PointNames::new(&plan, stage);
        plan.stage_nodes(stage).step_by(2).map(|id| names.folder(&plan, id)).collect()
    }

    #[test]
    fn ordinary_labels_stay_unchanged() {
        let labels = ["tiny", "tiny-modified", "q90", "0.5", "patient_wise", "größe", "a b", "1e-05", "x+(y)", "日本"];
        let expected: Vec<_> = labels.iter().map(|label| format!("model={label},fold=1")).collect();
        assert_eq!(folders(&labels), expected);
    }

    #[test]
    fn special_characters_are_percent_encoded() {
        let labels = ["a/b", "a\\b", "..", ".x", "x.", "x ", "100%", "a:b", "a~1", "e\u{301}", "\u{202e}x"];
        let encoded =
            ["a%2Fb", "a%5Cb", "%2E%2E", "%2Ex", "x%2E", "x%20", "100%25", "a%3Ab", "a%7E1", "e%CC%81", "%E2%80%AEx"];
        let expected: Vec<_> = encoded.iter().map(|label| format!("model={label},fold=1")).collect();
        assert_eq!(folders(&labels), expected);
    }

    #[test]
    fn different_labels_give_different_folders_even_if_case_is_ignored() {
        let long = "x".repeat(300);
        let (one, two) = (format!("{long}1"), format!("{long}2"));
        let percents = "/".repeat(300);
        let labels = [
            "a/b", "a_b", "a%2Fb", "a%2fb", "tiny", "Tiny", "TINY", "É", "é", "a~1", "a", "A", ".", "..", "…", &one,
            &two, &percents,
        ];
        let folders = folders(&labels);
        let distinct: HashSet<_> = folders.iter().map(|folder| folder.to_lowercase()).collect();
        assert_eq!(distinct.len(), labels.len(), "{folders:?}");
        assert!(folders.iter().all(|folder| folder.len() <= BYTES_MAX && !folder.contains(['/', '\\'])), "{folders:?}");
        assert_eq!(folders[4], "model=tiny,fold=1", "the first keeps its name");
    }

    #[test]
    fn files_of_nodes_are_named_in_the_same_way() {
        assert_eq!(node_file("score[model=tiny,fold=3]"), "score[model=tiny,fold=3]");
        assert_eq!(node_file("a[v=a/b]"), "a[v=a%2Fb]");
        let odd = ["a/../b", "a_.._b", "a\u{0}b", "äb", "a", "A", &"x".repeat(400), &"x".repeat(401)];
        let names: HashSet<_> = odd.iter().map(|name| node_file(name).to_lowercase()).collect();
        assert_eq!(names.len(), odd.len());
        assert!(names.iter().all(|name| !name.contains(['/', '\0']) && name.len() <= BYTES_MAX), "{names:?}");
    }
}
