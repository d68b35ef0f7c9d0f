//! Recorded results of a study, for commands that only show or copy them.

use std::collections::HashSet;

use anyhow::Context;
use orchestrate_cache::{ActionKey, OutputDigest};
use orchestrate_engine::known::Known;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::run::{ActionMaker, Selection};
use orchestrate_engine::stage::{Action, Item};
use orchestrate_engine::survey::{Answer, Survey};

use super::study::Study;
use crate::outcome::UsageError;
use crate::terminal;

/// The most missing nodes that an error names.
const MISSING_SHOWN: usize = 8;

/// The recorded results of a plan.
pub(crate) struct Recorded<'a> {
    study: &'a Study,
    survey: Survey,
    known: Known<'a>,
}

impl<'a> Recorded<'a> {
    /// Looks up every node.
    pub(crate) fn look_up(study: &'a Study) -> Self {
        let survey = study.survey(&HashSet::new());
        let known = survey.known(&study.plan, &study.observed);
        Self { study, survey, known }
    }

    /// The answer of each node.
    pub(crate) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Key and outputs of a node, if the store has its result.
    pub(crate) fn result(&self, id: NodeId) -> Option<(ActionKey, &[(String, OutputDigest)])> {
        match &self.survey.answers[id.index()] {
            Answer::Hit { key, outputs } => Some((*key, outputs)),
            _ => None,
        }
    }

    /// Fails unless the store has the results of all nodes; `run` is the command that would make them.
    pub(crate) fn require(&self, nodes: &[NodeId], run: &str) -> anyhow::Result<()> {
        if nodes.iter().all(|id| self.result(*id).is_some()) {
            return Ok(());
        }
        let plan = &self.study.plan;
        let closure = Selection::closure(plan, nodes);
        let missing: Vec<NodeId> = closure.nodes().iter().copied().filter(|id| self.result(*id).is_none()).collect();
        let names = missing.iter().take(MISSING_SHOWN).map(|id| plan.name(*id).to_string());
        let more = missing.len().saturating_sub(MISSING_SHOWN);
        let more = (more > 0).then(|| format!("and {more} more"));
        let message = format!(
            "the store lacks {} of {}: {}\nhelp: run `{run}` first; this command runs nothing",
            terminal::count(missing.len(), "result"),
            terminal::count(closure.nodes().len(), "node"),
            names.chain(more).collect::<Vec<_>>().join(", "),
        );
        Err(UsageError(message).into())
    }

    /// The action of a node, and its outputs by name.
    pub(crate) fn action(&self, id: NodeId) -> anyhow::Result<(Action, Vec<(String, Item)>)> {
        let plan = &self.study.plan;
        let name = plan.name(id);
        let (key, outputs) = self.result(id).with_context(|| format!("`{name}` has no result"))?;
        let mut maker = ActionMaker::new(plan, &self.study.observed, &self.study.store);
        let lost = |upstream: NodeId| format!("the store has lost the output of `{}`; run again", plan.name(upstream));
        let action = maker.action(id, key, &self.known).map_err(|error| anyhow::anyhow!(lost(error.upstream)))?;
        let items = outputs.iter().map(|(output, digest)| {
            let item = maker.item(id, *digest).with_context(|| lost(id))?;
            Ok((output.clone(), Item { labels: Vec::new(), ..item }))
        });
        Ok((action, items.collect::<anyhow::Result<_>>()?))
    }
}
