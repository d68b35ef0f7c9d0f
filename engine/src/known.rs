//! Outputs of nodes as far as they are known: by a hit, or because the node ran.

use orchestrate_cache::{ActionKey, Digest, OutputDigest, Preimage, Store};

use crate::key::{KeyMaker, preimage};
use crate::node::NodeId;
use crate::observe::Observed;
use crate::parallel;
use crate::plan::Plan;

/// Named outputs, in the order in which the stage declares them.
pub type Outputs = Vec<(String, OutputDigest)>;

/// What is known of every node of a plan: digests alone, as the names are those that the plan declares.
pub struct Known<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    keys: KeyMaker,
    outputs: KnownOutputs,
}

/// The output digests of every node, one after the other.
#[derive(Clone, Debug)]
pub struct KnownOutputs {
    digests: Vec<OutputDigest>,
    /// Where the digests of each node begin, and after the last one the end of all.
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

    /// The digests of a node's outputs, in the order in which its stage declares them.
    pub fn digests(&self, id: NodeId) -> Option<&[OutputDigest]> {
        self.known[id.index()].then(|| &self.digests[self.range(id)])
    }

    /// The outputs of a node with their names.
    pub fn named(&self, plan: &Plan, id: NodeId) -> Option<Outputs> {
        let digests = self.digests(id)?;
        Some(plan.params(id).outputs.iter().cloned().zip(digests.iter().copied()).collect())
    }

    fn output(&self, plan: &Plan, id: NodeId, name: &str) -> Option<OutputDigest> {
        let place = plan.params(id).outputs.iter().position(|output| output == name)?;
        self.digests(id)?.get(place).copied()
    }
}

impl<'a> Known<'a> {
    /// Nothing is known.
    pub fn new(plan: &'a Plan, observed: &'a Observed) -> Self {
        Self { plan, observed, keys: KeyMaker::new(plan), outputs: KnownOutputs::new(plan) }
    }

    /// The outputs of a node by name.
    pub fn outputs(&self, id: NodeId) -> Option<Outputs> {
        self.outputs.named(self.plan, id)
    }

    /// The digests of a node's outputs, in the order in which its stage declares them.
    pub fn digests(&self, id: NodeId) -> Option<&[OutputDigest]> {
        self.outputs.digests(id)
    }

    /// One output of a node.
    pub fn output(&self, id: NodeId, name: &str) -> Option<OutputDigest> {
        self.outputs.output(self.plan, id, name)
    }

    /// Takes note of a node's outputs; says no where one that it declares is missing.
    pub fn learn(&mut self, id: NodeId, outputs: &[(String, OutputDigest)]) -> bool {
        let range = self.outputs.range(id);
        for (name, place) in self.plan.params(id).outputs.iter().zip(range) {
            let Some((_, digest)) = outputs.iter().find(|(output, _)| output == name) else { return false };
            self.outputs.digests[place] = *digest;
        }
        self.outputs.known[id.index()] = true;
        true
    }

    /// Takes note of the recorded outputs of nodes' keys where the store has them all; says for each node whether it has.
    pub fn look_up(&mut self, store: &Store, nodes: &[(NodeId, ActionKey)]) -> Vec<bool> {
        let plan = self.plan;
        let parts = parallel::parts(nodes, |nodes| {
            let wanted = |(id, key): &(NodeId, ActionKey)| (*key, plan.params(*id).outputs.as_slice());
            store.look_up().outputs(&nodes.iter().map(wanted).collect::<Vec<_>>())
        });
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

    /// Forgets a node's outputs: its bytes turned out to be lost.
    pub fn forget(&mut self, id: NodeId) {
        self.outputs.known[id.index()] = false;
    }

    /// The key of a node; `None` while an output that it reads is unknown.
    pub fn key(&mut self, id: NodeId) -> Option<ActionKey> {
        let Self { plan, observed, keys, outputs } = self;
        keys.key(plan, id, observed, |input, output| outputs.output(plan, input, output))
    }

    /// Some nodes with their keys. Panics where an output that they read is unknown.
    pub fn keys(&mut self, ids: &[NodeId]) -> Vec<(NodeId, ActionKey)> {
        let Self { plan, observed, keys, outputs } = self;
        let keys = keys.keys(plan, ids, observed, |input, output| outputs.output(plan, input, output));
        let key = |key: Option<ActionKey>| key.expect("BUG: a key is made once all that it depends on is known");
        ids.iter().copied().zip(keys.into_iter().map(key)).collect()
    }

    /// The preimage of a node's key, to be recorded or read; `None` while an output that it reads is unknown.
    pub fn preimage(&self, id: NodeId) -> Option<Preimage> {
        preimage(self.plan, id, self.observed, |input, output| self.output(input, output))
    }

    /// All outputs that are known.
    pub fn all_outputs(&self) -> &KnownOutputs {
        &self.outputs
    }

    /// All outputs that are known, without the rest.
    pub fn into_outputs(self) -> KnownOutputs {
        self.outputs
    }
}
