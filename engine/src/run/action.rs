//! The construction of an [`Action`], which can run anywhere, from a node with known inputs.

use std::cell::OnceCell;
use std::sync::Arc;

use orchestrate_cache::{ActionKey, DigestMap, FileEntry, OutputDigest, Store};

use crate::known::Known;
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::{Feed, Plan};
use crate::stage::{Action, Input, InputFile, Item, Label};

/// The number of artifacts whose files are remembered. Few are read by many nodes; most of a large sweep have one
/// reader.
const REMEMBERED: usize = 4096;

/// An artifact that the store has lost since it was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The node that produced it.
    pub upstream: NodeId,
}

/// Makes actions. An artifact that many nodes read is resolved once, or now and then.
pub struct ActionMaker<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    store: &'a Store,
    files: DigestMap<Arc<[InputFile]>>,
    /// By axis and value; made for the first gathered input.
    labels: OnceCell<Vec<Vec<Label>>>,
}

impl<'a> ActionMaker<'a> {
    /// Returns a maker that has resolved no artifact.
    pub fn new(plan: &'a Plan, observed: &'a Observed, store: &'a Store) -> Self {
        Self { plan, observed, store, files: DigestMap::default(), labels: OnceCell::new() }
    }

    /// Forgets the locations of artifacts, after one turned out to be corrupt.
    pub(super) fn forget(&mut self) {
        self.files.clear();
    }

    /// Returns the action of a node with known inputs. Errors: an input that the store has lost.
    pub fn action(&mut self, id: NodeId, key: ActionKey, known: &Known<'_>) -> Result<Action, Lost> {
        let plan = self.plan;
        let mut inputs: Vec<Input> = Vec::new();
        for (position, feed) in plan.stage(id).feeds.iter().enumerate() {
            if inputs.last().is_none_or(|input| input.port != feed.port) {
                inputs.push(Input { port: feed.port.clone(), items: Vec::new() });
            }
            let items = self.items(feed, plan.feed_items(id, position), known)?;
            inputs.last_mut().expect("an input was pushed").items.extend(items);
        }
        let seen = self.observed.of(plan, id);
        Ok(Action {
            key,
            node: plan.name(id).to_string(),
            params: plan.params(id).params.clone(),
            inputs,
            files: self.observed.files(plan, id),
            env: seen.env.clone(),
            probes: seen.probes.clone(),
        })
    }

    /// Returns an output of a node, labelled by all of its axes; `None` if the store has lost it.
    pub fn item(&self, node: NodeId, output: OutputDigest) -> Option<Item> {
        let plan = self.plan;
        let labels = self.labels.get_or_init(|| labels(plan));
        let labels = labels_of(plan, labels, node, 0..plan.stage(node).points.axes().len());
        Some(Item { labels, files: resolve(self.store, &output)? })
    }

    /// Resolves the outputs of some nodes for a feed.
    ///
    /// In this thread, however many there are: memory that it has freed serves again here, but not in other threads.
    fn items(&mut self, feed: &Feed, nodes: &[NodeId], known: &Known<'_>) -> Result<Vec<Item>, Lost> {
        let plan = self.plan;
        let labels = if feed.gathered.is_empty() { &[] } else { &**self.labels.get_or_init(|| labels(plan)) };
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            let lost = Lost { upstream: *node };
            let digest = known.output(*node, &feed.output).ok_or(lost)?.0;
            let files = match self.files.get(&digest) {
                Some(files) => Arc::clone(files),
                None => {
                    let files = resolve(self.store, &OutputDigest(digest)).ok_or(lost)?;
                    if self.files.len() >= REMEMBERED {
                        self.files.clear();
                    }
                    self.files.insert(digest, Arc::clone(&files));
                    files
                }
            };
            items.push(Item { labels: labels_of(plan, labels, *node, feed.gathered.iter().copied()), files });
        }
        Ok(items)
    }
}

/// Returns the labels of the values of all axes.
fn labels(plan: &Plan) -> Vec<Vec<Label>> {
    let axes = plan.spec.axes.iter().map(|axis| (Arc::<str>::from(axis.name.get_ref().as_str()), &axis.values));
    axes.map(|(axis, values)| values.iter().map(|value| (Arc::clone(&axis), value.label.as_str().into())).collect())
        .collect()
}

/// Returns the labels of a node at some positions among the axes of its stage.
fn labels_of(plan: &Plan, labels: &[Vec<Label>], node: NodeId, positions: impl Iterator<Item = usize>) -> Vec<Label> {
    let values = positions.map(|position| plan.value(node, position));
    values.map(|(axis, value)| labels[axis][value].clone()).collect()
}

/// Returns the files of an artifact with their locations; `None` if the store has lost one.
fn resolve(store: &Store, digest: &OutputDigest) -> Option<Arc<[InputFile]>> {
    let located = |FileEntry { name, digest, size_bytes }| {
        Some(InputFile { name, digest, size_bytes, location: store.locate(&digest)? })
    };
    store.artifact(digest)?.files.into_iter().map(located).collect()
}

#[cfg(test)]
mod tests {
    use orchestrate_cache::{Access, Digest, FileDigests, PutContent};

    use super::*;
    use crate::fake::{STUDY, plan};
    use crate::observe::observe;

    /// With two models and three folds, more scores than are remembered.
    const THRESHOLDS: usize = 1000;

    #[test]
    fn gathered_items_are_ordered_and_labelled_share_artifacts_and_name_a_lost_one() {
        let study = STUDY.replace("threshold = [200, 225]", &format!("threshold = \"1..={THRESHOLDS}\""));
        let plan = plan(&study, &[]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let observed = observe(&plan, &FileDigests::open(dir.path())).unwrap();
        let table = plan.ids().last().unwrap();
        let scores = plan.feed_items(table, 0);
        let mut known = Known::new(&plan, &observed);
        let name = |number: usize| format!("{}.txt", number % 3);
        for (number, score) in scores.iter().enumerate() {
            let file = (name(number), PutContent::Bytes(name(number).into_bytes()));
            let (digest, _) = store.put_artifact(vec![file]).unwrap();
            assert!(known.learn(*score, &[("scores".to_owned(), digest)]));
        }
        store.commit().unwrap();

        let key = ActionKey(Digest::of(b"a key"));
        let mut maker = ActionMaker::new(&plan, &observed, &store);
        let action = maker.action(table, key, &known).unwrap();
        let items = &action.input("scores").unwrap().items;
        assert_eq!(items.len(), 2 * 3 * THRESHOLDS);
        for (number, (item, score)) in items.iter().zip(scores).enumerate() {
            let labels: Vec<_> = item.labels.iter().map(|(axis, label)| (&**axis, &**label)).collect();
            assert_eq!(labels, plan.point(*score));
            assert_eq!(item.files[0].name, name(number));
            assert_eq!(item.read(&name(number)).unwrap(), name(number).into_bytes());
            assert!(Arc::ptr_eq(&item.files, &items[number % 3].files), "{number}");
        }

        for number in [5999, 4321] {
            known.forget(scores[number]);
            assert_eq!(maker.action(table, key, &known).unwrap_err().upstream, scores[number]);
        }
    }
}
