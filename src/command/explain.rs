//! `orchestrate explain NODE`: says why a node would run, down to the value, file or upstream output that differs.

use std::collections::HashSet;
use std::fmt::Write;

use orchestrate_cache::{Access, ActionResult, OutputDigest, StoreError};
use orchestrate_engine::explain::{Change, changes};
use orchestrate_engine::known::Known;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::source::SourceLocation;
use orchestrate_engine::survey::{Answer, MissReason, Survey};

use super::named_nodes::NamedNodes;
use super::study::Study;
use crate::Kinds;
use crate::args::NodeArgs;
use crate::outcome::Outcome;
use crate::terminal;

/// The most differences that are shown one by one; another data set differs in thousands of files.
const CHANGES_SHOWN: usize = 10;

pub(crate) fn explain(kinds: Kinds, args: NodeArgs) -> anyhow::Result<Outcome> {
    let NamedNodes { plan, nodes } = NamedNodes::find(kinds, &args)?;
    let study = Study::open(plan, &args.store, Access::ReadOnly)?;
    let survey = study.survey(&HashSet::new());
    let explainer = Explainer::new(&study, &survey)?;
    let text: String = nodes.into_iter().map(|id| explainer.explain(id)).collect();
    Outcome::Done.after_saying(terminal::say(&text))
}

struct Explainer<'a> {
    study: &'a Study,
    survey: &'a Survey,
    /// The known outputs, from which present preimages follow.
    known: Known<'a>,
    /// Every recorded or collected result, to find the origin of an earlier input.
    results: Vec<ActionResult>,
}

impl<'a> Explainer<'a> {
    fn new(study: &'a Study, survey: &'a Survey) -> Result<Self, StoreError> {
        let known = survey.known(&study.plan, &study.observed);
        let collected = study.store.lineage()?.map(|lineage| lineage.result);
        let results = collected.chain(study.store.results().map(|(_, result, _)| result)).collect();
        Ok(Self { study, survey, known, results })
    }

    fn explain(&self, id: NodeId) -> String {
        let plan = &self.study.plan;
        let name = plan.name(id);
        let mut text = String::new();
        match &self.survey.answers[id.index()] {
            Answer::Hit { key, .. } => {
                let producer = self.study.store.recorded(key).map(|result| format!(", by {}", result.produced_by()));
                let (key, producer) = (key.0.short(), producer.unwrap_or_default());
                let _ = writeln!(text, "{name}: hit\n  nothing differs from the recorded result {key}{producer}");
            }
            Answer::Miss { reason, .. } => {
                let _ = writeln!(text, "{name}: miss");
                self.reason(reason, 1, &mut text);
            }
            Answer::Unknown { .. } => {
                let _ = writeln!(text, "{name}: unknown, because an input must run first");
                self.root_causes(id, &mut text);
            }
        }
        text
    }

    fn reason(&self, reason: &MissReason, depth: usize, text: &mut String) {
        match reason {
            MissReason::Changed { changes, producer } => {
                self.changes(changes, depth, text);
                let _ = writeln!(text, "{:indent$}since its latest result, by {producer}", "", indent = 2 * depth);
            }
            other => {
                let _ = writeln!(text, "{:indent$}{}", "", other.sentence(), indent = 2 * depth);
            }
        }
    }

    fn changes(&self, changes: &[Change], depth: usize, text: &mut String) {
        let indent = 2 * depth;
        for change in changes.iter().take(CHANGES_SHOWN) {
            let _ = writeln!(text, "{:indent$}{}", "", change.sentence);
            let sources = &self.study.plan.spec.sources;
            let location = change.span.as_ref().and_then(|span| sources.locator().locate(span.start));
            if let Some(SourceLocation { source, line, column, .. }) = location {
                let _ = writeln!(text, "{:indent$}  --> {}:{line}:{column}", "", source.name);
            }
            if let Some((port, upstream)) = &change.input {
                self.upstream(*upstream, port, depth + 1, text);
            }
        }
        if changes.len() > CHANGES_SHOWN {
            let _ = writeln!(text, "{:indent$}and {} more", "", changes.len() - CHANGES_SHOWN);
        }
    }

    /// Explains a changed upstream output: compares the node with its newest result of other bytes.
    fn upstream(&self, id: NodeId, port: &str, depth: usize, text: &mut String) {
        let plan = &self.study.plan;
        let name = plan.name(id);
        let indent = 2 * depth;
        let Some(preimage) = self.known.preimage(id) else { return };
        let key = preimage.digest();
        let present: Vec<OutputDigest> = self.known.digests(id).unwrap_or_default().to_vec();
        let other = |result: &&ActionResult| {
            result.node == name.as_str() && result.outputs.iter().map(|(_, digest)| *digest).ne(present.iter().copied())
        };
        let earlier = self.results.iter().filter(other).max_by_key(|result| result.recorded_ms);
        let found = earlier.map(|result| changes(plan, id, &result.preimage, &preimage)).unwrap_or_default();
        if found.is_empty() {
            let _ = writeln!(text, "{:indent$}{name} gives other bytes at `{port}` ({})", "", key.short());
        } else {
            let _ = writeln!(text, "{:indent$}because of {name}:", "");
            self.changes(&found, depth + 1, text);
        }
    }

    /// Explains an unknown node by the misses that it depends on.
    fn root_causes(&self, id: NodeId, text: &mut String) {
        let plan = &self.study.plan;
        let mut seen = HashSet::from([id]);
        let mut stack = vec![id];
        let mut causes = Vec::new();
        while let Some(id) = stack.pop() {
            for input in plan.inputs(id).iter().copied().filter(|input| seen.insert(*input)).collect::<Vec<_>>() {
                match &self.survey.answers[input.index()] {
                    Answer::Hit { .. } => {}
                    Answer::Miss { reason, .. } => causes.push((input, reason)),
                    Answer::Unknown { .. } => stack.push(input),
                }
            }
        }
        causes.sort_by_key(|(id, _)| *id);
        for (cause, reason) in causes.iter().take(CHANGES_SHOWN) {
            let _ = writeln!(text, "  {}: miss", plan.name(*cause));
            self.reason(reason, 2, text);
        }
        if causes.len() > CHANGES_SHOWN {
            let _ = writeln!(text, "  and {} more inputs that must run", causes.len() - CHANGES_SHOWN);
        }
    }
}
