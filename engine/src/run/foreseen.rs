//! The submissions that a run on a cluster would make, for `plan --on`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::elsewhere::ClusterOptions;
use super::prepare::Groups;
use crate::cluster::{self, Request, bundle};
use crate::node::NodeId;
use crate::plan::Plan;
use crate::runlog::Durations;

/// The submissions of one stage that ask for the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreseen {
    /// Index of the stage in the plan.
    pub stage: usize,
    /// The number of nodes that would run.
    pub nodes: usize,
    /// The number of tasks, each with one batch or several short ones.
    pub tasks: usize,
    /// The least number of jobs: what depends on other jobs is submitted as they end.
    pub jobs: usize,
    /// The request of each task.
    pub request: Request,
}

impl ClusterOptions {
    /// Foresees the submissions for nodes that are to run, given in ascending order.
    pub fn foresee(&self, plan: &Plan, to_run: &[NodeId], durations: &Durations) -> Vec<Foreseen> {
        // The site is asked only if there is an array at all.
        let of_site = OnceCell::new();
        let max_tasks = || *of_site.get_or_init(|| cluster::max_tasks(&*cluster::open(&self.cluster), &self.cluster));
        let mut found: Vec<Foreseen> = Vec::new();
        for nodes in to_run.chunk_by(|one, other| plan.node(*one).stage == plan.node(*other).stage) {
            let stage = plan.stage(nodes[0]);
            if !self.takes(stage) {
                continue;
            }
            let mut requests: Vec<(Request, usize, Vec<Option<Duration>>)> = Vec::new();
            for batch in batches(plan, nodes) {
                let request = self.request(plan, stage, batch.len(), durations);
                let estimate = self.estimate(plan, stage, &batch, durations);
                match requests.iter_mut().find(|(known, ..)| known.asked == request.asked) {
                    Some((_, nodes, estimates)) => {
                        *nodes += batch.len();
                        estimates.push(estimate);
                    }
                    None => requests.push((request, batch.len(), vec![estimate])),
                }
            }
            let stage = plan.node(nodes[0]).stage as usize;
            found.extend(requests.into_iter().map(|(request, nodes, estimates)| {
                let tasks = tasks(&estimates);
                let jobs = if tasks == 1 { 1 } else { tasks.div_ceil(max_tasks()) };
                Foreseen { stage, nodes, tasks, jobs, request }
            }));
        }
        found
    }
}

/// Sorts nodes of one stage into the batches in which they run if their inputs are there at one time.
fn batches(plan: &Plan, nodes: &[NodeId]) -> Vec<Vec<NodeId>> {
    let mut groups = Groups::default();
    let (mut alone, mut together) = (Vec::new(), BTreeMap::<u32, Vec<NodeId>>::new());
    for id in nodes {
        match groups.of(plan, *id) {
            Some(group) => together.entry(group).or_default().push(*id),
            None => alone.push(vec![*id]),
        }
    }
    together.into_values().chain(alone).collect()
}

/// Counts the tasks of batches, of which short ones go one after the other.
fn tasks(estimates: &[Option<Duration>]) -> usize {
    bundle(estimates.iter().map(|estimate| ((), *estimate))).len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::BUNDLE;
    use crate::fake::{STUDY, plan};
    use crate::spec::Cluster;

    fn options(section: &str, all: bool) -> ClusterOptions {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let text = format!("[cluster]\nkind = \"slurm\"\n{section}");
        std::fs::write(dir.path().join("orchestrate.toml"), text).expect("the folder is writable");
        let cluster: Cluster = crate::spec::cluster(dir.path()).expect("it is right").expect("it is there");
        ClusterOptions { cluster, all, gpus: true, program: "orchestrate".into(), is_to_cancel: Arc::new(|_| false) }
    }

    fn foreseen(section: &str, all: bool) -> Vec<(String, usize, usize, usize, Option<String>)> {
        let plan = plan(STUDY, &[]).expect("it is valid");
        let to_run: Vec<_> = plan.ids().collect();
        let found = options(section, all).foresee(&plan, &to_run, &Durations::default());
        let shown = |foreseen: Foreseen| {
            let name = plan.stages[foreseen.stage].name.clone();
            (name, foreseen.nodes, foreseen.tasks, foreseen.jobs, foreseen.request.asked.gpu)
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn heavy_stages_are_submitted_and_arrays_have_their_limit() {
        // Two models in three folds; nothing is known of their durations.
        let train = |jobs| ("train".to_owned(), 6, 6, jobs, Some("1".to_owned()));
        assert_eq!(foreseen("", false), [train(1)]);
        assert_eq!(foreseen("max_array = 4\n", false), [train(2)]);
        assert_eq!(foreseen("kinds = [\"dataset\"]\n", false), [("images".to_owned(), 1, 1, 1, None)]);
    }

    #[test]
    fn short_batches_share_a_task() {
        let all = foreseen("", true);
        // Six batches of two thresholds each, as siblings run together, and all in one task of less than a minute.
        let threshold = ("threshold".to_owned(), 12, 1, 1, None);
        assert!(all.len() == 6 && all.contains(&threshold), "{all:?}");
        assert_eq!(tasks(&[None, None, Some(BUNDLE.0), Some(BUNDLE.0 / 2), Some(BUNDLE.0 / 2)]), 4);
    }
}
