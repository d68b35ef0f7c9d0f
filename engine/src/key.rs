//! Keys: what a stage can see is in its key; what it cannot see is not.
//!
//! | what | in key | provenance only |
//! |---|---|---|
//! | kind and version of the stage | yes | |
//! | params, defaults filled in, bound axis values among them | yes | |
//! | external files: name relative to what mentions them, digest | yes | absolute path, mtime |
//! | keyed environment variables and observations of a `command` | yes | `secret_env`, everything else in the environment |
//! | joined input: output digest | yes | stage name, axis name and label¹ |
//! | gathered input: output digests in order, with the labels of the gathered axes² | yes | labels of joined axes |
//! | seed, where the stage draws random numbers | yes, as a param | |
//! | threads, device, host, run, `resources`, `retries`, `timeout`, `publish`, comments, order of keys | | yes |
//!
//! ¹ So renaming a stage, or giving a model another label, reruns only what shows the label.
//! ² A table shows them, so it must see them.
//!
//! The manifest is the preimage of the key, and the key is the digest of the manifest: one traversal makes both, so an
//! explanation cannot disagree with a key.

use orchestrate_cache::{ActionKey, CanonicalError, OutputDigest, Value};

use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::{Feed, Plan};

/// The readable preimage of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest(pub Value);

impl Manifest {
    /// The digest of the manifest.
    pub fn key(&self) -> Result<ActionKey, CanonicalError> {
        self.0.digest().map(ActionKey)
    }
}

/// Makes the manifest of a node; `None` while an output that it reads is unknown.
pub fn manifest(
    plan: &Plan,
    id: NodeId,
    observed: &Observed,
    output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
) -> Option<Manifest> {
    let stage = plan.stage(id);
    let set = plan.params(id);
    let mut fields = vec![
        ("kind", Value::text(stage.kind.kind())),
        ("version", Value::Int(i64::from(stage.kind.version()))),
        ("params", set.keyed.clone()),
        ("inputs", inputs(plan, id, output)?),
    ];
    let seen = observed.of(plan, id);
    if !seen.files.is_empty() {
        let files = seen.files.iter().map(|file| (file.name.as_str(), Value::Digest(file.digest)));
        fields.push(("files", Value::map(files)));
        // A manifest of images is a list: the same files in another order are other inputs.
        fields.push(("file_order", Value::List(seen.files.iter().map(|file| Value::text(&file.name)).collect())));
    }
    if !seen.env.is_empty() {
        let text = |value: &Option<String>| value.as_ref().map_or(Value::Null, Value::text);
        fields.push(("env", Value::map(seen.env.iter().map(|(name, value)| (name.as_str(), text(value))))));
    }
    if !seen.probes.is_empty() {
        fields.push((
            "observed",
            Value::map(seen.probes.iter().map(|(name, value)| (name.as_str(), Value::text(value)))),
        ));
    }
    Some(Manifest(Value::map(fields)))
}

fn inputs(plan: &Plan, id: NodeId, output: impl Fn(NodeId, &str) -> Option<OutputDigest>) -> Option<Value> {
    let feeds = &plan.stage(id).feeds;
    let mut ports: Vec<(&str, Value)> = Vec::new();
    for (position, feed) in feeds.iter().enumerate() {
        let digest = |item: NodeId| output(item, &feed.output).map(|digest| Value::Digest(digest.0));
        let items = plan.feed_items(id, position);
        if !feed.listed {
            ports.push((&feed.port, digest(items[0])?));
            continue;
        }
        let listed: Vec<_> =
            items.iter().map(|item| Some(listed(plan, *item, feed, digest(*item)?))).collect::<Option<_>>()?;
        match ports.last_mut() {
            // Several stages at one port follow each other: feeds are sorted by port.
            Some((port, Value::List(earlier))) if *port == feed.port => earlier.extend(listed),
            _ => ports.push((&feed.port, Value::List(listed))),
        }
    }
    Some(Value::map(ports))
}

fn listed(plan: &Plan, item: NodeId, feed: &Feed, digest: Value) -> Value {
    let labels = gathered_labels(plan, item, feed);
    let labels = labels.into_iter().map(|(axis, label)| Value::List(vec![Value::text(axis), Value::text(label)]));
    Value::map([("labels", Value::List(labels.collect())), ("digest", digest)])
}

