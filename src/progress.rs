//! Progress on a terminal: one line of counts with an estimate of the remaining time, and one line for each heavy node
//! that runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orchestrate_engine::event::{Counts, Event, Hits, Reporter, TimedEvent};
use orchestrate_engine::node::NodeName;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::run::Selection;
use orchestrate_engine::runlog::History;

use crate::reporter;
use crate::terminal::{visible, visible_line};

/// The shortest duration of a node that gets a line of its own.
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// The number of runs whose durations are read for the estimate.
const RUNS_FOR_ESTIMATE: usize = 20;

/// Redraws the state of a run in place.
pub(crate) struct Bars<'a> {
    plan: &'a Plan,
    selection: &'a Selection,
    history: History,
    bars: MultiProgress,
    total: ProgressBar,
    running: HashMap<String, Running>,
    /// For each node, whether it was a hit before any node ran.
    hit: Vec<bool>,
    /// The estimated duration of each node that has not ended, by name. Made when the first node starts, as a run of
    /// hits needs none.
    left: Option<HashMap<String, u64>>,
    jobs: usize,
    counts: Counts,
}

struct Running {
    since: Instant,
    /// The number of nodes: siblings run together.
    members: usize,
    bar: Option<ProgressBar>,
}

impl<'a> Bars<'a> {
    /// Returns bars that draw on standard error.
    pub(crate) fn new(plan: &'a Plan, selection: &'a Selection, history: History) -> Self {
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new(selection.nodes().len() as u64));
        total.set_style(style("{bar:24.cyan/dim} {pos}/{len}  {msg}"));
        let (hit, counts) = (vec![false; plan.nodes.len()], Counts::default());
        Self { plan, selection, history, bars, total, running: HashMap::new(), hit, left: None, jobs: 1, counts }
    }

    /// Returns the durations in earlier runs of the nodes that are not known to be hits.
    fn estimates(&self) -> HashMap<String, u64> {
        let durations = self.history.durations(RUNS_FOR_ESTIMATE);
        let left = self.selection.nodes().iter().filter(|id| !self.hit[id.index()]);
        left.filter_map(|id| {
            let name = self.plan.name(*id);
            Some((name.as_str().to_owned(), durations.estimate_ms(&name)?))
        })
        .collect()
    }

    /// Clears what was drawn.
    pub(crate) fn finish(&self) {
        let _ = self.bars.clear();
    }

    fn ended(&mut self, node: &NodeName, count: fn(&mut Counts) -> &mut usize) {
        *count(&mut self.counts) += 1;
        if let Some(Running { bar: Some(bar), .. }) = self.running.remove(node.as_str()) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        if let Some(left) = &mut self.left {
            left.remove(node.as_str());
        }
        self.total.inc(1);
    }

    fn redraw(&self) {
        let Counts { hit, ran, failed, blocked, .. } = self.counts;
        let running = self.running.values().map(|running| running.members).sum();
        let parts = [(hit, "hit"), (ran, "ran"), (running, "running"), (failed, "failed"), (blocked, "blocked")];
        let shown: Vec<_> =
            parts.iter().filter(|(number, _)| *number > 0).map(|(n, word)| format!("{n} {word}")).collect();
        self.total.set_message(shown.join(", ") + &self.eta());
    }

    /// Returns the remaining time: recorded durations of nodes that have not ended, divided by the jobs.
    fn eta(&self) -> String {
        let spent: u64 = self.running.values().map(|running| millis(running.since.elapsed())).sum();
        let left = self.left.iter().flat_map(HashMap::values).sum::<u64>().saturating_sub(spent) / self.jobs as u64;
        if left < 1000 { String::new() } else { format!("  about {} left", crate::terminal::duration(left)) }
    }
}

impl Reporter for Bars<'_> {
    fn report(&mut self, event: &TimedEvent) {
        match &event.event {
            Event::RunStarted(started) => self.jobs = started.jobs.max(1),
            Event::NodeStarted { node, members, .. } => {
                if self.left.is_none() {
                    self.left = Some(self.estimates());
                }
                self.running
                    .insert(node.as_str().to_owned(), Running { since: Instant::now(), members: *members, bar: None });
            }
            Event::NodeProgress { node, progress } => {
                if let Some(running) = self.running.get_mut(node.as_str()) {
                    let bar = running.bar.get_or_insert_with(|| line(&self.bars, node.as_str()));
                    bar.set_length(progress.total);
                    bar.set_position(progress.done);
                    bar.set_message(visible_line(&progress.message));
                }
            }
            Event::NodeHit { node, .. } => self.ended(node, |counts| &mut counts.hit),
            Event::NodeRan { node, .. } => self.ended(node, |counts| &mut counts.ran),
            Event::NodeFailed { node, .. } => self.ended(node, |counts| &mut counts.failed),
            Event::NodeBlocked { node, .. } => self.ended(node, |counts| &mut counts.blocked),
            Event::NodeCancelled { node } => self.ended(node, |counts| &mut counts.cancelled),
            _ => {}
        }
        if let Some(text) = reporter::problem(&event.event) {
            let _ = self.bars.println(visible(&text));
        }
        if let Event::RunFinished { .. } = event.event {
            self.finish();
        }
    }

    fn hits(&mut self, hits: &Hits<'_>) {
        if self.left.is_some() {
            return hits.events().for_each(|event| self.report(&event));
        }
        hits.nodes.iter().for_each(|(id, _)| self.hit[id.index()] = true);
        self.counts.hit += hits.nodes.len();
        self.total.inc(hits.nodes.len() as u64);
    }

    fn tick(&mut self) {
        for (name, running) in &mut self.running {
            if running.bar.is_none() && running.since.elapsed() >= SHOWN_AFTER {
                running.bar = Some(line(&self.bars, name));
            }
        }
        self.redraw();
    }
}

fn line(bars: &MultiProgress, node: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(0));
    bar.set_style(style("  {prefix}  {elapsed}  {pos}/{len}  {msg}"));
    bar.set_prefix(visible_line(node));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are valid")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
