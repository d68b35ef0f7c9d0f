//! The plan: every node of a spec, in topological order, with its params and the nodes that feed it.
//!
//! Nodes are implied by stages and points, so they are stored as dense indices: a point is a mixed-radix code over the
//! axes of its stage, inputs are slices of one flat list. A million nodes cost tens of megabytes and no text.

mod bind;
mod build;
mod link;
mod order;
mod point;
mod problems;
mod select;
mod targets;
#[cfg(test)]
mod tests;

use orchestrate_cache::Value;

use crate::diagnostic::Span;
use crate::node::{NodeId, NodeName, Point};
use crate::spec::Spec;
use crate::stage::{FileName, Stage};

pub use build::build;
pub use point::Points;
pub use select::{SelectError, Selector};
pub use targets::check_store;

/// The immutable graph of nodes.
pub struct Plan {
    /// What it was made from.
    pub spec: Spec,
    /// Stages in topological order.
    pub stages: Vec<PlannedStage>,
    /// Nodes in topological order; those of one stage lie together, in gather order.
    pub nodes: Vec<Node>,
    /// Flat inputs of all nodes; see [`Plan::feed_items`].
    items: Vec<NodeId>,
    /// Where the items of each feed of each node begin in `items`.
    feed_starts: Vec<u32>,
}

/// One stage at one point.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Index into [`Plan::stages`].
    pub stage: u32,
    /// The point, as a code of the stage's [`Points`].
    pub code: u32,
    /// Index into [`PlannedStage::param_sets`].
    pub params: u32,
    /// Where the node's feeds begin in `feed_starts`.
    feeds: u32,
}

/// A stage of the spec, joined to its kind and its inputs.
pub struct PlannedStage {
    /// Its name in the spec.
    pub name: String,
    /// Index into [`Spec::stages`].
    pub declared: usize,
    /// What it does.
    pub kind: &'static dyn Stage,
    /// The points at which it has nodes.
    pub points: Points,
    /// Its first node; the others follow.
    pub first_node: NodeId,
    /// What feeds its ports: in the order of the ports, then as written.
    pub feeds: Vec<Feed>,
    /// The distinct params of its nodes.
    pub param_sets: Vec<ParamSet>,
    /// Axes (positions among the stage's own) along which siblings are worth running together.
    pub batch_axes: Vec<usize>,
}

impl PlannedStage {
    /// How many nodes it has.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether it has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One stage that feeds one port.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The port's name.
    pub port: String,
    /// Place of the upstream stage's name in the spec.
    pub span: Span,
    /// Index into [`Plan::stages`].
    pub stage: usize,
    /// The output that is read.
    pub output: String,
    /// Axes of the upstream stage (positions among its own) that this stage lacks.
    pub gathered: Vec<usize>,
    /// Whether the input is a list in the key: gathered, or one of several stages at the port.
    pub listed: bool,
}

/// Checked params, shared by all nodes that have the same.
#[derive(Clone, Debug)]
pub struct ParamSet {
    /// Params with defaults filled in and paths absolute: what the stage receives.
    pub params: serde_json::Value,
    /// The same without paths: what the key holds.
    pub keyed: Value,
    /// Outputs that a node with these params gives.
    pub outputs: Vec<String>,
    /// External files that it reads.
    pub files: Vec<FileName>,
    /// Place of each param that was written or bound, by name.
    pub spans: Vec<(String, Span)>,
}

impl Plan {
    /// The node of an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The stage of a node.
    pub fn stage(&self, id: NodeId) -> &PlannedStage {
        &self.stages[self.node(id).stage as usize]
    }

    /// The params of a node.
    pub fn params(&self, id: NodeId) -> &ParamSet {
        &self.stage(id).param_sets[self.node(id).params as usize]
    }

    /// All node ids in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len()).map(NodeId::from_index)
    }

    /// The nodes of a stage in gather order.
    pub fn stage_nodes(&self, stage: usize) -> impl Iterator<Item = NodeId> + use<> {
        let first = self.stages[stage].first_node.index();
        (first..first + self.stages[stage].len()).map(NodeId::from_index)
    }

    /// The nodes that one feed of a node receives, in gather order.
    pub fn feed_items(&self, id: NodeId, feed: usize) -> &[NodeId] {
        let start = self.node(id).feeds as usize + feed;
        &self.items[self.feed_starts[start] as usize..self.feed_starts[start + 1] as usize]
    }

    /// All nodes that feed a node, with repetitions where it reads one twice.
    pub fn inputs(&self, id: NodeId) -> &[NodeId] {
        let start = self.node(id).feeds as usize;
        let end = start + self.stage(id).feeds.len();
        &self.items[self.feed_starts[start] as usize..self.feed_starts[end] as usize]
    }

    /// Axis name and value label of each of a node's axes, in the order of declaration.
    pub fn point(&self, id: NodeId) -> Vec<(&str, &str)> {
        let stage = self.stage(id);
        (0..stage.points.axes().len()).map(|position| self.label(id, position)).collect()
    }

    /// Axis name and value label at one position among the axes of the node's stage.
    pub fn label(&self, id: NodeId, position: usize) -> (&str, &str) {
        let (axis, value) = self.value(id, position);
        let axis = &self.spec.axes[axis];
        (axis.name.get_ref(), &axis.values[value].label)
    }

    /// The same as indices into the axes of the spec and the values of that axis.
    pub(crate) fn value(&self, id: NodeId, position: usize) -> (usize, usize) {
        let points = &self.stage(id).points;
        (points.axes()[position], points.value(self.node(id).code, position))
    }

    /// Appends the text of [`Plan::name`], without the parts that it keeps.
    pub fn write_name(&self, id: NodeId, text: &mut String) {
        let stage = self.stage(id);
        text.push_str(&stage.name);
        for position in 0..stage.points.axes().len() {
            let (axis, label) = self.label(id, position);
            text.push(if position == 0 { '[' } else { ',' });
            text.push_str(axis);
            text.push('=');
            text.push_str(label);
        }
        if !stage.points.axes().is_empty() {
            text.push(']');
        }
    }

    /// The node as people know it: `score[model=tiny,fold=3]`.
    pub fn name(&self, id: NodeId) -> NodeName {
        let points = &self.stage(id).points;
        let labels = points.axes().iter().enumerate().map(|(position, axis)| {
            let axis = &self.spec.axes[*axis];
            let value = &axis.values[points.value(self.node(id).code, position)];
            (axis.name.get_ref().clone(), value.json_label())
        });
        NodeName::new(self.stage(id).name.clone(), Point(labels.collect()))
    }
}
