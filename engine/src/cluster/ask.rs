//! The resources that a batch asks for.

use std::time::Duration;

use crate::resources::Resources;
use crate::spec::Cluster;
use crate::usage::Asked;

/// The resource that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Memory.
    Memory,
    /// Time.
    Time,
}

/// A batch that is to ask.
pub struct Wants<'a> {
    /// Name of its stage.
    pub stage: &'a str,
    /// The resources of the stage in the spec.
    pub resources: &'a Resources,
    /// The time limit of one member.
    pub timeout: Option<Duration>,
    /// The number of members.
    pub members: usize,
    /// True if it computes on a GPU where there is one.
    pub uses_device: bool,
}

/// The request, before it is explained.
pub struct Request {
    /// The resources.
    pub asked: Asked,
}

/// Returns what a batch asks for.
pub fn ask(cluster: &Cluster, wants: &Wants<'_>) -> Request {
    let of_stage = cluster.stages.get(wants.stage).cloned().unwrap_or_default();
    let threads = of_stage.threads.or(wants.resources.threads).or(cluster.defaults.threads).unwrap_or(2);
    let memory = of_stage.memory_bytes.or(wants.resources.memory_bytes).or(cluster.defaults.memory_bytes);
    let time = of_stage.time.or(cluster.defaults.time).unwrap_or(Duration::from_secs(7200));
    let gpu = of_stage.gpu.or(wants.resources.gpu.filter(|gpu| *gpu > 0.0).map(|gpu| gpu.ceil().to_string()));
    Request {
        asked: Asked {
            threads,
            memory_bytes: memory.unwrap_or(4 << 30),
            time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            gpu,
        },
    }
}

/// Returns twice as much of a resource, up to the limit.
pub fn more(asked: &Asked, why: More, cluster: &Cluster) -> Option<Asked> {
    let mut asked = asked.clone();
    match why {
        More::Memory => {
            let most = cluster.max_memory_bytes.unwrap_or(asked.memory_bytes);
            let next = (asked.memory_bytes * 2).min(most);
            (next > asked.memory_bytes).then(|| asked.memory_bytes = next)?;
        }
        More::Time => {
            let most = cluster.max_time.map_or(asked.time_ms, |time| time.as_millis() as u64);
            let next = (asked.time_ms * 2).min(most);
            (next > asked.time_ms).then(|| asked.time_ms = next)?;
        }
    }
    Some(asked)
}
