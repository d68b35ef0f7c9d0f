//! `orchestrate explain NODE`: says why a node would run, down to the value, file or upstream output that differs.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt::Write;

use orchestrate_cache::{Access, ActionResult, OutputDigest, StoreError};
use orchestrate_engine::explain::{Change, changes_between};
use orchestrate_engine::known::Known;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::source::SourceLocation;
use orchestrate_engine::survey::{Answer, MissReason, Resume, Survey};

use super::named_nodes::NamedNodes;
use super::study::Study;
use crate::Kinds;
use crate::args::NodeArgs;
use crate::outcome::Outcome;
use crate::terminal;

/// The most differences that are shown one by one; another data set differs in thousands of files.
const CHANGES_SHOWN: usize = 10;

/// The most changes of a result that counts as near to a node that never ran.
const NEAREST_CHANGES: usize = 5;

pub(crate) fn explain(kinds: Kinds, args: NodeArgs) -> anyhow::Result<Outcome> {
    let NamedNodes { plan, nodes, store } = NamedNodes::find(kinds, &args)?;
    let study = Study::open(plan, &store, Access::ReadOnly)?;
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
            Answer::Miss { reason, resumes, .. } => {
                let _ = writeln!(text, "{name}: miss");
                self.reason(id, reason, *resumes, 1, &mut text);
            }
            Answer::Unknown { .. } => {
                let _ = writeln!(text, "{name}: unknown, because an input must run first");
                self.root_causes(id, &mut text);
            }
        }
        text
    }

    fn reason(&self, id: NodeId, reason: &MissReason, resumes: Option<Resume>, depth: usize, text: &mut String) {
        let indent = 2 * depth;
        match reason {
            MissReason::Changed { changes, producer } => {
                self.changes(changes, depth, text);
                let _ = writeln!(text, "{:indent$}since its nearest result, by {producer}", "");
            }
            MissReason::New => {
                let _ = writeln!(text, "{:indent$}{}", "", reason.sentence());
                self.nearest(id, depth, text);
            }
            other => {
                let _ = writeln!(text, "{:indent$}{}", "", other.sentence());
            }
        }
        if let Some(resume) = resumes {
            let _ = writeln!(text, "{:indent$}{}", "", resume.sentence());
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
                self.upstream(*upstream, port, change.was, depth + 1, text);
            }
        }
        if changes.len() > CHANGES_SHOWN {
            let _ = writeln!(text, "{:indent$}and {} more", "", changes.len() - CHANGES_SHOWN);
        }
    }

    /// Explains a changed upstream output: compares the node with the result that gave the earlier output.
    fn upstream(&self, id: NodeId, port: &str, was: Option<OutputDigest>, depth: usize, text: &mut String) {
        let plan = &self.study.plan;
        let name = plan.name(id);
        let indent = 2 * depth;
        let Some(preimage) = self.known.preimage(id) else { return };
        let (key, present) = (preimage.digest(), preimage.to_json());
        let gave = |result: &&ActionResult| result.outputs.iter().any(|(_, digest)| Some(*digest) == was);
        let earlier =
            self.results.iter().filter(gave).map(|result| changes_between(plan, id, &result.preimage, &present));
        let found = earlier.filter(|changes| !changes.is_empty()).min_by_key(Vec::len).unwrap_or_default();
        if found.is_empty() {
            let _ = writeln!(text, "{:indent$}{name} gives other bytes at `{port}` ({})", "", key.short());
        } else {
            let _ = writeln!(text, "{:indent$}because of {name}:", "");
            self.changes(&found, depth + 1, text);
        }
    }

    /// Compares a node that never ran in this study with the nearest result of its kind in the store, of whatever study.
    fn nearest(&self, id: NodeId, depth: usize, text: &mut String) {
        let plan = &self.study.plan;
        let Some(preimage) = self.known.preimage(id) else { return };
        let (kind, present) = (plan.stage(id).kind.facts().kind, preimage.to_json());
        let others = self.results.iter().filter(|result| result.kind == kind);
        let compared = others.map(|result| (changes_between(plan, id, &result.preimage, &present), result));
        // The latest of those with as few changes.
        let nearest = compared.min_by_key(|(changes, result)| (changes.len(), Reverse(result.recorded_ms)));
        let Some((changes, result)) = nearest.filter(|(changes, _)| changes.len() <= NEAREST_CHANGES) else { return };
        let indent = 2 * depth;
        let _ = writeln!(
            text,
            "{:indent$}nearest in the store: {}, by {}",
            "",
            self.described(result),
            result.produced_by()
        );
        self.changes(&changes, depth + 1, text);
    }

    /// Names the node of a result, with its experiment if the log of its run still tells.
    fn described(&self, result: &ActionResult) -> String {
        let run = result.run.parse().ok();
        let started = run.and_then(|run| self.study.history().started(&run).ok().flatten());
        let experiment = started.and_then(|started| Some(started.origin?.experiment));
        let of = experiment.map_or_else(String::new, |experiment| format!(" of {experiment}"));
        format!("{}{of} in run {}", result.node, result.run)
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
                    Answer::Miss { reason, resumes, .. } => causes.push((input, reason, *resumes)),
                    Answer::Unknown { .. } => stack.push(input),
                }
            }
        }
        causes.sort_by_key(|(id, ..)| *id);
        for (cause, reason, resumes) in causes.iter().take(CHANGES_SHOWN) {
            let _ = writeln!(text, "  {}: miss", plan.name(*cause));
            self.reason(*cause, reason, *resumes, 2, text);
        }
        if causes.len() > CHANGES_SHOWN {
            let _ = writeln!(text, "  and {} more inputs that must run", causes.len() - CHANGES_SHOWN);
        }
    }
}
