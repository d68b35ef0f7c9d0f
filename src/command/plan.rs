//! `orchestrate plan`: shows what a run would do, and why.

use std::collections::HashSet;
use std::fmt::Write;

use indexmap::IndexMap;
use orchestrate_cache::Access;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::publish;
use orchestrate_engine::run::Selection;
use orchestrate_engine::runlog::Durations;
use orchestrate_engine::survey::{Answer, Survey};
use serde_json::json;

use super::study::{self, Study};
use super::subject::Subject;
use super::submissions::Submissions;
use crate::Kinds;
use crate::args::PlanArgs;
use crate::device::DeviceChoice;
use crate::outcome::Outcome;
use crate::terminal::{self, Colour, Text};

/// The number of runs whose durations are read for the estimate.
const RUNS_FOR_ESTIMATE: usize = 20;

/// The most reasons that are shown for one stage.
const REASONS_SHOWN: usize = 3;

pub(crate) fn plan(kinds: Kinds, args: PlanArgs) -> anyhow::Result<Outcome> {
    let Subject { plan, store, .. } = Subject::find(kinds, &args.spec.spec, &args.spec.overrides, &args.spec.store)?;
    let selection = study::selection(&plan, &args.select)?;
    let forced: HashSet<_> = study::select(&plan, &args.select.force)?.into_iter().collect();
    args.on.warn(&plan, kinds)?;
    let cluster = args.on.options(&plan.spec.root, &DeviceChoice::Auto)?;
    let study = Study::open(plan, &store, Access::ReadOnly)?;
    publish::check_folders(&study.plan, &study.store, |id| selection.contains(id))?;
    let answers = study.survey(&forced);
    let durations = match args.json && cluster.is_none() {
        true => Durations::default(),
        false => study.history().durations(RUNS_FOR_ESTIMATE),
    };
    let submissions =
        cluster.as_ref().map(|on| Submissions::foresee(on, &study.plan, &selection, &answers, &durations));
    if args.json {
        let submissions = submissions.iter().flat_map(Submissions::json_lines);
        let lines = json_lines(&study.plan, &selection, &answers, submissions);
        return Outcome::Done.after_saying(terminal::say_as_is(&lines));
    }
    let mut text = Text::new(terminal::colours_on_stdout());
    if args.verbose {
        nodes(&study.plan, &selection, &answers, &mut text);
    } else {
        stages(&study.plan, &selection, &answers, &mut text);
    }
    summary(&study.plan, &selection, &answers, &durations, &mut text);
    if let Some(submissions) = submissions {
        let _ = write!(text, "\n{}", submissions.text());
    }
    Outcome::Done.after_saying(terminal::say_as_is(text.as_str()))
}

/// The word for an answer, with its colour.
fn shown(answer: &Answer) -> (&'static str, Colour) {
    match answer {
        Answer::Hit { .. } => ("hit", Colour::Green),
        Answer::Miss { .. } => ("miss", Colour::Yellow),
        Answer::Unknown { .. } => ("unknown", Colour::Cyan),
    }
}

