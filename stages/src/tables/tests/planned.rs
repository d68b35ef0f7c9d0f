//! Nodes before they run, for tests of [`Facts::check_inputs`](orchestrate_engine::stage::Facts::check_inputs).

use orchestrate_engine::stage::{PlannedItem, PlannedNode};
use serde_json::Value;

/// A node that an engine has planned.
pub(crate) struct Planned {
    kind: &'static str,
    params: Value,
    inputs: Vec<PlannedInput>,
}

struct PlannedInput {
    port: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    node: Planned,
}

impl Planned {
    pub(crate) fn new(kind: &'static str, params: Value) -> Self {
        Self { kind, params, inputs: Vec::new() }
    }

    /// Adds an input with the labels of its gathered axes.
    pub(crate) fn input(mut self, port: &'static str, labels: &[(&'static str, &'static str)], node: Self) -> Self {
        self.inputs.push(PlannedInput { port, labels: labels.to_vec(), node });
        self
    }

    /// Adds an input for each combination of labels, of which each axis has a list.
    pub(crate) fn gathered(
        self,
        port: &'static str,
        axes: &[(&'static str, &[&'static str])],
        node: &dyn Fn() -> Self,
    ) -> Self {
        let points = axes.iter().fold(vec![Vec::new()], |points, (axis, labels)| {
            let longer = |point: &Vec<_>| {
                labels.iter().map(|label| [&point[..], &[(*axis, *label)]].concat()).collect::<Vec<_>>()
            };
            points.iter().flat_map(longer).collect()
        });
        points.iter().fold(self, |planned, labels| planned.input(port, labels, node()))
    }
}

impl PlannedNode for Planned {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn params(&self) -> &Value {
        &self.params
    }

    fn items(&self, port: &str) -> Vec<PlannedItem<'_>> {
        let inputs = self.inputs.iter().filter(|input| input.port == port);
        inputs
            .map(|PlannedInput { labels, node, .. }| PlannedItem {
                output: "",
                labels: labels.clone(),
                node: Box::new(node),
            })
            .collect()
    }
}

impl PlannedNode for &Planned {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn params(&self) -> &Value {
        &self.params
    }

    fn items(&self, port: &str) -> Vec<PlannedItem<'_>> {
        (*self).items(port)
    }
}
