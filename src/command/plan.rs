//! `orchestrate plan`: what a run would do, and why.

use std::collections::HashSet;
use std::fmt::Write;

use orchestrate_cache::Access;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::run::Selection;
use orchestrate_engine::runlog::{Durations, History};
use orchestrate_engine::survey::{Answer, Survey, survey};
use serde_json::json;

use super::study::{self, Study};
use crate::Kinds;
use crate::args::PlanArgs;
use crate::outcome::Outcome;
use crate::terminal::{self, Colour, Text};

/// Runs whose durations are read for the estimate.
const RUNS_FOR_ESTIMATE: usize = 20;

pub(crate) fn plan(kinds: Kinds, args: PlanArgs) -> anyhow::Result<Outcome> {
    let plan = study::plan(kinds, &args.spec.spec, &args.spec.overrides)?;
    let selection = study::selection(&plan, &args.select)?;
    let forced: HashSet<_> = study::select(&plan, &args.select.force)?.into_iter().collect();
    let study = Study::open(plan, &args.spec.store, Access::ReadOnly)?;
    let history = History::new(study.store.runs_dir());
    let answers = survey(&study.plan, &study.observed, &study.store, &history, &forced);
    if args.json {
        terminal::say_as_is(&json_lines(&study.plan, &selection, &answers))?;
        return Ok(Outcome::Done);
    }
    let durations = history.durations(RUNS_FOR_ESTIMATE);
    let mut text = Text::new(terminal::colours_on_stdout());
    if args.verbose {
        nodes(&study.plan, &selection, &answers, &mut text);
    } else {
        stages(&study.plan, &selection, &answers, &mut text);
    }
    summary(&study.plan, &selection, &answers, &durations, &mut text);
    terminal::say_as_is(text.as_str())?;
    Ok(Outcome::Done)
}

#[derive(Clone, Copy, Default)]
struct Tally {
    hit: usize,
    miss: usize,
    unknown: usize,
}

impl Tally {
    fn add(&mut self, answer: &Answer) {
        match answer {
            Answer::Hit { .. } => self.hit += 1,
            Answer::Miss { .. } => self.miss += 1,
            Answer::Unknown { .. } => self.unknown += 1,
        }
    }

    fn parts(self) -> [(usize, &'static str, Colour); 3] {
        [(self.hit, "hit", Colour::Green), (self.miss, "miss", Colour::Yellow), (self.unknown, "unknown", Colour::Cyan)]
    }
}

/// One line a stage: how many nodes, what would become of them, and the reasons.
fn stages(plan: &Plan, selection: &Selection, survey: &Survey, text: &mut Text) {
    let width = plan.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
    for (index, stage) in plan.stages.iter().enumerate() {
        let nodes: Vec<_> = plan.stage_nodes(index).filter(|id| selection.contains(*id)).collect();
        if nodes.is_empty() {
            continue;
        }
        let mut tally = Tally::default();
        let mut reasons: Vec<(String, usize)> = Vec::new();
        for id in &nodes {
            let answer = &survey.answers[id.index()];
            tally.add(answer);
            let Some(reason) = why(plan, answer) else { continue };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, number)) => *number += 1,
                None => reasons.push((reason, 1)),
            }
        }
        let nodes = terminal::count(nodes.len(), "node");
        let _ = write!(text, "{:width$}  {nodes:>10}  ", stage.name);
        text.tally(&tally.parts());
        let _ = writeln!(text);
        let mut dim = |line: &str| {
            let _ = write!(text, "{:width$}  {:>10}  ", "", "");
            text.paint(line, Colour::Dim);
            let _ = writeln!(text);
        };
        for (reason, number) in reasons.iter().take(3) {
            let times = if *number > 1 { format!(" (×{number})") } else { String::new() };
            dim(&format!("{reason}{times}"));
        }
        if reasons.len() > 3 {
            dim(&format!("and {} more reasons; --verbose lists them", reasons.len() - 3));
        }
    }
}

/// One line a node.
fn nodes(plan: &Plan, selection: &Selection, survey: &Survey, text: &mut Text) {
    for id in selection.nodes() {
        let answer = &survey.answers[id.index()];
        let colour = match answer {
            Answer::Hit { .. } => Colour::Green,
            Answer::Miss { .. } => Colour::Yellow,
            Answer::Unknown { .. } => Colour::Cyan,
        };
        text.paint(&format!("{:7}", word(answer)), colour);
        let _ = write!(text, "  {}", plan.name(*id));
        if let Some(why) = why(plan, answer) {
            let _ = write!(text, "  ");
            text.paint(&why, Colour::Dim);
        }
        let _ = writeln!(text);
    }
}

fn summary(plan: &Plan, selection: &Selection, survey: &Survey, durations: &Durations, text: &mut Text) {
    let mut tally = Tally::default();
    let mut cost_ms = Some(0);
    for id in selection.nodes() {
        let answer = &survey.answers[id.index()];
        tally.add(answer);
        if !matches!(answer, Answer::Hit { .. }) {
            cost_ms = cost_ms.zip(durations.estimate_ms(&plan.name(*id))).map(|(sum, more)| sum + more);
        }
    }
    let nodes = terminal::count(selection.nodes().len(), "node");
    let cost = match cost_ms {
        Some(0) | None => String::new(),
        Some(cost) => format!("; about {} of work, as earlier runs went", terminal::duration(cost)),
    };
    let parts = tally.parts().into_iter().filter(|(number, ..)| *number > 0);
    let parts: Vec<_> = parts.map(|(number, word, _)| format!("{number} {word}")).collect();
    let answers = if parts.is_empty() { "nothing to run".to_owned() } else { parts.join(", ") };
    let _ = writeln!(text, "{nodes}: {answers}{cost}");
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Hit { .. } => "hit",
        Answer::Miss { .. } => "miss",
        Answer::Unknown { .. } => "unknown",
    }
}

fn why(plan: &Plan, answer: &Answer) -> Option<String> {
    match answer {
        Answer::Hit { .. } => None,
        Answer::Miss { reason, .. } => Some(reason.sentence()),
        Answer::Unknown { waits_for } => Some(format!("waits for {}", stage_of(plan, *waits_for))),
    }
}

fn stage_of(plan: &Plan, id: NodeId) -> &str {
    &plan.stage(id).name
}

fn json_lines(plan: &Plan, selection: &Selection, survey: &Survey) -> String {
    let mut text = String::new();
    let mut tally = Tally::default();
    for id in selection.nodes() {
        let answer = &survey.answers[id.index()];
        tally.add(answer);
        let name = plan.name(*id);
        let (key, output) = match answer {
            Answer::Hit { key, outputs } => (json!(key), orchestrate_engine::event::output_json(outputs)),
            Answer::Miss { key, .. } => (json!(key), json!(null)),
            Answer::Unknown { .. } => (json!(null), json!(null)),
        };
        let line = json!({
            "reason": "node", "stage": name.stage(), "point": name.point(), "status": word(answer),
            "key": key, "output": output, "elapsed_ms": 0, "why": why(plan, answer),
        });
        let _ = writeln!(text, "{line}");
    }
    let line = json!({
        "reason": "summary", "nodes": selection.nodes().len(),
        "hit": tally.hit, "miss": tally.miss, "unknown": tally.unknown,
    });
    let _ = writeln!(text, "{line}");
    text
}
