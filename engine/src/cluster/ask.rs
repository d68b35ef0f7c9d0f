//! The request of a batch: threads, memory, time and GPUs, each from the first source that knows it.
//!
//! 1. `[cluster.stages.STAGE]` of the project file,
//! 2. `resources` and `timeout` of the stage in the spec,
//! 3. memory and time: what earlier runs needed, with a reserve,
//! 4. `[cluster]` of the project file,
//! 5. 4 GB, 2 hours, 2 threads, no GPU.
//!
//! Limits of escalation, `max_memory` and `max_time`, also bound what is learned from earlier runs or follows from a
//! timeout. They never bound what a person wrote.

use std::time::Duration;

use crate::resources::{Resources, display_duration, display_size};
use crate::spec::{Ask, Cluster};
use crate::usage::{Asked, Needs};

/// Memory that is asked for beyond 1.5 times what earlier runs needed, and the memory if nothing is known.
const MEMORY_RESERVE: u64 = 256_000_000;
const MEMORY: u64 = 4_000_000_000;
/// Memory that is learned is a multiple of this.
const MEMORY_STEP: u64 = 100_000_000;

/// Time that is asked for beyond twice what earlier runs needed, and the time if nothing is known.
const TIME_RESERVE: Duration = Duration::from_secs(300);
const TIME: Duration = Duration::from_secs(7200);

const THREADS: usize = 2;

/// The resource that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Memory.
    Memory,
    /// Time.
    Time,
}

/// A batch that is to ask.
#[derive(Clone, Copy, Debug)]
pub struct Wants<'a> {
    /// Name of its stage.
    pub stage: &'a str,
    /// The resources of the stage in the spec.
    pub resources: &'a Resources,
    /// The time limit of one member.
    pub timeout: Option<Duration>,
    /// The needs of earlier runs.
    pub needs: Option<Needs>,
    /// The number of members, at least 1.
    pub members: usize,
    /// True if it computes on a GPU where there is one.
    pub uses_device: bool,
}

/// A request, and for people the source of each number.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The resources.
    pub asked: Asked,
    /// The source of the number of threads.
    pub threads: String,
    /// The source of the memory.
    pub memory: String,
    /// The source of the time limit.
    pub time: String,
    /// The source of the number of GPUs, even if it is none; `None` if nobody said anything.
    pub gpu: Option<String>,
}

/// Returns what a batch asks for.
pub fn ask(cluster: &Cluster, wants: &Wants<'_>) -> Request {
    let nothing = Ask::default();
    let sources = Sources { cluster, of_stage: cluster.stages.get(wants.stage).unwrap_or(&nothing), wants };
    let (threads, threads_source) = sources.threads();
    let (memory_bytes, memory_source) = sources.memory();
    let (time, time_source) = sources.time();
    let gpu = sources.gpu();
    Request {
        asked: Asked {
            threads,
            memory_bytes,
            time_ms: milliseconds(time),
            gpu: gpu.as_ref().map(|(count, _)| count.clone()).filter(|count| count != "0"),
        },
        threads: threads_source,
        memory: memory_source,
        time: time_source,
        gpu: gpu.map(|(_, source)| source),
    }
}

/// Returns twice as much of a resource, up to `max_memory` or `max_time`; `None` at the limit, or if none is set.
pub fn more(asked: &Asked, why: More, cluster: &Cluster) -> Option<Asked> {
    let (now, most) = match why {
        More::Memory => (asked.memory_bytes, cluster.max_memory_bytes?),
        More::Time => (asked.time_ms, milliseconds(cluster.max_time?)),
    };
    let next = now.saturating_mul(2).min(most);
    if next <= now {
        return None;
    }
    Some(match why {
        More::Memory => Asked { memory_bytes: next, ..asked.clone() },
        More::Time => Asked { time_ms: next, ..asked.clone() },
    })
}

