//! Efficiency: the requests of stages to a cluster, beside what they used.

use std::time::Duration;

use indexmap::IndexMap;

use crate::cluster::{memory_for, time_for};
use crate::event::{Event, Hits, Reporter, TimedEvent};
use crate::spec::Ask;
use crate::usage::{Asked, Needs};

/// The CPU time of all batches from which a number of threads follows; less is mostly the start of programs.
const TELLING_MS: u64 = 10_000;

/// Efficiency of the stages that ran on a cluster, in the order in which they ended; empty for a run on one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Efficiency {
    stages: IndexMap<String, StageEfficiency>,
}

/// Efficiency of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageEfficiency {
    /// The most that a batch asked for.
    pub asked: Asked,
    /// The use by its batches.
    pub used: Needs,
}

impl Efficiency {
    /// Sums up the events of a run.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a TimedEvent>) -> Self {
        let mut efficiency = Self::default();
        events.into_iter().for_each(|event| efficiency.report(event));
        efficiency
    }

    /// Returns the stages by name.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &StageEfficiency)> {
        self.stages.iter().map(|(name, stage)| (name.as_str(), stage))
    }
}

impl Reporter for Efficiency {
    fn report(&mut self, event: &TimedEvent) {
        let Event::BatchUsed { node, members, used, asked: Some(asked) } = &event.event else { return };
        let new = || StageEfficiency { asked: asked.clone(), used: Needs::default() };
        let stage = self.stages.entry(node.stage().to_owned()).or_insert_with(new);
        stage.asked = stage.asked.clone().greatest(asked);
        stage.used.add(*members, used);
    }

    /// Hits used nothing.
    fn hits(&mut self, _hits: &Hits<'_>) {}
}

impl StageEfficiency {
    /// Returns what would have fitted, with a reserve, where more than twice or less than what was used was asked for.
    pub fn fitting(&self) -> Ask {
        let Self { asked, used } = self;
        // Of little use is also what would save little beyond the reserve.
        let misfits = |asked: f64, used: f64, fitting: f64| asked < used || asked > (2.0 * used).max(1.5 * fitting);
        let memory = memory_for(used.peak_bytes);
        let time = time_for(Duration::from_millis(used.batch_ms));
        let cores = used.cores();
        let threads = (cores - 0.1).ceil().max(1.0);
        let is_memory = misfits(asked.memory_bytes as f64, used.peak_bytes as f64, memory as f64);
        let is_time = misfits(asked.time_ms as f64, used.batch_ms as f64, time.as_millis() as f64);
        // Half a thread more than was asked for is that of a pipe or a timer.
        let is_threads = used.cpu_ms >= TELLING_MS && misfits(asked.threads as f64 + 0.5, cores, threads + 0.5);
        Ask {
            time: is_time.then_some(time),
            memory_bytes: is_memory.then_some(memory),
            threads: is_threads.then_some(threads as usize),
            gpu: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{NodeName, Point};
    use crate::usage::Usage;

    const GB: u64 = 1_000_000_000;

    fn used(stage: &str, used: Usage, asked: Option<Asked>) -> TimedEvent {
        let node = NodeName::new(stage, Point::default());
        TimedEvent::now(Event::BatchUsed { node, members: 1, used, asked })
    }

    fn asked(threads: usize, memory_bytes: u64, time_ms: u64) -> Asked {
        Asked { threads, memory_bytes, time_ms, gpu: None }
    }

    #[test]
    fn stages_on_a_cluster_are_summed_up_and_those_on_this_host_are_not() {
        let small = Usage { cpu_ms: 5, peak_bytes: GB, wall_ms: 10 };
        let large = Usage { cpu_ms: 7, peak_bytes: 2 * GB, wall_ms: 5 };
        let retried = Asked { memory_bytes: 8 * GB, gpu: Some("1".to_owned()), ..asked(2, 0, 5) };
        let events = [
            used("train", small, Some(asked(2, 4 * GB, 9))),
            used("train", large, Some(retried)),
            used("images", small, None),
        ];
        let efficiency = Efficiency::of(&events);
        let train = StageEfficiency {
            asked: Asked { gpu: Some("1".to_owned()), ..asked(2, 8 * GB, 9) },
            used: Needs { batches: 2, peak_bytes: 2 * GB, batch_ms: 10, members: 1, cpu_ms: 12, wall_ms: 15 },
        };
        assert_eq!(efficiency.stages().collect::<Vec<_>>(), [("train", &train)]);
    }

    #[test]
    fn what_would_have_fitted_is_told_where_too_much_or_too_little_was_asked_for() {
        const MINUTE: u64 = 60_000;
        // 2 GB, 1.9 CPUs and 20 minutes were used: 3.3 GB, 2 threads and 45 minutes fit.
        let needs = Needs {
            batches: 1,
            peak_bytes: 2 * GB,
            batch_ms: 20 * MINUTE,
            members: 1,
            cpu_ms: 38 * MINUTE,
            wall_ms: 20 * MINUTE,
        };
        let fitting = |threads, memory_gb, minutes| {
            let asked = asked(threads, memory_gb * GB, minutes * MINUTE);
            let fitting = StageEfficiency { asked, used: needs }.fitting();
            let minutes = fitting.time.map(|time| time.as_secs() / 60);
            (fitting.threads, fitting.memory_bytes.map(|bytes| bytes / 100_000_000), minutes)
        };
        assert_eq!(fitting(2, 4, 45), (None, None, None));
        assert_eq!(fitting(3, 3, 40), (None, None, None));
        assert_eq!(fitting(3, 4, 60), (None, None, None));
        assert_eq!(fitting(8, 5, 70), (Some(2), Some(33), Some(45)));
        assert_eq!(fitting(1, 1, 10), (Some(2), Some(33), Some(45)));
        // A stage that needs next to nothing has asked for no more than the reserve.
        let short = Needs { peak_bytes: GB / 100, batch_ms: 3000, cpu_ms: 100, wall_ms: 3000, ..needs };
        let learned = asked(2, memory_for(GB / 100), time_for(Duration::from_secs(3)).as_millis() as u64);
        assert_eq!(StageEfficiency { asked: learned, used: short }.fitting(), Ask::default());
    }
}
