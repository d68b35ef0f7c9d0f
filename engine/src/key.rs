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
//! The manifest is the preimage of the key, and the key is the digest of the manifest. One traversal gives both: it tells a
//! `Sink` what it meets, and a sink either builds the manifest or encodes it. So an explanation cannot disagree with a
//! key, and a key costs no manifest.

mod sink;

use std::ops::Range;

use orchestrate_cache::{ActionKey, CanonicalError, Encoder, OutputDigest, Preimage, Value};

use crate::node::NodeId;
use crate::observe::{Observed, Seen};
use crate::parallel;
use crate::plan::{Feed, ParamSet, Plan, PlannedStage};
use sink::{Builder, Sink};

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
    let (stage, set) = (plan.stage(id), plan.params(id));
    let mut builder = Builder::default();
    before_inputs(set, observed.of(plan, id), &mut builder);
    inputs(plan, id, &ports(stage), output, &mut builder)?;
    after_inputs(stage, set, observed.of(plan, id), &mut builder);
    Some(Manifest(builder.finish()))
}

/// Makes keys. What all nodes of one set of params share is encoded once.
pub(crate) struct KeyMaker {
    encoder: Encoder,
    frames: Frames,
}

impl KeyMaker {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { encoder: Encoder::default(), frames: Frames::new(plan) }
    }

    /// The key of a node: the digest of its manifest. `None` while an output that it reads is unknown.
    pub(crate) fn key(
        &mut self,
        plan: &Plan,
        id: NodeId,
        observed: &Observed,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    ) -> Option<ActionKey> {
        self.encode(plan, id, observed, output).map(|encoder| ActionKey(encoder.finish()))
    }

    /// The keys of some nodes: the digests of their manifests. `None` while an output that a node reads is unknown.
    pub(crate) fn keys(
        &mut self,
        plan: &Plan,
        ids: &[NodeId],
        observed: &Observed,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest> + Sync,
    ) -> Vec<Option<ActionKey>> {
        let Self { encoder, frames } = self;
        ids.iter().for_each(|id| frames.prepare(plan, *id, observed, encoder));
        let keys = parallel::map_slices(ids, |ids| {
            let mut encoder = Encoder::default();
            let key = |id: &NodeId| {
                frames.encode(plan, *id, &output, &mut encoder)?;
                Some(ActionKey(encoder.finish()))
            };
            ids.iter().map(key).collect::<Vec<_>>()
        });
        keys.concat()
    }

    /// The manifest of a node, encoded. `None` while an output that it reads is unknown.
    pub(crate) fn preimage(
        &mut self,
        plan: &Plan,
        id: NodeId,
        observed: &Observed,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    ) -> Option<Preimage> {
        self.encode(plan, id, observed, output).map(Encoder::preimage)
    }

    fn encode(
        &mut self,
        plan: &Plan,
        id: NodeId,
        observed: &Observed,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    ) -> Option<&mut Encoder> {
        let Self { encoder, frames } = self;
        frames.prepare(plan, id, observed, encoder);
        frames.encode(plan, id, output, encoder)?;
        Some(encoder)
    }
}

/// What is known of the manifests of each stage.
struct Frames(Vec<StageFrames>);

struct StageFrames {
    ports: Vec<Range<usize>>,
    /// By set of params: what stands before the inputs, and what behind.
    frames: Vec<Option<(Vec<u8>, Vec<u8>)>>,
}

impl Frames {
    fn new(plan: &Plan) -> Self {
        let frames = |stage: &PlannedStage| vec![None; stage.param_sets.len()];
        let stages = plan.stages.iter().map(|stage| StageFrames { ports: ports(stage), frames: frames(stage) });
        Self(stages.collect())
    }

    /// Encodes what a node shares with others, unless it was done for one of them.
    fn prepare(&mut self, plan: &Plan, id: NodeId, observed: &Observed, encoder: &mut Encoder) {
        let node = plan.node(id);
        self.0[node.stage as usize].frames[node.params as usize].get_or_insert_with(|| {
            encoder.clear();
            before_inputs(plan.params(id), observed.of(plan, id), encoder);
            let before = encoder.take();
            after_inputs(plan.stage(id), plan.params(id), observed.of(plan, id), encoder);
            (before, encoder.take())
        });
    }

