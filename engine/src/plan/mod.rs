//! The plan: every node of a spec in topological order, with its params and its inputs.
//!
//! Stages and points imply the nodes, so a node is a few integers: its point is a mixed-radix code over the axes of its
//! stage, its inputs are a slice of one flat list. A million nodes take tens of megabytes and no text.

mod bind;
mod build;
mod idle;
mod inputs;
mod link;
mod order;
mod paths;
mod point;
mod problems;
mod publish_folders;
mod recall;
mod select;
#[cfg(test)]
mod tests;

use orchestrate_cache::Value;

use crate::node::{NodeId, NodeName, Point};
use crate::source::Span;
use crate::spec::axis::Axis;
use crate::spec::{Spec, StageSpec};
use crate::stage::{FileName, Stage};

pub use build::{build, build_recalling};
pub use point::Points;
pub use publish_folders::check_store;
pub use recall::{Recall, Recalled, reads_same_paths};
pub use select::{SelectError, Selector};

/// The immutable graph of nodes.
pub struct Plan {
    /// The spec behind it.
    pub spec: Spec,
    /// Stages in topological order.
    pub stages: Vec<PlannedStage>,
    /// Nodes in topological order; the nodes of a stage are consecutive, in gather order.
    pub nodes: Vec<Node>,
    /// Flat list of the inputs of all nodes; see [`Plan::feed_items`].
    items: Vec<NodeId>,
    /// Offset in `items` of each feed of each node.
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
    /// Offset of the node's feeds in `feed_starts`.
    feeds: u32,
}

/// A stage of the spec, joined to its kind and its inputs.
pub struct PlannedStage {
    /// Its name in the spec.
    pub name: String,
    /// Index into [`Spec::stages`].
    pub declared: usize,
    /// Its kind.
    pub kind: &'static dyn Stage,
    /// The points of its nodes.
    pub points: Points,
    /// Its first node; the others follow.
    pub first_node: NodeId,
    /// The stages that feed its ports: in the order of the ports, then as written.
    pub feeds: Vec<Feed>,
    /// The distinct params of its nodes.
    pub param_sets: Vec<ParamSet>,
    /// Axes, as positions among the stage's own, along which siblings run in batches.
    pub batch_axes: Vec<usize>,
}

impl PlannedStage {
    /// The number of its nodes.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Returns whether it has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One stage that feeds one port.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The port's name.
    pub port: String,
    /// Location of the upstream stage's name in the spec.
    pub span: Span,
    /// Index into [`Plan::stages`].
    pub stage: usize,
    /// The output that is read.
    pub output: String,
    /// Axes of the upstream stage that this stage lacks, as positions among the upstream axes.
    pub gathered: Vec<usize>,
    /// True if the input is a list in the key: gathered, or one of several stages at the port.
    pub listed: bool,
}

/// Checked params, shared by all nodes that have the same.
#[derive(Clone, Debug)]
pub struct ParamSet {
    /// Params for the stage: defaults filled in, paths absolute.
    pub params: serde_json::Value,
    /// Params for the key: the same without paths.
    pub keyed: Value,
    /// Names of the outputs of a node with these params.
    pub outputs: Vec<String>,
    /// External files that it reads.
    pub files: Vec<FileName>,
    /// The record that the files are from, where they are not those on disk.
    pub recalled: Option<Recalled>,
    /// Name and location of each param that was written or bound.
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

    /// The declaration of a planned stage, by its index.
    pub fn declared(&self, stage: usize) -> &StageSpec {
        &self.spec.stages[self.stages[stage].declared]
    }

    /// The axes of a planned stage, in the order of declaration.
    pub fn axes<'p>(&'p self, stage: &'p PlannedStage) -> impl Iterator<Item = &'p Axis> + Clone {
        stage.points.axes().iter().map(|axis| &self.spec.axes[*axis])
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

    /// All nodes that feed a node; a node that is read twice is repeated.
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

    /// Axis index in the spec and value index at one position among the axes of the node's stage.
    pub(crate) fn value(&self, id: NodeId, position: usize) -> (usize, usize) {
        let points = &self.stage(id).points;
        (points.axes()[position], points.value(self.node(id).code, position))
    }

    /// Appends the text of [`Plan::name`], without allocating the point.
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

    /// The name of a node: `score[model=tiny,fold=3]`.
    pub fn name(&self, id: NodeId) -> NodeName {
        let stage = self.stage(id);
        let labels = (0..stage.points.axes().len()).map(|position| {
            let (axis, value) = self.value(id, position);
            let axis = &self.spec.axes[axis];
            (axis.name.get_ref().clone(), axis.values[value].json_label())
        });
        NodeName::new(stage.name.clone(), Point(labels.collect()))
    }
}
