//! Keys: everything that a stage can see is in its key, and nothing else.
//!
//! | fact | in key | provenance only |
//! |---|---|---|
//! | kind and version of the stage | yes | |
//! | params, defaults filled in, bound axis values among them | yes | |
//! | external files: name relative to the file or folder that mentions them, digest | yes | absolute path, mtime |
//! | keyed environment variables and observations of a `command` | yes | `secret_env`, the rest of the environment |
//! | joined input: output digest | yes | stage name, axis name and label¹ |
//! | gathered input: output digests in order, with the labels of the gathered axes² | yes | labels of joined axes |
//! | seed, where the stage draws random numbers | yes, as a param | |
//! | threads, device, host, run, `resources`, `retries`, `timeout`, `publish`, comments, order of keys | | yes |
//!
//! ¹ So renaming a stage, or giving a model another label, reruns only stages that show the label.
//! ² A table shows them, so it must see them.
//!
//! The key is the digest of the [`Preimage`], the encoding of all these as one map. A recorded result keeps the same
//! encoding, decoded, and `explain` compares it, so an explanation cannot disagree with a key.

use std::ops::Range;

use orchestrate_cache::{ActionKey, Encoder, OutputDigest, Preimage, Value};

use crate::node::NodeId;
use crate::observe::{Observed, Seen};
use crate::parallel;
use crate::plan::{Feed, ParamSet, Plan, PlannedStage};

/// Makes the preimage of a node's key; `None` while an output that it reads is unknown.
pub(crate) fn preimage(
    plan: &Plan,
    id: NodeId,
    observed: &Observed,
    output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
) -> Option<Preimage> {
    let (stage, set, seen) = (plan.stage(id), plan.params(id), observed.of(plan, id));
    let mut encoder = Encoder::default();
    before_inputs(set, seen, &mut encoder);
    inputs(plan, id, &ports(stage), output, &mut encoder)?;
    after_inputs(stage, set, seen, &mut encoder);
    Some(encoder.into())
}

/// Makes keys; encodes once the parts that all nodes of one set of params share.
pub(crate) struct KeyMaker {
    encoder: Encoder,
    stages: Vec<StageFrames>,
}

/// The shared encodings of one stage.
struct StageFrames {
    ports: Vec<Range<usize>>,
    /// By set of params: the encoding before the inputs, and the one after them.
    frames: Vec<Option<(Vec<u8>, Vec<u8>)>>,
}

impl KeyMaker {
    pub(crate) fn new(plan: &Plan) -> Self {
        let frames = |stage: &PlannedStage| vec![None; stage.param_sets.len()];
        let stages = plan.stages.iter().map(|stage| StageFrames { ports: ports(stage), frames: frames(stage) });
        Self { encoder: Encoder::default(), stages: stages.collect() }
    }

    /// Returns the key of a node; `None` while an output that it reads is unknown.
    pub(crate) fn key(
        &mut self,
        plan: &Plan,
        id: NodeId,
        observed: &Observed,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    ) -> Option<ActionKey> {
        self.prepare(plan, id, observed);
        key(&self.stages, plan, id, output, &mut self.encoder)
    }

    /// Returns the keys of some nodes, each `None` while an output that the node reads is unknown.
    pub(crate) fn keys(
        &mut self,
        plan: &Plan,
        ids: &[NodeId],
        observed: &Observed,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest> + Sync,
    ) -> Vec<Option<ActionKey>> {
        ids.iter().for_each(|id| self.prepare(plan, *id, observed));
        let stages = &self.stages;
        let keys = parallel::map_slices(ids, |ids| {
            let mut encoder = Encoder::default();
            ids.iter().map(|id| key(stages, plan, *id, &output, &mut encoder)).collect::<Vec<_>>()
        });
        keys.concat()
    }

    /// Encodes the parts that a node shares with others, unless that was done for one of them.
    fn prepare(&mut self, plan: &Plan, id: NodeId, observed: &Observed) {
        let node = plan.node(id);
        let encoder = &mut self.encoder;
        self.stages[node.stage as usize].frames[node.params as usize].get_or_insert_with(|| {
            encoder.clear();
            before_inputs(plan.params(id), observed.of(plan, id), encoder);
            let before = encoder.take();
            after_inputs(plan.stage(id), plan.params(id), observed.of(plan, id), encoder);
            (before, encoder.take())
        });
    }
}

/// Returns the key of a prepared node; `None` while an output that it reads is unknown.
fn key(
    stages: &[StageFrames],
    plan: &Plan,
    id: NodeId,
    output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    encoder: &mut Encoder,
) -> Option<ActionKey> {
    let node = plan.node(id);
    let StageFrames { ports, frames } = &stages[node.stage as usize];
    let (before, after) = frames[node.params as usize].as_ref().expect("its frames are prepared");
    encoder.clear();
    encoder.encoded(before);
    inputs(plan, id, ports, output, encoder)?;
    encoder.encoded(after);
    Some(ActionKey(encoder.finish()))
}

// The fields of a preimage are written in the order of their names, as in every canonical map.

