//! Asks kinds whether params fit the inputs of each node, before anything runs.

use super::Plan;
use crate::diagnostic::Diagnostic;
use crate::node::NodeId;
use crate::source::Span;
use crate::spec::axis::find;
use crate::stage::{InputProblem, PlannedItem, PlannedNode};

/// The most inputs of a node that is checked; one with more, of a sweep, is checked when it runs.
const ITEMS_MAX: usize = 20_000;

/// Returns the problems of all stages; of each, those of the first node that has any.
pub(super) fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let Some(check) = stage.kind.facts().check_inputs else { continue };
        let small = plan.stage_nodes(index).filter(|id| plan.inputs(*id).len() <= ITEMS_MAX);
        let found = small.map(|id| (id, check(&Node { plan, id }))).find(|(_, found)| !found.is_empty());
        let Some((id, found)) = found else { continue };
        problems.extend(found.into_iter().map(|problem| diagnostic(plan, id, problem)));
    }
    problems
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
}

impl PlannedNode for Node<'_> {
    fn kind(&self) -> &'static str {
        self.plan.stage(self.id).kind.facts().kind
    }

    fn params(&self) -> &serde_json::Value {
        &self.plan.params(self.id).params
    }

    fn items(&self, port: &str) -> Vec<PlannedItem<'_>> {
        let plan = self.plan;
        let mut items = Vec::new();
        for (index, feed) in plan.stage(self.id).feeds.iter().enumerate().filter(|(_, feed)| feed.port == port) {
            items.extend(plan.feed_items(self.id, index).iter().map(|&id| PlannedItem {
                output: &feed.output,
                labels: feed.gathered.iter().map(|position| plan.label(id, *position)).collect(),
                node: Box::new(Node { plan, id }),
            }));
        }
        items
    }
}
