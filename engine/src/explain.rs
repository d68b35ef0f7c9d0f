//! Why a node would run: the one value, file or upstream output that differs from the latest recorded run of that node.

use std::collections::BTreeMap;

use orchestrate_cache::Preimage;
use serde_json::Value as Json;

use crate::node::NodeId;
use crate::plan::Plan;
use crate::source::Span;

/// One difference between two preimages.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What differs.
    pub what: Difference,
    /// Where its present value stands in the spec, if it was written there.
    pub span: Option<Span>,
}

/// What differs between two preimages.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// The stage has another kind.
    Kind {
        /// Before.
        was: String,
        /// Now.
        now: String,
    },
    /// The stage's code gives other numbers than before.
    Version {
        /// Before.
        was: String,
        /// Now.
        now: String,
    },
    /// A param, named with dots; `None` where it did not exist.
    Param {
        /// The param.
        name: String,
        /// Before.
        was: Option<String>,
        /// Now.
        now: Option<String>,
    },
    /// Contents of an external file; also where it came or went.
    File {
        /// Its name in the key.
        name: String,
        /// What happened to it.
        event: Event,
    },
    /// External files are the same in another order.
    FileOrder,
    /// An environment variable or an observation.
    Environment {
        /// Its name.
        name: String,
        /// Before.
        was: Option<String>,
        /// Now.
        now: Option<String>,
    },
    /// An upstream output.
    Input {
        /// The port that reads it.
        port: String,
        /// Labels of gathered axes, `fold=3`; empty where the input is joined.
        labels: String,
        /// What happened to it.
        event: Event,
        /// The upstream node now.
        upstream: Option<NodeId>,
    },
    /// A port is connected that was not, or the other way round; or points are gathered in another order.
    Ports {
        /// The port.
        port: String,
        /// What happened to it.
        event: Event,
    },
}

/// What happened to something that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has other contents.
    Changed,
    /// It stands elsewhere in its list.
    Moved,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "is new",
            Self::Removed => "is gone",
            Self::Changed => "changed",
            Self::Moved => "moved",
        }
    }
}

impl Change {
    /// The change in a few words, `epochs: 5 → 6`.
    pub fn sentence(&self) -> String {
        let arrow = |was: &Option<String>, now: &Option<String>| {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
            format!("{} → {}", shown(was), shown(now))
        };
        match &self.what {
            Difference::Kind { was, now } => format!("kind: {was} → {now}"),
            Difference::Version { was, now } => format!("version of the stage: {was} → {now}"),
            Difference::Param { name, was, now } => format!("{name}: {}", arrow(was, now)),
            Difference::File { name, event } => format!("file {name} {}", event.word()),
            Difference::FileOrder => "files are in another order".to_owned(),
            Difference::Environment { name, was, now } => format!("{name}: {}", arrow(was, now)),
            Difference::Input { port, labels, event, .. } if labels.is_empty() => {
                format!("input {port} {}", event.word())
            }
            Difference::Input { port, labels, event, .. } => format!("input {port}[{labels}] {}", event.word()),
            Difference::Ports { port, event } => format!("input {port} {}", event.word()),
        }
    }
}

/// What differs between the recorded preimage and the present one; empty where they are the same.
pub fn changes(plan: &Plan, id: NodeId, was: &Json, now: &Preimage) -> Vec<Change> {
    let now = now.to_json();
    let mut changes = Vec::new();
    let at = |what| Change { what, span: None };
    let text = |json: &Json| shown(json).unwrap_or_default();
    let declared = &plan.spec.stages[plan.stage(id).declared];
    if was["kind"] != now["kind"] {
        let what = Difference::Kind { was: text(&was["kind"]), now: text(&now["kind"]) };
        changes.push(Change { what, span: Some(declared.kind.span()) });
    } else if was["version"] != now["version"] {
        changes.push(at(Difference::Version { was: text(&was["version"]), now: text(&now["version"]) }));
    }
    params("", &was["params"], &now["params"], &mut |name, was, now| {
        let top = name.split('.').next().unwrap_or_default();
        let span = plan.params(id).spans.iter().find(|(param, _)| param == top).map(|(_, span)| span.clone());
        changes.push(Change { what: Difference::Param { name: name.to_owned(), was, now }, span });
    });
    let before = changes.len();
    for (name, event) in compared(&fields(&was["files"]), &fields(&now["files"])) {
        changes.push(at(Difference::File { name, event }));
    }
    if changes.len() == before && was["file_order"] != now["file_order"] {
        changes.push(at(Difference::FileOrder));
    }
    for section in ["env", "observed"] {
        params("", &was[section], &now[section], &mut |name, was, now| {
            changes.push(at(Difference::Environment { name: name.to_owned(), was, now }));
        });
    }
    inputs(plan, id, &was["inputs"], &now["inputs"], &mut changes);
    changes
}

