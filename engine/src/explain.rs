//! Explains why a node would run: the value, file or upstream output that differs from the node's latest recorded run.

use std::collections::{BTreeMap, BTreeSet};

use orchestrate_cache::{OutputDigest, Preimage};
use serde_json::Value as Json;

use crate::node::NodeId;
use crate::plan::Plan;
use crate::source::Span;

/// One difference between the recorded and the present preimage of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The change in a few words: `epochs: 5 → 6`.
    pub sentence: String,
    /// The location of the present value, if the spec sets it.
    pub span: Option<Span>,
    /// For an input that changed: its port and the upstream node.
    pub input: Option<(String, NodeId)>,
    /// For an input that changed: the digest of its earlier output.
    pub was: Option<OutputDigest>,
}

impl Change {
    fn new(sentence: String, span: Option<Span>) -> Self {
        Self { sentence, span, input: None, was: None }
    }

    fn value(name: &str, was: Option<String>, now: Option<String>, span: Option<Span>) -> Self {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
        Self::new(format!("{name}: {} → {}", shown(was), shown(now)), span)
    }
}

/// Compares the recorded preimage with the present one. Returns nothing if they are equal.
pub fn changes(plan: &Plan, id: NodeId, was: &Json, now: &Preimage) -> Vec<Change> {
    changes_between(plan, id, was, &now.to_json())
}

/// Compares two preimages as [`changes`] does, where the present one was decoded before.
pub fn changes_between(plan: &Plan, id: NodeId, was: &Json, now: &Json) -> Vec<Change> {
    let mut changes = Vec::new();
    let text = |json: &Json| Some(shown(json).unwrap_or_default());
    if was["kind"] != now["kind"] {
        let span = plan.declared(plan.node(id).stage as usize).kind.span();
        changes.push(Change::value("kind", text(&was["kind"]), text(&now["kind"]), Some(span)));
    } else if was["version"] != now["version"] {
        changes.push(Change::value("version of the stage", text(&was["version"]), text(&now["version"]), None));
    }
    values("", &was["params"], &now["params"], &mut |name, was, now| {
        let top = name.split('.').next().unwrap_or_default();
        let span = plan.params(id).spans.iter().find(|(param, _)| param == top).map(|(_, span)| span.clone());
        changes.push(Change::value(name, was, now, span));
    });
    let before = changes.len();
    let files = compared(&fields(&was["files"]), &fields(&now["files"]));
    changes.extend(files.into_iter().map(|(name, difference)| Change::new(format!("file {name} {difference}"), None)));
    if changes.len() == before && was["file_order"] != now["file_order"] {
        changes.push(Change::new("files are in another order".to_owned(), None));
    }
    for section in ["env", "observed"] {
        // A section that one of them lacks has no values there.
        let of = |json: &Json| {
            if json[section].is_null() { Json::Object(serde_json::Map::new()) } else { json[section].clone() }
        };
        values("", &of(was), &of(now), &mut |name, was, now| {
            changes.push(Change::value(name, was, now, None));
        });
    }
    inputs(plan, id, &was["inputs"], &now["inputs"], &mut changes);
    changes
}

/// Formats a value for people; `None` for null.
fn shown(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(format!("\"{text}\"")),
        other => Some(other.to_string()),
    }
}

/// Reports every value that differs, by its dotted name.
fn values(prefix: &str, was: &Json, now: &Json, report: &mut impl FnMut(&str, Option<String>, Option<String>)) {
    match (was, now) {
        (Json::Object(_), Json::Object(_)) => {
            let (was, now) = (fields(was), fields(now));
            let names: BTreeSet<&str> = was.keys().chain(now.keys()).map(String::as_str).collect();
            for name in names {
                let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
                let value = |fields: &Fields| fields.get(name).cloned().unwrap_or(Json::Null);
                values(&path, &value(&was), &value(&now), report);
            }
        }
        (was, now) if was != now => report(prefix, shown(was), shown(now)),
        _ => {}
    }
}

type Fields = BTreeMap<String, Json>;

fn fields(json: &Json) -> Fields {
    json.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Names each field that differs, with the difference in words.
fn compared(was: &Fields, now: &Fields) -> Vec<(String, &'static str)> {
    let gone = was.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), "is gone"));
    let rest = now.iter().filter_map(|(name, value)| match was.get(name) {
        None => Some((name.clone(), "is new")),
        Some(before) if before != value => Some((name.clone(), "changed")),
        Some(_) => None,
    });
    gone.chain(rest).collect()
}

