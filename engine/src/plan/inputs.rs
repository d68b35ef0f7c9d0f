//! Asks kinds whether params fit the inputs of each node, before anything runs.
//!
//! A study has thousands of nodes and inputs that are alike. So a kind is asked about few nodes, and first sees few of
//! their inputs: along each axis some values, and those that the params name. It sees all inputs only if something is
//! wrong, for the message.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::Plan;
use crate::diagnostic::Diagnostic;
use crate::node::NodeId;
use crate::source::Span;
use crate::spec::axis::find;
use crate::stage::{InputProblem, PlannedItem, PlannedNode};

/// Number of values of a gathered axis that stand for the others.
const FIRST: usize = 2;

/// The same of the axes of the stage itself: a data set may have another size at each.
const FIRST_OF_STAGE: usize = 6;

/// The most inputs of a node that a kind sees together.
const ITEMS_MAX: usize = 100_000;

/// Returns the problems of all stages; of each, those of the first node that has any.
pub(super) fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let Some(check) = stage.kind.facts().check_inputs else { continue };
        let few_of: Vec<_> = stage.param_sets.iter().map(|set| Few::of(&set.params)).collect();
        let found = plan.stage_nodes(index).find_map(|id| {
            let few = &few_of[plan.node(id).params as usize];
            let is_kept = |position| few.keeps(plan, id, position, FIRST_OF_STAGE);
            if !(0..stage.points.axes().len()).all(is_kept) || check(&Node { plan, id, few: Some(few) }).is_empty() {
                return None;
            }
            let is_small = plan.inputs(id).len() <= ITEMS_MAX;
            let found = if is_small { check(&Node { plan, id, few: None }) } else { Vec::new() };
            (!found.is_empty()).then_some((id, found))
        });
        let Some((id, found)) = found else { continue };
        problems.extend(found.into_iter().map(|problem| diagnostic(plan, id, problem)));
    }
    problems
}

/// The values of axes that stand for all.
struct Few {
    /// Texts and numbers in the params of the node.
    named: HashSet<String>,
}

impl Few {
    fn of(params: &Json) -> Self {
        let mut few = Self { named: HashSet::new() };
        few.add(params);
        few
    }

    fn add(&mut self, params: &Json) {
        match params {
            Json::String(text) => drop(self.named.insert(text.clone())),
            Json::Number(number) => {
                // The label of a number on an axis; see `spec/axis.rs`.
                let label = match number.as_f64() {
                    Some(float) if number.is_f64() => float.to_string(),
                    _ => number.to_string(),
                };
                self.named.insert(label);
            }
            Json::Array(items) => items.iter().for_each(|item| self.add(item)),
            Json::Object(fields) => fields.values().for_each(|value| self.add(value)),
            Json::Null | Json::Bool(_) => {}
        }
    }

    /// Returns whether a node has, at a position among its axes, one of the `first` values or one that is named.
    fn keeps(&self, plan: &Plan, id: NodeId, position: usize, first: usize) -> bool {
        plan.value(id, position).1 < first || self.named.contains(plan.label(id, position).1)
    }
}

fn diagnostic(plan: &Plan, id: NodeId, problem: InputProblem) -> Diagnostic {
    let stage = plan.stage(id);
    let message = format!("stage `{}` (kind {}): {}", stage.name, stage.kind.facts().kind, problem.message);
    Diagnostic::error(message).at(span(plan, id, &problem))
}

/// Returns the location of the written text, else of the param, else of the stage at the port, else of the stage.
fn span(plan: &Plan, id: NodeId, problem: &InputProblem) -> Span {
    let stage = plan.stage(id);
    let declared = &plan.spec.stages[stage.declared];
    if let Some(value) = declared.params.get_ref().get(problem.at) {
        let within = problem.written.as_ref().and_then(|written| find(value, written));
        return within.unwrap_or(value.span());
    }
    let bound = plan.params(id).spans.iter().find(|(name, _)| name == problem.at).map(|(_, span)| span);
    let feed = stage.feeds.iter().find(|feed| feed.port == problem.at).map(|feed| &feed.span);
    bound.or(feed).cloned().unwrap_or(declared.name.span())
}

/// A node of a plan.
struct Node<'p> {
    plan: &'p Plan,
    id: NodeId,
    /// The values of axes whose inputs are shown; `None` for all.
    few: Option<&'p Few>,
}

impl PlannedNode for Node<'_> {
    fn kind(&self) -> &'static str {
        self.plan.stage(self.id).kind.facts().kind
    }

    fn params(&self) -> &serde_json::Value {
        &self.plan.params(self.id).params
    }

    fn items(&self, port: &str) -> Vec<PlannedItem<'_>> {
        let (plan, few) = (self.plan, self.few);
        let mut items = Vec::new();
        for (index, feed) in plan.stage(self.id).feeds.iter().enumerate().filter(|(_, feed)| feed.port == port) {
            let is_shown = |id: NodeId| {
                few.is_none_or(|few| feed.gathered.iter().all(|position| few.keeps(plan, id, *position, FIRST)))
            };
            let ids = plan.feed_items(self.id, index).iter().copied().filter(|id| is_shown(*id));
            items.extend(ids.map(|id| PlannedItem {
                output: &feed.output,
                labels: feed.gathered.iter().map(|position| plan.label(id, *position)).collect(),
                node: Box::new(Node { plan, id, few }),
            }));
        }
        items
    }
}