    /// Gives the manifest of a node, which is prepared, to an encoder. `None` while an output that it reads is unknown.
    fn encode(
        &self,
        plan: &Plan,
        id: NodeId,
        output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
        encoder: &mut Encoder,
    ) -> Option<()> {
        let node = plan.node(id);
        let StageFrames { ports, frames } = &self.0[node.stage as usize];
        let (before, after) = frames[node.params as usize].as_ref().expect("its frames are prepared");
        encoder.clear();
        encoder.encoded(before);
        inputs(plan, id, ports, output, encoder)?;
        encoder.encoded(after);
        Some(())
    }
}

// The fields of a manifest are told in the order of their names, as a canonical map holds them.

fn before_inputs(set: &ParamSet, seen: &Seen, sink: &mut impl Sink) {
    let optional = [seen.env.is_empty(), seen.files.is_empty(), seen.files.is_empty(), seen.probes.is_empty()];
    sink.map(4 + optional.iter().filter(|is_empty| !**is_empty).count());
    if !seen.env.is_empty() {
        let text = |value: &Option<String>| value.as_ref().map_or(Value::Null, Value::text);
        sink.text("env");
        sink.value(&Value::map(seen.env.iter().map(|(name, value)| (name.as_str(), text(value)))));
    }
    if !seen.files.is_empty() {
        // A manifest of images is a list: the same files in another order are other inputs.
        sink.text("file_order");
        sink.list(set.files.len());
        set.files.iter().for_each(|file| sink.text(&file.name));
        let mut files: Vec<_> = set.files.iter().map(|file| file.name.as_str()).zip(&seen.files).collect();
        // Of two files of one name the last counts, as in a map.
        files.reverse();
        files.sort_by_key(|(name, _)| *name);
        files.dedup_by_key(|(name, _)| *name);
        sink.text("files");
        sink.map(files.len());
        for (name, digest) in files {
            sink.text(name);
            sink.digest(digest);
        }
    }
    sink.text("inputs");
}

fn after_inputs(stage: &PlannedStage, set: &ParamSet, seen: &Seen, sink: &mut impl Sink) {
    sink.text("kind");
    sink.text(stage.kind.facts().kind);
    if !seen.probes.is_empty() {
        sink.text("observed");
        sink.value(&Value::map(seen.probes.iter().map(|(name, value)| (name.as_str(), Value::text(value)))));
    }
    sink.text("params");
    sink.value(&set.keyed);
    sink.text("version");
    sink.value(&Value::Int(i64::from(stage.kind.facts().version)));
}

/// The ports of a stage in the order of their names, each with its feeds: several stages at one port follow each other.
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

fn inputs(
    plan: &Plan,
    id: NodeId,
    ports: &[Range<usize>],
    output: impl Fn(NodeId, &str) -> Option<OutputDigest>,
    sink: &mut impl Sink,
) -> Option<()> {
    let feeds = &plan.stage(id).feeds;
    sink.map(ports.len());
    for port in ports {
        let first = &feeds[port.start];
        sink.text(&first.port);
        if !first.listed {
            sink.digest(&output(plan.feed_items(id, port.start)[0], &first.output)?.0);
            continue;
        }
        sink.list(port.clone().map(|position| plan.feed_items(id, position).len()).sum());
        for position in port.clone() {
            let feed = &feeds[position];
            for item in plan.feed_items(id, position) {
                sink.map(2);
                sink.text("digest");
                sink.digest(&output(*item, &feed.output)?.0);
                sink.text("labels");
                sink.list(feed.gathered.len());
                for (axis, label) in gathered_labels(plan, *item, feed) {
                    sink.list(2);
                    sink.text(axis);
                    sink.text(label);
                }
            }
        }
    }
    Some(())
}

/// Axis and label of each axis that was gathered, in the order of declaration.
fn gathered_labels<'a>(plan: &'a Plan, item: NodeId, feed: &'a Feed) -> impl Iterator<Item = (&'a str, &'a str)> {
    feed.gathered.iter().map(move |position| plan.label(item, *position))
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
            let key = known.key(id).unwrap();
            let manifest = known.manifest(id).unwrap();
            assert_eq!(manifest.key(), Ok(key), "the key is the digest of the manifest");
            let stored = serde_json::to_value(known.preimage(id).unwrap()).unwrap();
            assert_eq!(stored, manifest.0.to_json(), "what is stored is the manifest");
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