/// Returns the memory to ask for after batches that needed this much.
pub(crate) fn memory_for(peak_bytes: u64) -> u64 {
    let bytes = peak_bytes.saturating_add(peak_bytes / 2).saturating_add(MEMORY_RESERVE);
    bytes.div_ceil(MEMORY_STEP).saturating_mul(MEMORY_STEP)
}

/// Returns the time to ask for after batches of which the longest took this long.
pub(crate) fn time_for(batch: Duration) -> Duration {
    whole_minutes(batch.saturating_mul(2).saturating_add(TIME_RESERVE))
}

struct Sources<'a> {
    cluster: &'a Cluster,
    of_stage: &'a Ask,
    wants: &'a Wants<'a>,
}

impl Sources<'_> {
    fn section(&self) -> String {
        format!("[cluster.stages.{}]", self.wants.stage)
    }

    fn threads(&self) -> (usize, String) {
        if let Some(threads) = self.of_stage.threads {
            return (threads, self.section());
        }
        if let Some(threads) = self.wants.resources.threads {
            return (threads, "`resources` of the stage".to_owned());
        }
        self.cluster.defaults.threads.map_or((THREADS, by_default()), |threads| (threads, by_section()))
    }

    fn memory(&self) -> (u64, String) {
        if let Some(bytes) = self.of_stage.memory_bytes {
            return (bytes, self.section());
        }
        if let Some(bytes) = self.wants.resources.memory_bytes {
            return (bytes, "`resources` of the stage".to_owned());
        }
        if let Some(needs) = &self.wants.needs {
            let bytes = memory_for(needs.peak_bytes);
            let source = format!("as earlier runs needed {}", display_size(needs.peak_bytes));
            return limited(bytes, self.cluster.max_memory_bytes, source, "max_memory");
        }
        self.cluster.defaults.memory_bytes.map_or((MEMORY, by_default()), |bytes| (bytes, by_section()))
    }

    fn time(&self) -> (Duration, String) {
        if let Some(time) = self.of_stage.time {
            return (time, self.section());
        }
        let Self { cluster, wants, .. } = self;
        if let Some(timeout) = wants.timeout {
            let members = u32::try_from(wants.members).unwrap_or(u32::MAX);
            // The reserve lets the worker reach its own limit, which says more than that of the job.
            let time = whole_minutes(timeout.saturating_mul(members).saturating_add(TIME_RESERVE));
            let of = if members > 1 { format!(" for each of {members} nodes") } else { String::new() };
            return limited(time, cluster.max_time, format!("`timeout` of the stage{of}"), "max_time");
        }
        if let Some(needs) = &wants.needs {
            // A batch of more members than any before it takes longer in proportion.
            let (members, seen) = (wants.members as u64, needs.members.max(1) as u64);
            let batch_ms = needs.batch_ms.saturating_mul(members.max(seen)).div_ceil(seen);
            let time = time_for(Duration::from_millis(batch_ms));
            let longest = display_duration(Duration::from_millis(needs.batch_ms));
            let more = if members > seen { format!(" for {seen} of {members} nodes") } else { String::new() };
            let source = format!("as earlier runs needed {longest}{more}");
            return limited(time, cluster.max_time, source, "max_time");
        }
        cluster.defaults.time.map_or((TIME, by_default()), |time| (time, by_section()))
    }

    /// Returns the number of GPUs, `0` if somebody wants none.
    fn gpu(&self) -> Option<(String, String)> {
        if let Some(gpu) = &self.of_stage.gpu {
            return Some((gpu.clone(), self.section()));
        }
        match self.wants.resources.gpu {
            Some(share) if share.fract() > 0.0 => {
                Some((share.ceil().to_string(), "`resources` of the stage, as jobs get whole GPUs".to_owned()))
            }
            Some(count) => Some((count.to_string(), "`resources` of the stage".to_owned())),
            None => self.wants.uses_device.then(|| ("1".to_owned(), "as its kind computes on one".to_owned())),
        }
    }
}

