//! Known outputs of nodes: of hits, and of nodes that ran.

use orchestrate_cache::{ActionKey, Digest, OutputDigest, Preimage, Store};

use crate::key::{KeyMaker, preimage};
use crate::node::NodeId;
use crate::observe::Observed;
use crate::parallel;
use crate::plan::Plan;

/// Named outputs, in the order in which the stage declares them.
pub type Outputs = Vec<(String, OutputDigest)>;

/// The known outputs of a plan: digests only, as the plan declares the names.
pub struct Known<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    keys: KeyMaker,
    outputs: KnownOutputs,
}

/// The output digests of every node in one list.
#[derive(Clone, Debug)]
pub struct KnownOutputs {
    digests: Vec<OutputDigest>,
    /// The start of each node's digests, and after the last one the end of the list.
    starts: Vec<u32>,
    known: Vec<bool>,
}

impl KnownOutputs {
    fn new(plan: &Plan) -> Self {
        let mut starts = Vec::with_capacity(plan.nodes.len() + 1);
        let mut end = 0;
        for id in plan.ids() {
            starts.push(u32::try_from(end).expect("fewer than 2^32 outputs"));
            end += plan.params(id).outputs.len();
        }
        starts.push(u32::try_from(end).expect("fewer than 2^32 outputs"));
        let unknown = OutputDigest(Digest::from_bytes([0; 32]));
        Self { digests: vec![unknown; end], starts, known: vec![false; plan.nodes.len()] }
    }

    fn range(&self, id: NodeId) -> std::ops::Range<usize> {
        self.starts[id.index()] as usize..self.starts[id.index() + 1] as usize
    }

    /// Returns the digests of a node's outputs, in the order in which its stage declares them.
    pub fn digests(&self, id: NodeId) -> Option<&[OutputDigest]> {
        self.known[id.index()].then(|| &self.digests[self.range(id)])
    }

    /// Returns the outputs of a node with their names.
    pub fn named(&self, plan: &Plan, id: NodeId) -> Option<Outputs> {
        let digests = self.digests(id)?;
        Some(plan.params(id).outputs.iter().cloned().zip(digests.iter().copied()).collect())
    }

    fn output(&self, plan: &Plan, id: NodeId, name: &str) -> Option<OutputDigest> {
        let position = plan.params(id).outputs.iter().position(|output| output == name)?;
        self.digests(id)?.get(position).copied()
    }
}

impl<'a> Known<'a> {
    /// Returns a value that knows no outputs.
    pub fn new(plan: &'a Plan, observed: &'a Observed) -> Self {
        Self { plan, observed, keys: KeyMaker::new(plan), outputs: KnownOutputs::new(plan) }
    }

    /// Returns the outputs of a node by name.
    pub fn outputs(&self, id: NodeId) -> Option<Outputs> {
        self.outputs.named(self.plan, id)
    }

    /// Returns the digests of a node's outputs, in the order in which its stage declares them.
    pub fn digests(&self, id: NodeId) -> Option<&[OutputDigest]> {
        self.outputs.digests(id)
    }

    /// Returns one output of a node.
    pub fn output(&self, id: NodeId, name: &str) -> Option<OutputDigest> {
        self.outputs.output(self.plan, id, name)
    }

    /// Records a node's outputs; returns false if a declared output is missing.
    pub fn learn(&mut self, id: NodeId, outputs: &[(String, OutputDigest)]) -> bool {
        let range = self.outputs.range(id);
        for (name, index) in self.plan.params(id).outputs.iter().zip(range) {
            let Some((_, digest)) = outputs.iter().find(|(output, _)| output == name) else { return false };
            self.outputs.digests[index] = *digest;
        }
        self.outputs.known[id.index()] = true;
        true
    }

    /// Looks up the keys of nodes and records the outputs of hits; returns for each node whether it is a hit.
    pub fn look_up(&mut self, store: &Store, nodes: &[(NodeId, ActionKey)]) -> Vec<bool> {
        let plan = self.plan;
        let look_up = |nodes: &[(NodeId, ActionKey)]| {
            let wanted = |(id, key): &(NodeId, ActionKey)| (*key, plan.params(*id).outputs.as_slice());
            store.outputs(&nodes.iter().map(wanted).collect::<Vec<_>>())
        };
        // Each hit of limited trust has a signature, which is verified.
        let parts = match store.trust().is_limited() {
            true => parallel::map_costly_slices(nodes, look_up),
            false => parallel::map_slices(nodes, look_up),
        };
        let (hits, digests): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (hits, digests) = (hits.concat(), digests.concat());
        let mut begin = 0;
        for ((id, _), hit) in nodes.iter().zip(&hits) {
            let range = self.outputs.range(*id);
            let end = begin + range.len();
            self.outputs.digests[range].copy_from_slice(&digests[begin..end]);
            self.outputs.known[id.index()] = *hit;
            begin = end;
        }
        hits
    }

    /// Forgets a node's outputs, because the store has lost them.
    pub fn forget(&mut self, id: NodeId) {
        self.outputs.known[id.index()] = false;
    }

    /// Returns the key of a node; `None` while an output that it reads is unknown.
    pub fn key(&mut self, id: NodeId) -> Option<ActionKey> {
        let Self { plan, observed, keys, outputs } = self;
        keys.key(plan, id, observed, |input, output| outputs.output(plan, input, output))
    }

    /// Returns some nodes with their keys. Panics if an output that they read is unknown.
    pub fn keys(&mut self, ids: &[NodeId]) -> Vec<(NodeId, ActionKey)> {
        let Self { plan, observed, keys, outputs } = self;
        let keys = keys.keys(plan, ids, observed, |input, output| outputs.output(plan, input, output));
        let key = |key: Option<ActionKey>| key.expect("BUG: a key is made once all that it depends on is known");
        ids.iter().copied().zip(keys.into_iter().map(key)).collect()
    }

    /// Returns the preimage of a node's key as it is recorded; `None` while an output that it reads is unknown.
    pub fn preimage(&self, id: NodeId) -> Option<Preimage> {
        preimage(self.plan, id, self.observed, |input, output| self.output(input, output))
    }

    /// Returns all known outputs.
    pub fn all_outputs(&self) -> &KnownOutputs {
        &self.outputs
    }

    /// Returns all known outputs and drops the rest.
    pub fn into_outputs(self) -> KnownOutputs {
        self.outputs
    }
}
