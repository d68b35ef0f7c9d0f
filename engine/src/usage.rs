//! The CPU time and memory of batches: used, asked for, and needed by earlier runs.
//!
//! A worker measures itself with its children, and says so before its results. None of it is in a key.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage as Rusage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// The use of a batch by its worker process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of the worker and of its children.
    pub cpu_ms: u64,
    /// Peak memory of the worker or of its largest child, in bytes.
    pub peak_bytes: u64,
    /// Duration.
    pub wall_ms: u64,
}

/// The request for a batch to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// CPU threads.
    pub threads: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The time limit in milliseconds.
    pub time_ms: u64,
    /// GPUs as the scheduler names them, such as `1` or `a100:2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

/// The greatest needs of a stage in some runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Needs {
    /// The number of batches.
    pub batches: u64,
    /// Peak memory in bytes.
    pub peak_bytes: u64,
    /// Duration of the longest batch.
    pub batch_ms: u64,
    /// The most nodes of a batch.
    pub members: usize,
    /// CPU time of all batches.
    pub cpu_ms: u64,
    /// Duration of all batches.
    pub wall_ms: u64,
}

impl Usage {
    /// Measures this process and the children that it has waited for.
    pub(crate) fn of_this_process(since: Instant) -> Self {
        let [own, children] = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| getrusage(who).ok());
        let cpu_ms = |used: &Rusage| ms(used.user_time()).saturating_add(ms(used.system_time()));
        let peak_bytes = |used: &Rusage| {
            let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
            u64::try_from(used.max_rss()).unwrap_or(0).saturating_mul(unit)
        };
        let both = || own.iter().chain(&children);
        // The kernel's count for a process begins with the memory of its parent, here the engine.
        let own_peak = peak_in_proc().or(own.as_ref().map(peak_bytes)).unwrap_or(0);
        Self {
            cpu_ms: both().map(cpu_ms).fold(0, u64::saturating_add),
            peak_bytes: children.as_ref().map_or(0, peak_bytes).max(own_peak),
            wall_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Returns the mean number of CPUs in use.
    pub fn cores(&self) -> f64 {
        ratio(self.cpu_ms, self.wall_ms)
    }
}

impl Asked {
    /// Takes the greater of both in each number.
    pub fn greatest(self, other: &Self) -> Self {
        let gpu = if other.gpus() > self.gpus() { other.gpu.clone() } else { self.gpu };
        Self {
            threads: self.threads.max(other.threads),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            time_ms: self.time_ms.max(other.time_ms),
            gpu,
        }
    }

    /// Returns the time limit.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms)
    }

    /// Returns the number of GPUs; 1 if the request names no number, as in `a100`.
    pub fn gpus(&self) -> u64 {
        let number = |gpu: &String| gpu.rsplit(':').next().and_then(|last| last.parse().ok());
        self.gpu.as_ref().map_or(0, |gpu| number(gpu).unwrap_or(1))
    }
}

impl Needs {
    /// Adds a batch.
    pub fn add(&mut self, members: usize, used: &Usage) {
        let Usage { cpu_ms, peak_bytes, wall_ms } = *used;
        self.join(&Self { batches: 1, peak_bytes, batch_ms: wall_ms, members, cpu_ms, wall_ms });
    }

    /// Adds the needs in other runs.
    pub(crate) fn join(&mut self, other: &Self) {
        self.batches = self.batches.saturating_add(other.batches);
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.batch_ms = self.batch_ms.max(other.batch_ms);
        self.members = self.members.max(other.members);
        self.cpu_ms = self.cpu_ms.saturating_add(other.cpu_ms);
        self.wall_ms = self.wall_ms.saturating_add(other.wall_ms);
    }

    /// Returns the mean number of CPUs in use.
    pub fn cores(&self) -> f64 {
        ratio(self.cpu_ms, self.wall_ms)
    }
}

/// Returns a quotient; 0 if nothing took any time.
fn ratio(cpu_ms: u64, wall_ms: u64) -> f64 {
    if wall_ms == 0 { 0.0 } else { cpu_ms as f64 / wall_ms as f64 }
}

fn ms(time: TimeVal) -> u64 {
    let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
    u64::try_from(micros / 1000).unwrap_or(0)
}

/// Returns the peak memory of this process since it became this program; `None` on systems without `/proc`.
fn peak_in_proc() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_measures_its_memory_and_the_time_of_its_children() {
        let since = Instant::now();
        let before = Usage::of_this_process(since);
        assert!(before.peak_bytes > 1 << 20, "{before:?}");
        let memory = std::hint::black_box(vec![1_u8; 200 << 20]);
        let spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let ended = std::process::Command::new("sh").args(["-c", spin]).status().expect("there is a shell");
        let after = Usage::of_this_process(since);
        assert!(ended.success() && memory.len() == 200 << 20);
        assert!(after.peak_bytes >= 200 << 20, "{after:?}");
        assert!(after.cpu_ms >= before.cpu_ms + 10, "{before:?} {after:?}");
    }

    #[test]
    fn needs_of_batches_are_the_greatest() {
        let mut needs = Needs::default();
        needs.add(2, &Usage { cpu_ms: 4000, peak_bytes: 7, wall_ms: 1000 });
        needs.add(1, &Usage { cpu_ms: 2000, peak_bytes: 9, wall_ms: 2000 });
        let all = Needs { batches: 2, peak_bytes: 9, batch_ms: 2000, members: 2, cpu_ms: 6000, wall_ms: 3000 };
        assert_eq!(needs, all);
        assert_eq!((needs.cores(), Needs::default().cores()), (2.0, 0.0));
    }

    #[test]
    fn gpus_are_the_last_number_of_a_request() {
        let asked = |gpu: Option<&str>| Asked { threads: 1, memory_bytes: 1, time_ms: 1, gpu: gpu.map(str::to_owned) };
        for (gpu, count) in [(None, 0), (Some("2"), 2), (Some("a100:3"), 3), (Some("a100"), 1)] {
            assert_eq!(asked(gpu).gpus(), count, "{gpu:?}");
        }
    }
}