fn by_section() -> String {
    "[cluster]".to_owned()
}

fn by_default() -> String {
    "by default".to_owned()
}

/// Bounds a number by a field of `[cluster]`.
fn limited<T: PartialOrd>(wanted: T, most: Option<T>, source: String, field: &str) -> (T, String) {
    match most {
        Some(most) if wanted > most => (most, format!("`{field}` of [cluster], {source}")),
        _ => (wanted, source),
    }
}

fn whole_minutes(time: Duration) -> Duration {
    Duration::from_secs(time.as_millis().div_ceil(60_000).saturating_mul(60).try_into().unwrap_or(u64::MAX))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ClusterKind;

    const MINUTE: Duration = Duration::from_secs(60);
    const GB: u64 = 1_000_000_000;

    fn cluster() -> Cluster {
        Cluster {
            kind: ClusterKind::Slurm,
            partition: None,
            gpu_partition: None,
            account: None,
            qos: None,
            flags: Vec::new(),
            gpu: "--gres=gpu:{gpu}".to_owned(),
            setup: Vec::new(),
            program: None,
            kinds: None,
            max_jobs: None,
            max_array: None,
            defaults: Ask::default(),
            max_time: None,
            max_memory_bytes: None,
            stages: Default::default(),
            pilot: Ask::default(),
        }
    }

    fn needs() -> Needs {
        // The longest of ten batches, each of up to four nodes, took 20 minutes.
        Needs { batches: 10, peak_bytes: 2 * GB, batch_ms: 1_200_000, members: 4, cpu_ms: 1, wall_ms: 1 }
    }

    fn wants(resources: &Resources) -> Wants<'_> {
        Wants { stage: "train", resources, timeout: None, needs: None, members: 4, uses_device: false }
    }

    /// The numbers of a request and their sources: threads, memory in MB, minutes, GPUs.
    fn told(cluster: &Cluster, wants: &Wants<'_>) -> [String; 4] {
        let Request { asked, threads, memory, time, gpu } = ask(cluster, wants);
        [
            format!("{} {threads}", asked.threads),
            format!("{} {memory}", asked.memory_bytes / 1_000_000),
            format!("{} {time}", asked.time().as_secs_f64() / 60.0),
            format!("{} {}", asked.gpu.as_deref().unwrap_or("none"), gpu.as_deref().unwrap_or("unsaid")),
        ]
    }

    #[test]
    fn each_number_comes_from_the_first_source_that_has_it() {
        let nothing = Resources::default();
        let mut cluster = cluster();
        let unknown = told(&cluster, &wants(&nothing));
        assert_eq!(unknown, ["2 by default", "4000 by default", "120 by default", "none unsaid"]);
        cluster.defaults = Ask { time: Some(30 * MINUTE), memory_bytes: Some(8 * GB), threads: Some(4), gpu: None };
        let by_section = told(&cluster, &wants(&nothing));
        assert_eq!(by_section, ["4 [cluster]", "8000 [cluster]", "30 [cluster]", "none unsaid"]);
        // 1.5 × 2 GB + 256 MB = 3.256 GB, and 2 × 20 min + 5 min.
        let earlier = Wants { needs: Some(needs()), uses_device: true, ..wants(&nothing) };
        assert_eq!(
            told(&cluster, &earlier),
            [
                "4 [cluster]",
                "3300 as earlier runs needed 2 GB",
                "45 as earlier runs needed 20m 00s",
                "1 as its kind computes on one"
            ]
        );
        // 4 × 10 min + 5 min.
        let written = Resources { threads: Some(3), memory_bytes: Some(GB), gpu: Some(0.5) };
        let in_spec = Wants { timeout: Some(10 * MINUTE), resources: &written, ..earlier };
        assert_eq!(
            told(&cluster, &in_spec),
            [
                "3 `resources` of the stage",
                "1000 `resources` of the stage",
                "45 `timeout` of the stage for each of 4 nodes",
                "1 `resources` of the stage, as jobs get whole GPUs"
            ]
        );
        let of_stage =
            Ask { time: Some(MINUTE), memory_bytes: Some(5 * GB), threads: Some(9), gpu: Some("a100:2".to_owned()) };
        cluster.stages.insert("train".to_owned(), of_stage);
        let section = "[cluster.stages.train]";
        let expected = ["9", "5000", "1", "a100:2"].map(|number| format!("{number} {section}"));
        assert_eq!(told(&cluster, &in_spec), expected);
    }

    #[test]
    fn nobody_gets_a_gpu_against_their_will() {
        let on_cpu = Resources { gpu: Some(0.0), ..Resources::default() };
        let gpu = |cluster: &Cluster, resources: &Resources| {
            ask(cluster, &Wants { uses_device: true, ..wants(resources) }).asked.gpu
        };
        let mut cluster = cluster();
        assert_eq!(gpu(&cluster, &on_cpu), None);
        assert_eq!(gpu(&cluster, &Resources { gpu: Some(2.0), ..on_cpu }).as_deref(), Some("2"));
        let none = Ask { gpu: Some("0".to_owned()), ..Ask::default() };
        cluster.stages.insert("train".to_owned(), none);
        assert_eq!(gpu(&cluster, &Resources::default()), None);
    }

    #[test]
    fn time_grows_with_a_batch_that_is_larger_than_those_before() {
        let nothing = Resources::default();
        let minutes = |members| {
            let wants = Wants { needs: Some(needs()), members, ..wants(&nothing) };
            told(&cluster(), &wants)[2].clone()
        };
        // A small batch may be the one that took longest.
        assert_eq!(minutes(1), "45 as earlier runs needed 20m 00s");
        // 20 min × 10 / 4 = 50 min; × 2 + 5 min.
        assert_eq!(minutes(10), "105 as earlier runs needed 20m 00s for 4 of 10 nodes");
    }

    #[test]
    fn limits_bound_what_is_learned_and_not_what_is_written() {
        let nothing = Resources::default();
        let mut cluster = cluster();
        (cluster.max_time, cluster.max_memory_bytes) = (Some(30 * MINUTE), Some(3 * GB));
        let learned = told(&cluster, &Wants { needs: Some(needs()), ..wants(&nothing) });
        assert_eq!(learned[1], "3000 `max_memory` of [cluster], as earlier runs needed 2 GB");
        assert_eq!(learned[2], "30 `max_time` of [cluster], as earlier runs needed 20m 00s");
        let written = Resources { memory_bytes: Some(9 * GB), ..nothing };
        assert_eq!(told(&cluster, &wants(&written))[1], "9000 `resources` of the stage");
    }

    #[test]
    fn more_doubles_up_to_the_limit() {
        let asked = Asked { threads: 2, memory_bytes: 3 * GB, time_ms: 1000, gpu: None };
        let mut cluster = cluster();
        assert_eq!((more(&asked, More::Memory, &cluster), more(&asked, More::Time, &cluster)), (None, None));
        (cluster.max_time, cluster.max_memory_bytes) = (Some(Duration::from_secs(4)), Some(8 * GB));
        let next = |asked: &Asked| more(asked, More::Memory, &cluster);
        let twice = next(&asked).expect("6 GB are less than 8 GB");
        assert_eq!(twice, Asked { memory_bytes: 6 * GB, ..asked.clone() });
        let most = next(&twice).expect("8 GB are the limit");
        assert_eq!((most.memory_bytes, next(&most)), (8 * GB, None));
        let longer = more(&asked, More::Time, &cluster).expect("2 s are less than 4 s");
        assert_eq!(longer, Asked { time_ms: 2000, ..asked.clone() });
        let beyond = Asked { memory_bytes: 9 * GB, ..asked };
        assert_eq!(next(&beyond), None);
    }
}