/// The value as people would write it; `None` where there is none.
fn shown(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(format!("\"{text}\"")),
        other => Some(other.to_string()),
    }
}

fn params(prefix: &str, was: &Json, now: &Json, report: &mut impl FnMut(&str, Option<String>, Option<String>)) {
    match (was, now) {
        (Json::Object(_), Json::Object(_)) => {
            let (was, now) = (fields(was), fields(now));
            let names: BTreeMap<&str, ()> = was.keys().chain(now.keys()).map(|name| (*name, ())).collect();
            for name in names.keys() {
                let path = if prefix.is_empty() { (*name).to_owned() } else { format!("{prefix}.{name}") };
                let value = |fields: &BTreeMap<&str, Json>| fields.get(name).cloned().unwrap_or(Json::Null);
                params(&path, &value(&was), &value(&now), report);
            }
        }
        (was, now) if was != now => report(prefix, shown(was), shown(now)),
        _ => {}
    }
}

fn fields(json: &Json) -> BTreeMap<&str, Json> {
    json.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.clone())).collect()
}

fn compared(was: &BTreeMap<&str, Json>, now: &BTreeMap<&str, Json>) -> Vec<(String, Event)> {
    let gone = was.keys().filter(|name| !now.contains_key(*name)).map(|name| ((*name).to_owned(), Event::Removed));
    let rest = now.iter().filter_map(|(name, value)| match was.get(name) {
        None => Some(((*name).to_owned(), Event::Added)),
        Some(before) if before != value => Some(((*name).to_owned(), Event::Changed)),
        Some(_) => None,
    });
    gone.chain(rest).collect()
}

fn inputs(plan: &Plan, id: NodeId, was: &Json, now: &Json, changes: &mut Vec<Change>) {
    let (was, now) = (fields(was), fields(now));
    let stage = plan.stage(id);
    let feed_of = |port: &str| stage.feeds.iter().position(|feed| feed.port == port);
    for (port, event) in compared(&was, &now) {
        let span = feed_of(&port).map(|feed| stage.feeds[feed].span.clone());
        let mut push = |what| changes.push(Change { what, span: span.clone() });
        match (was.get(port.as_str()), now.get(port.as_str()), feed_of(&port)) {
            (Some(Json::String(_)), Some(Json::String(_)), Some(feed)) => {
                let upstream = plan.feed_items(id, feed).first().copied();
                push(Difference::Input { port, labels: String::new(), event, upstream });
            }
            (Some(Json::Array(was)), Some(Json::Array(now)), _) => {
                gathered(plan, id, &port, was, now, &mut push);
            }
            _ => push(Difference::Ports { port, event }),
        }
    }
}

fn gathered(plan: &Plan, id: NodeId, port: &str, was: &[Json], now: &[Json], push: &mut impl FnMut(Difference)) {
    let items: Vec<_> = plan
        .stage(id)
        .feeds
        .iter()
        .enumerate()
        .filter(|(_, feed)| feed.port == port)
        .flat_map(|(position, _)| plan.feed_items(id, position).iter().copied())
        .collect();
    let by_label = |list: &[Json]| -> BTreeMap<String, Json> {
        list.iter().map(|item| (labels(&item["labels"]), item["digest"].clone())).collect()
    };
    let (before, after) = (by_label(was), by_label(now));
    let mut differs = false;
    for (label, event) in compared(&borrowed(&before), &borrowed(&after)) {
        differs = true;
        let place = now.iter().position(|item| labels(&item["labels"]) == label);
        let upstream = place.and_then(|place| items.get(place).copied());
        push(Difference::Input { port: port.to_owned(), labels: label, event, upstream });
    }
    if !differs {
        push(Difference::Ports { port: port.to_owned(), event: Event::Moved });
    }
}

fn borrowed(digests: &BTreeMap<String, Json>) -> BTreeMap<&str, Json> {
    digests.iter().map(|(label, digest)| (label.as_str(), digest.clone())).collect()
}

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

    /// The preimage of a node without inputs, and its changes against that of another version of the study.
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
    fn same_preimage_has_no_changes() {
        assert_eq!(changed(&[]).1, []);
    }

    #[test]
    fn changed_param_is_named_with_both_values_and_its_place() {
        let (plan, changes) = changed(&["stages.images.count=10"]);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].sentence(), "count: 9 → 10");
        let span = changes[0].span.clone().unwrap();
        assert_eq!(plan.spec.sources.text(&span), "10");
        assert_eq!(plan.spec.sources.source_at(span.start).unwrap().name, "--set");
    }

    #[test]
    fn changed_default_of_the_experiment_is_named_where_it_stands() {
        let (plan, changes) = changed(&["experiment.seed=8"]);
        assert_eq!(changes[0].sentence(), "seed: 7 → 8");
        assert_eq!(plan.spec.sources.text(changes[0].span.as_ref().unwrap()), "8");
    }
}