/// Axis and label of each axis that was gathered, in the order of declaration.
pub(crate) fn gathered_labels<'a>(plan: &'a Plan, item: NodeId, feed: &Feed) -> Vec<(&'a str, &'a str)> {
    feed.gathered.iter().map(|position| plan.label(item, *position)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orchestrate_cache::{ActionKey, Digest, FileDigests, OutputDigest};

    use crate::fake::{STUDY, plan};
    use crate::known::Known;
    use crate::observe::observe;

    /// Keys by node name, as if every output were named by the key that gave it.
    fn keys(toml: &str, overrides: &[&str]) -> BTreeMap<String, ActionKey> {
        let plan = plan(toml, overrides).unwrap();
        let store = tempfile::tempdir().unwrap();
        let observed = observe(&plan, &FileDigests::open(store.path())).unwrap();
        let mut known = Known::new(&plan, &observed);
        let mut keys = BTreeMap::new();
        for id in plan.ids() {
            let (key, _) = known.key(id).unwrap();
            let output = |name: &String| {
                let text = format!("{}{name}", key.0);
                (name.clone(), OutputDigest(Digest::of(text.as_bytes())))
            };
            known.learn(id, plan.params(id).outputs.iter().map(output).collect());
            keys.insert(plan.name(id).to_string(), key);
        }
        keys
    }

    /// Names of nodes whose keys are not among those of the other plan.
    fn new_in(after: &BTreeMap<String, ActionKey>, before: &BTreeMap<String, ActionKey>) -> Vec<String> {
        let known: Vec<_> = before.values().collect();
        after.iter().filter(|(_, key)| !known.contains(key)).map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn comments_order_of_keys_and_names_of_stages_change_no_key() {
        let before = keys(STUDY, &[]);
        let spec = STUDY
            .replace("count = 9", "# nine\ncount = 9")
            .replace("over = [\"model\", \"fold\"]\n", "")
            .replace("epochs = 5", "epochs = 5\nover = [\"fold\", \"model\"]\nresources = { threads = 2 }\nretries = 1")
            .replace("\"train\", thresholds", "\"fit\", thresholds")
            .replace("cams = \"train\"", "cams = \"fit\"")
            .replace("[stages.train]", "[stages.fit]");
        let after = keys(&spec, &[]);
        assert_eq!(new_in(&after, &before), [""; 0]);
        assert_eq!(after.len(), before.len());
    }

    #[test]
    fn threshold_changes_the_keys_of_its_points_and_of_what_gathers_them() {
        let changed = new_in(&keys(STUDY, &["axes.threshold=[210, 225]"]), &keys(STUDY, &[]));
        assert_eq!(changed.len(), 6 + 6 + 1);
        assert!(changed.iter().all(|name| name == "table" || name.contains("threshold=210")), "{changed:?}");
    }

    #[test]
    fn epochs_change_the_keys_of_trainings_and_of_all_below() {
        let changed = new_in(&keys(STUDY, &["stages.train.epochs=6"]), &keys(STUDY, &[]));
        assert_eq!(changed.len(), 6 + 12 + 12 + 1);
    }

    #[test]
    fn label_of_a_value_changes_only_what_shows_it() {
        let relabelled = keys(STUDY, &[r#"axes.model=[{ name = "first", model = "a" }, "b"]"#]);
        assert_eq!(new_in(&relabelled, &keys(STUDY, &[])), ["table"]);
    }

    #[test]
    fn seed_changes_only_stages_that_draw() {
        let changed = new_in(&keys(STUDY, &["experiment.seed=8"]), &keys(STUDY, &[]));
        assert_eq!(changed.len(), keys(STUDY, &[]).len(), "the data set draws, and everything hangs on it");
        let fixed = &["experiment.seed=8", "stages.images.seed=7", "stages.split.seed=7"];
        assert_eq!(new_in(&keys(STUDY, fixed), &keys(STUDY, &[])).len(), 6 + 12 + 12 + 1);
    }

    #[test]
    fn golden_key_tells_of_a_change_that_would_lose_every_cache() {
        let key = keys(STUDY, &[])["images"];
        let expected = "ba52621edf18745674c9ddafea84a5484905c11c619ae70b85f5b9fa77611f14";
        assert_eq!(key.0.to_string(), expected, "if this is meant, say so in CHANGELOG.md: every store starts afresh");
    }
}
