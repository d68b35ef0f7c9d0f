//! From a node whose inputs are known to an [`Action`] that can run anywhere.

use std::collections::HashMap;
use std::sync::Arc;

use orchestrate_cache::{ActionKey, OutputDigest, Store};

use crate::key::gathered_labels;
use crate::known::Known;
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::stage::{Action, Input, InputFile, Item};

/// A stored artifact that the store has lost since it was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The node that gave it.
    pub upstream: NodeId,
}

/// Makes actions; artifacts that many nodes read are resolved once.
pub struct ActionMaker<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    store: &'a Store,
    files: HashMap<OutputDigest, Arc<[InputFile]>>,
}

impl<'a> ActionMaker<'a> {
    /// No artifact is resolved yet.
    pub fn new(plan: &'a Plan, observed: &'a Observed, store: &'a Store) -> Self {
        Self { plan, observed, store, files: HashMap::new() }
    }

    /// Forgets where an artifact lies, after it turned out to be corrupt.
    pub(super) fn forget(&mut self) {
        self.files.clear();
    }

    /// The action of a node whose inputs are known. Errors: an input that the store has lost.
    pub fn action(&mut self, id: NodeId, key: ActionKey, known: &Known<'_>) -> Result<Action, Lost> {
        let mut inputs: Vec<Input> = Vec::new();
        for (position, feed) in self.plan.stage(id).feeds.iter().enumerate() {
            if inputs.last().is_none_or(|input| input.port != feed.port) {
                inputs.push(Input { port: feed.port.clone(), items: Vec::new() });
            }
            for item in self.plan.feed_items(id, position) {
                let lost = Lost { upstream: *item };
                let digest = known.output(*item, &feed.output).ok_or(lost)?;
                let files = self.files(digest).ok_or(lost)?;
                let labels = gathered_labels(self.plan, *item, feed);
                let labels = labels.map(|(axis, label)| (axis.to_owned(), label.to_owned())).collect();
                inputs.last_mut().expect("an input was pushed").items.push(Item { labels, files });
            }
        }
        let seen = self.observed.of(self.plan, id);
        Ok(Action {
            key,
            node: self.plan.name(id).to_string(),
            params: self.plan.params(id).params.clone(),
            inputs,
            files: self.observed.files(self.plan, id),
            env: seen.env.clone(),
        })
    }

    /// The files of an artifact and where they lie; `None` where the store has lost one.
    pub fn files(&mut self, digest: OutputDigest) -> Option<Arc<[InputFile]>> {
        if let Some(files) = self.files.get(&digest) {
            return Some(Arc::clone(files));
        }
        let artifact = self.store.artifact(&digest)?;
        let files: Option<Arc<[_]>> = artifact
            .files
            .iter()
            .map(|file| {
                let location = self.store.locate(&file.digest)?;
                let (name, digest, size_bytes) = (file.name.clone(), file.digest, file.size_bytes);
                Some(InputFile { name, digest, size_bytes, location })
            })
            .collect();
        let files = files?;
        self.files.insert(digest, Arc::clone(&files));
        Some(files)
    }
}