fn inputs(plan: &Plan, id: NodeId, was: &Json, now: &Json, changes: &mut Vec<Change>) {
    let (was, now) = (fields(was), fields(now));
    let stage = plan.stage(id);
    for (port, difference) in compared(&was, &now) {
        let feed = stage.feeds.iter().position(|feed| feed.port == port);
        let span = feed.map(|feed| stage.feeds[feed].span.clone());
        let change = Change::new(format!("input {port} {difference}"), span);
        match (was.get(&port), now.get(&port), feed) {
            (Some(was @ Json::String(_)), Some(Json::String(_)), Some(feed)) => {
                let upstream = plan.feed_items(id, feed).first();
                changes.push(Change {
                    input: upstream.map(|upstream| (port, *upstream)),
                    was: output_digest(was),
                    ..change
                });
            }
            (Some(Json::Array(was)), Some(Json::Array(now)), _) => {
                changes.extend(gathered(plan, id, &port, was, now, change.span.as_ref()));
            }
            _ => changes.push(change),
        }
    }
}

/// Compares gathered inputs by the labels of their points.
fn gathered(plan: &Plan, id: NodeId, port: &str, was: &[Json], now: &[Json], span: Option<&Span>) -> Vec<Change> {
    let feeds = plan.stage(id).feeds.iter().enumerate().filter(|(_, feed)| feed.port == port);
    let items: Vec<_> = feeds.flat_map(|(position, _)| plan.feed_items(id, position).iter().copied()).collect();
    let by_label = |list: &[Json]| -> Fields {
        list.iter().map(|item| (labels(&item["labels"]), item["digest"].clone())).collect()
    };
    let change = |label: &str, difference: &str| {
        let label = if label.is_empty() { String::new() } else { format!("[{label}]") };
        Change::new(format!("input {port}{label} {difference}"), span.cloned())
    };
    let before = by_label(was);
    let differences = compared(&before, &by_label(now));
    if differences.is_empty() {
        return vec![change("", "moved")];
    }
    let with_upstream = |(label, difference): (String, &str)| {
        let position = now.iter().position(|item| labels(&item["labels"]) == label);
        let upstream = position.and_then(|position| items.get(position));
        Change {
            input: upstream.map(|upstream| (port.to_owned(), *upstream)),
            was: before.get(&label).and_then(output_digest),
            ..change(&label, difference)
        }
    };
    differences.into_iter().map(with_upstream).collect()
}

fn output_digest(json: &Json) -> Option<OutputDigest> {
    Some(OutputDigest(json.as_str()?.parse().ok()?))
}

/// Formats the labels of a point: `model=tiny,fold=3`.
fn labels(json: &Json) -> String {
    let pair = |pair: &Json| Some(format!("{}={}", pair[0].as_str()?, pair[1].as_str()?));
    json.as_array().into_iter().flatten().filter_map(pair).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use orchestrate_cache::FileDigests;

    use super::*;
    use crate::fake::{STUDY, plan};
    use crate::known::Known;
    use crate::observe::observe;
    use crate::plan::Selector;

    /// The study with overrides, and the changes of a node without inputs against the original study.
    fn changed(overrides: &[&str]) -> (Plan, Vec<Change>) {
        let preimage = |plan: &Plan| {
            let store = tempfile::tempdir().unwrap();
            let observed = observe(plan, &FileDigests::open(store.path())).unwrap();
            let id = Selector::parse("images").unwrap().nodes(plan).unwrap()[0];
            (id, Known::new(plan, &observed).preimage(id).unwrap())
        };
        let (_, was) = preimage(&plan(STUDY, &[]).unwrap());
        let now = plan(STUDY, overrides).unwrap();
        let (id, preimage) = preimage(&now);
        let changes = changes(&now, id, &was.to_json(), &preimage);
        (now, changes)
    }

    #[test]
    fn equal_preimages_have_no_changes() {
        assert_eq!(changed(&[]).1, []);
    }

    #[test]
    fn changed_param_is_named_with_both_values_and_its_location() {
        let (plan, changes) = changed(&["stages.images.count=10"]);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].sentence, "count: 9 → 10");
        let span = changes[0].span.clone().unwrap();
        assert_eq!(plan.spec.sources.text(&span), "10");
        assert_eq!(plan.spec.sources.source_at(span.start).unwrap().name, "--set");
    }

    #[test]
    fn changed_default_of_the_experiment_has_its_location() {
        let (plan, changes) = changed(&["experiment.seed=8"]);
        assert_eq!(changes[0].sentence, "seed: 7 → 8");
        assert_eq!(plan.spec.sources.text(changes[0].span.as_ref().unwrap()), "8");
    }
}
