//! Progress on a terminal: one line of counts with an estimate of the remaining time, and one line for each heavy node
//! that runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use orchestrate_engine::event::{Counts, Event, Hits, Reporter, TimedEvent};
use orchestrate_engine::node::NodeName;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::run::Selection;
use orchestrate_engine::runlog::History;

use crate::estimate::Estimate;
use crate::reporter;
use crate::terminal::{self, visible, visible_line};

/// The shortest duration of a node that gets a line of its own.
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// Redraws the state of a run in place.
pub(crate) struct Bars<'a> {
    estimate: Estimate<'a>,
    bars: MultiProgress,
    total: ProgressBar,
    running: HashMap<String, Running>,
    counts: Counts,
    /// True once the run is being stopped: then people may be asked something, which no bar may draw over.
    is_stopping: bool,
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
        let estimate = Estimate::new(plan, selection, history);
        Self { estimate, bars, total, running: HashMap::new(), counts: Counts::default(), is_stopping: false }
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

    /// Returns the remaining time.
    fn eta(&self) -> String {
        self.estimate.rest().map_or_else(String::new, |rest| format!("  {rest}"))
    }
}

impl Reporter for Bars<'_> {
    fn report(&mut self, event: &TimedEvent) {
        self.estimate.report(&event.event);
        match &event.event {
            Event::NodeStarted { node, members, .. } => {
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
        if let Event::RunStopping = event.event {
            self.finish();
            self.bars.set_draw_target(ProgressDrawTarget::hidden());
            self.is_stopping = true;
        }
        match reporter::problem(&event.event) {
            Some(text) if self.is_stopping => terminal::complain(&(text + "\n")),
            Some(text) => drop(self.bars.println(visible(&text))),
            None => {}
        }
        if let Event::RunFinished { .. } = event.event {
            self.finish();
        }
    }

    fn hits(&mut self, hits: &Hits<'_>) {
        if self.estimate.has_begun() {
            return hits.events().for_each(|event| self.report(&event));
        }
        self.estimate.hits(hits);
        self.counts.hit += hits.nodes.len();
        self.total.inc(hits.nodes.len() as u64);
    }

    fn tick(&mut self) {
        if self.is_stopping {
            return;
        }
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