fn before_inputs(set: &ParamSet, seen: &Seen, encoder: &mut Encoder) {
    let optional = [seen.env.is_empty(), seen.files.is_empty(), seen.files.is_empty(), seen.probes.is_empty()];
    encoder.map(4 + optional.iter().filter(|is_empty| !**is_empty).count());
    if !seen.env.is_empty() {
        let text = |value: &Option<String>| value.as_ref().map_or(Value::Null, Value::text);
        let env = seen.env.iter().map(|(name, value)| (name.as_str(), text(value)));
        field("env", &Value::map(env), encoder);
    }
    if !seen.files.is_empty() {
        // Images are a list: the same files in another order are other inputs.
        encoder.text("file_order");
        encoder.list(set.files.len());
        set.files.iter().for_each(|file| encoder.text(&file.name));
        let mut files: Vec<_> = set.files.iter().map(|file| file.name.as_str()).zip(&seen.files).collect();
        // Of two files of one name the last counts, as in a map.
        files.reverse();
        files.sort_by_key(|(name, _)| *name);
        files.dedup_by_key(|(name, _)| *name);
        encoder.text("files");
        encoder.map(files.len());
        for (name, digest) in files {
            encoder.text(name);
            encoder.digest(digest);
        }
    }
    encoder.text("inputs");
}

fn after_inputs(stage: &PlannedStage, set: &ParamSet, seen: &Seen, encoder: &mut Encoder) {
    encoder.text("kind");
    encoder.text(stage.kind.facts().kind);
    if !seen.probes.is_empty() {
        let probes = seen.probes.iter().map(|(name, value)| (name.as_str(), Value::text(value)));
        field("observed", &Value::map(probes), encoder);
    }
    field("params", &set.keyed, encoder);
    field("version", &Value::Int(i64::from(stage.kind.facts().version)), encoder);
}

fn field(name: &str, value: &Value, encoder: &mut Encoder) {
    encoder.text(name);
    encoder.value(value).expect("params are from TOML or JSON, which have no NaN");
}

/// Returns the ports of a stage in the order of their names, each as a range of feeds: the feeds of one port are
/// adjacent.
fn ports(stage: &PlannedStage) -> Vec<Range<usize>> {
    let mut ports: Vec<Range<usize>> = Vec::new();
    for (position, feed) in stage.feeds.iter().enumerate() {
        match ports.last_mut() {
            Some(port) if stage.feeds[port.start].port == feed.port => port.end = position + 1,
            _ => ports.push(position..position + 1),
        }
    }
    ports.sort_by(|a, b| stage.feeds[a.start].port.cmp(&stage.feeds[b.start].port));
    ports
}

/// Encodes the inputs by port; `ActionResult::inputs` reads them again.
fn inputs(
    plan: &Plan,
    id: NodeId,
    ports: &[Range<usize>],
    output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    encoder: &mut Encoder,
) -> Option<()> {
    let feeds = &plan.stage(id).feeds;
    encoder.map(ports.len());
    for port in ports {
        let first = &feeds[port.start];
        encoder.text(&first.port);
        if !first.listed {
            encoder.digest(&output(plan.feed_items(id, port.start)[0], &first.output)?.0);
            continue;
        }
        encoder.list(port.clone().map(|position| plan.feed_items(id, position).len()).sum());
        for position in port.clone() {
            let feed = &feeds[position];
            for item in plan.feed_items(id, position) {
                encoder.map(2);
                encoder.text("digest");
                encoder.digest(&output(*item, &feed.output)?.0);
                encoder.text("labels");
                encoder.list(feed.gathered.len());
                for (axis, label) in gathered_labels(plan, *item, feed) {
                    encoder.list(2);
                    encoder.text(axis);
                    encoder.text(label);
                }
            }
        }
    }
    Some(())
}

/// Returns axis and label of each gathered axis, in the order of declaration.
fn gathered_labels<'a>(plan: &'a Plan, item: NodeId, feed: &'a Feed) -> impl Iterator<Item = (&'a str, &'a str)> {
    feed.gathered.iter().map(move |position| plan.label(item, *position))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orchestrate_cache::{ActionKey, ActionResult, Digest, FileDigests, OutputDigest};

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
            let key = known.key(id).unwrap();
            let preimage = known.preimage(id).unwrap();
            assert_eq!(ActionKey(preimage.digest()), key, "the key is the digest of the preimage");
            let (outputs, node, kind, run, device) = Default::default();
            let preimage = preimage.to_json();
            let (elapsed_ms, recorded_ms, producer) = Default::default();
            let result = ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device, producer };
            assert_eq!(result.key(), Ok(key), "the key follows from the JSON of its preimage");
            let inputs = result.inputs();
            let given = |id: &_| known.digests(*id).unwrap();
            let is_read = |id: &_| given(id).iter().any(|output| inputs.contains(output));
            assert!(plan.inputs(id).iter().all(is_read), "garbage collection finds what a result was made from");
            assert!(inputs.iter().all(|input| plan.inputs(id).iter().any(|id| given(id).contains(input))));
            let output = |name: &String| {
                let text = format!("{}{name}", key.0);
                (name.clone(), OutputDigest(Digest::of(text.as_bytes())))
            };
            let outputs: Vec<_> = plan.params(id).outputs.iter().map(output).collect();
            assert!(known.learn(id, &outputs));
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