/// Counts hits, misses and unknown answers, each with its word and colour.
fn tally<'a>(answers: impl Iterator<Item = &'a Answer>) -> [(usize, &'static str, Colour); 3] {
    let mut tally = [(0, "hit", Colour::Green), (0, "miss", Colour::Yellow), (0, "unknown", Colour::Cyan)];
    for answer in answers {
        tally.iter_mut().filter(|(_, word, _)| *word == shown(answer).0).for_each(|(number, ..)| *number += 1);
    }
    tally
}

/// Writes a line for each stage: the number of nodes, the answers, and the reasons.
fn stages(plan: &Plan, selection: &Selection, survey: &Survey, text: &mut Text) {
    let width = plan.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
    for (index, stage) in plan.stages.iter().enumerate() {
        let nodes: Vec<_> = plan.stage_nodes(index).filter(|id| selection.contains(*id)).collect();
        if nodes.is_empty() {
            continue;
        }
        let answers: Vec<_> = nodes.iter().map(|id| &survey.answers[id.index()]).collect();
        let mut reasons: IndexMap<String, usize> = IndexMap::new();
        for reason in answers.iter().filter_map(|answer| why(plan, answer)) {
            *reasons.entry(reason).or_default() += 1;
        }
        let nodes = terminal::count(nodes.len(), "node");
        let _ = write!(text, "{:width$}  {nodes:>10}  ", stage.name);
        text.tally(&tally(answers.into_iter()));
        let _ = writeln!(text);
        let mut dim = |line: &str| {
            let _ = write!(text, "{:width$}  {:>10}  ", "", "");
            text.paint(line, Colour::Dim);
            let _ = writeln!(text);
        };
        for (reason, number) in reasons.iter().take(REASONS_SHOWN) {
            dim(&format!("{reason}{}", terminal::times(*number)));
        }
        if let more @ 1.. = reasons.len().saturating_sub(REASONS_SHOWN) {
            dim(&format!("and {more} more reasons; --verbose lists them"));
        }
    }
}

/// Writes a line for each node.
fn nodes(plan: &Plan, selection: &Selection, survey: &Survey, text: &mut Text) {
    for id in selection.nodes() {
        let answer = &survey.answers[id.index()];
        let (word, colour) = shown(answer);
        text.paint(&format!("{word:7}"), colour);
        let _ = write!(text, "  {}", plan.name(*id));
        if let Some(why) = why(plan, answer) {
            let _ = write!(text, "  ");
            text.paint(&why, Colour::Dim);
        }
        let _ = writeln!(text);
    }
}

/// Writes the counts of all nodes, and the estimated work if every duration is known.
fn summary(plan: &Plan, selection: &Selection, survey: &Survey, durations: &Durations, text: &mut Text) {
    let answers = || selection.nodes().iter().map(|id| (id, &survey.answers[id.index()]));
    let to_run = answers().filter(|(_, answer)| !matches!(answer, Answer::Hit { .. }));
    let cost_ms: Option<u64> = to_run.map(|(id, _)| durations.estimate_ms(&plan.name(*id))).sum();
    let nodes = terminal::count(selection.nodes().len(), "node");
    let cost = match cost_ms {
        Some(0) | None => String::new(),
        Some(cost) => format!("; about {} of work, as earlier runs went", terminal::duration(cost)),
    };
    let counts = tally(answers().map(|(_, answer)| answer)).into_iter().filter(|(number, ..)| *number > 0);
    let counts: Vec<_> = counts.map(|(number, word, _)| format!("{number} {word}")).collect();
    let counts = if counts.is_empty() { "nothing to run".to_owned() } else { counts.join(", ") };
    let _ = writeln!(text, "{nodes}: {counts}{cost}");
}

fn why(plan: &Plan, answer: &Answer) -> Option<String> {
    match answer {
        Answer::Hit { .. } => None,
        Answer::Miss { reason, resumes, .. } => {
            let resumes = resumes.map_or_else(String::new, |resume| format!("; {}", resume.sentence()));
            Some(reason.sentence() + &resumes)
        }
        Answer::Unknown { waits_for } => Some(format!("waits for {}", plan.stage(*waits_for).name)),
    }
}

fn json_lines(
    plan: &Plan,
    selection: &Selection,
    survey: &Survey,
    submissions: impl Iterator<Item = String>,
) -> String {
    let mut text = String::new();
    for id in selection.nodes() {
        let answer = &survey.answers[id.index()];
        let name = plan.name(*id);
        let (key, output) = match answer {
            Answer::Hit { key, outputs } => (json!(key), orchestrate_engine::event::output_json(outputs)),
            Answer::Miss { key, .. } => (json!(key), json!(null)),
            Answer::Unknown { .. } => (json!(null), json!(null)),
        };
        let line = json!({
            "reason": "node", "stage": name.stage(), "point": name.point(), "status": shown(answer).0,
            "key": key, "output": output, "elapsed_ms": 0, "why": why(plan, answer),
        });
        let _ = writeln!(text, "{line}");
    }
    submissions.for_each(|line| text += &(line + "\n"));
    let [hit, miss, unknown] = tally(selection.nodes().iter().map(|id| &survey.answers[id.index()])).map(|(n, ..)| n);
    let nodes = selection.nodes().len();
    let line = json!({ "reason": "summary", "nodes": nodes, "hit": hit, "miss": miss, "unknown": unknown });
    let _ = writeln!(text, "{line}");
    text
}
