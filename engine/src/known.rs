//! Outputs of nodes as far as they are known: by a hit, or because the node ran.

use orchestrate_cache::{ActionKey, OutputDigest, Store};

use crate::key::{Manifest, manifest};
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;

/// Named outputs, in the order in which the stage declares them.
pub type Outputs = Vec<(String, OutputDigest)>;

/// What is known of every node of a plan.
pub struct Known<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    outputs: Vec<Option<Outputs>>,
}

impl<'a> Known<'a> {
    /// Nothing is known.
    pub fn new(plan: &'a Plan, observed: &'a Observed) -> Self {
        Self { plan, observed, outputs: vec![None; plan.nodes.len()] }
    }

    /// The outputs of a node.
    pub fn outputs(&self, id: NodeId) -> Option<&Outputs> {
        self.outputs[id.index()].as_ref()
    }

    /// One output of a node.
    pub fn output(&self, id: NodeId, name: &str) -> Option<OutputDigest> {
        self.outputs(id)?.iter().find(|(output, _)| output == name).map(|(_, digest)| *digest)
    }

    /// Takes note of a node's outputs.
    pub fn learn(&mut self, id: NodeId, outputs: Outputs) {
        self.outputs[id.index()] = Some(outputs);
    }

    /// Forgets a node's outputs: its bytes turned out to be lost.
    pub fn forget(&mut self, id: NodeId) {
        self.outputs[id.index()] = None;
    }

    /// The manifest and key of a node; `None` while an output that it reads is unknown.
    pub fn key(&self, id: NodeId) -> Option<(ActionKey, Manifest)> {
        let manifest = manifest(self.plan, id, self.observed, |input, output| self.output(input, output))?;
        let key = manifest.key().expect("params were encoded when the plan was made, and digests hold no NaN");
        Some((key, manifest))
    }
}

/// The recorded outputs of a key, if the store has them all.
pub fn look_up(store: &Store, key: &ActionKey) -> Option<Outputs> {
    store.hit(key).map(|hit| hit.outputs)
}
