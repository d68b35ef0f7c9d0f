//! `plan --on`: the jobs that a run would submit, and where each number in them comes from.

use std::fmt::Write;

use orchestrate_engine::plan::Plan;
use orchestrate_engine::resources::display_size;
use orchestrate_engine::run::{ClusterOptions, Foreseen, Selection};
use orchestrate_engine::runlog::Durations;
use orchestrate_engine::spec::Cluster;
use orchestrate_engine::survey::{Answer, Survey};
use serde_json::json;

use super::cluster::kind;
use crate::terminal;

/// The submissions of a run.
pub(super) struct Submissions<'a> {
    cluster: &'a Cluster,
    plan: &'a Plan,
    foreseen: Vec<Foreseen>,
    /// For each of them, whether inputs of its nodes must run first, so that it may become several jobs.
    waits: Vec<bool>,
    /// The stages that run on this machine, each with its number of nodes.
    here: Vec<(usize, usize)>,
}

impl<'a> Submissions<'a> {
    /// Foresees the submissions of the selected nodes that miss or are unknown.
    pub(super) fn foresee(
        options: &'a ClusterOptions,
        plan: &'a Plan,
        selection: &Selection,
        survey: &Survey,
        durations: &Durations,
    ) -> Self {
        let answer = |id| &survey.answers[orchestrate_engine::node::NodeId::index(id)];
        let nodes = selection.nodes().iter().copied();
        let to_run: Vec<_> = nodes.filter(|id| !matches!(answer(*id), Answer::Hit { .. })).collect();
        let foreseen = options.foresee(plan, &to_run, durations);
        let of_stage = |stage: usize| to_run.iter().filter(move |id| plan.node(**id).stage as usize == stage);
        let waits = |stage| of_stage(stage).any(|id| matches!(answer(*id), Answer::Unknown { .. }));
        let stages = (0..plan.stages.len()).filter(|stage| !options.takes(&plan.stages[*stage]));
        let here = stages.map(|stage| (stage, of_stage(stage).count())).filter(|(_, nodes)| *nodes > 0).collect();
        let waits = foreseen.iter().map(|foreseen| waits(foreseen.stage)).collect();
        Self { cluster: &options.cluster, plan, foreseen, waits, here }
    }

    /// Describes the submissions to people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("on {}\n", kind(self.cluster));
        for (foreseen, waits) in self.foreseen.iter().zip(&self.waits) {
            let Foreseen { stage, nodes, tasks, jobs, request } = foreseen;
            let least = if *waits && tasks > jobs { "at least " } else { "" };
            let partition = self.cluster.partition_for(&request.asked);
            let partition = partition.map_or_else(String::new, |name| format!(", partition {name}"));
            let (nodes, tasks) = (terminal::count(*nodes, "node"), terminal::count(*tasks, "task"));
            let (name, jobs) = (&self.plan.stages[*stage].name, terminal::count(*jobs, "job"));
            let _ = writeln!(text, "{name}: {nodes}, {tasks} in {least}{jobs}{partition}");
            let asked = &request.asked;
            let gpu = asked.gpu.clone().unwrap_or_else(|| "none".to_owned());
            let numbers = [
                ("threads", asked.threads.to_string(), Some(&request.threads)),
                ("memory", display_size(asked.memory_bytes), Some(&request.memory)),
                ("time", terminal::duration(asked.time_ms), Some(&request.time)),
                ("GPUs", gpu, request.gpu.as_ref()),
            ];
            for (what, number, source) in numbers {
                let line = format!("  {what:7}  {number:12}  {}", source.map_or("", String::as_str));
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
        if self.foreseen.is_empty() {
            text += "nothing would be submitted\n";
        }
        if let Some(most) = self.cluster.max_jobs.filter(|_| !self.foreseen.is_empty()) {
            let _ = writeln!(text, "at most {} at a time, as `max_jobs` says", terminal::count(most, "task"));
        }
        if !self.here.is_empty() {
            let stages = self.here.iter().map(|(stage, nodes)| {
                format!("{} ({})", self.plan.stages[*stage].name, terminal::count(*nodes, "node"))
            });
            let _ = writeln!(text, "on this machine: {}", stages.collect::<Vec<_>>().join(", "));
        }
        text
    }

    /// Returns a line of `plan --json` for each submission.
    pub(super) fn json_lines(&self) -> Vec<String> {
        let line = |foreseen: &Foreseen| {
            let Foreseen { stage, nodes, tasks, jobs, request } = foreseen;
            let sources = json!({
                "threads": request.threads, "memory": request.memory, "time": request.time, "gpu": request.gpu,
            });
            let partition = self.cluster.partition_for(&request.asked);
            let line = json!({
                "reason": "submission", "stage": self.plan.stages[*stage].name, "nodes": nodes, "tasks": tasks,
                "jobs": jobs, "partition": partition, "asked": request.asked, "sources": sources,
            });
            line.to_string()
        };
        self.foreseen.iter().map(line).collect()
    }
}
