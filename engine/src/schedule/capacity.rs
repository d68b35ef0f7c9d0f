//! The resources of a run: CPU threads, memory and devices.

use crate::resources::{Resources, display_size};

/// The resources of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// CPU threads, at least 1 (`--jobs`).
    pub(crate) threads: usize,
    /// Cores of this machine. A node that asks for no threads gets at most as many, as more would compute nothing
    /// faster.
    pub(crate) cores: usize,
    /// Memory in bytes; unbounded if unknown.
    pub(crate) memory_bytes: Option<u64>,
    /// Names of the devices beside the CPU, for example `cuda:0`.
    pub(crate) devices: Vec<String>,
}

/// The reason why a node could never run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResourceError {
    #[error("{} of memory are asked for, and this machine has {}", display_size(*asked), display_size(*available))]
    Memory { asked: u64, available: u64 },
    #[error("{asked} devices are asked for, and a stage of this kind computes on one")]
    OneDevice { asked: usize },
    #[error("{asked} devices are asked for, and this run has {available}")]
    Devices { asked: usize, available: usize },
}

impl Capacity {
    /// Returns the given devices with all cores of this machine, or with the number of threads that `--jobs` sets.
    ///
    /// Memory is measured only if a stage asks for some.
    pub(crate) fn of_machine(jobs: Option<usize>, devices: Vec<String>, asks_for_memory: bool) -> Self {
        let cores = cores();
        let memory_bytes = if asks_for_memory { machine_memory() } else { None };
        Self { threads: jobs.unwrap_or(cores).max(1), cores, memory_bytes, devices }
    }

    /// Bounds the threads by their possible use: one per core, or the number that all workers ask for, at least one
    /// each, as they may only wait. `asked` is called only if there are more threads than cores.
    pub(crate) fn bounded(mut self, asked: impl FnOnce() -> usize) -> Self {
        if self.threads > self.cores {
            self.threads = self.threads.min(self.cores.max(asked()));
        }
        self
    }

    /// Returns the resources of a stage, with the default share of a device filled in, if its nodes can ever run.
    ///
    /// A stage that [uses a device](crate::stage::Facts::device) takes a whole one by default. Without any device it
    /// computes on the CPU, whatever share it asks for, so that one spec serves machines with and without. Threads
    /// are no reason to refuse: a node gets as many as there are.
    pub(crate) fn resolve(&self, resources: &Resources, uses_device: bool) -> Result<Resources, ResourceError> {
        let gpu = match resources.gpu {
            Some(asked) if uses_device && asked > 1.0 => {
                return Err(ResourceError::OneDevice { asked: asked as usize });
            }
            _ if uses_device && self.devices.is_empty() => 0.0,
            asked => asked.unwrap_or(if uses_device { 1.0 } else { 0.0 }),
        };
        let (asked, available) = (resources.memory_bytes.unwrap_or(0), self.memory_bytes.unwrap_or(u64::MAX));
        if asked > available {
            return Err(ResourceError::Memory { asked, available });
        }
        let (asked, available) = (gpu.ceil() as usize, self.devices.len());
        if asked > available {
            return Err(ResourceError::Devices { asked, available });
        }
        Ok(Resources { gpu: Some(gpu), ..*resources })
    }
}

/// Returns the number of cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the physical memory, or the limit of the control group if that is less.
pub fn machine_memory() -> Option<u64> {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    [total, limit].into_iter().flatten().min()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::schedule) fn capacity(threads: usize, memory_bytes: u64, devices: usize) -> Capacity {
        let devices = (0..devices).map(|index| format!("cuda:{index}")).collect();
        Capacity { threads, cores: threads, memory_bytes: Some(memory_bytes), devices }
    }

    pub(in crate::schedule) fn gpu(gpu: f64) -> Resources {
        Resources { gpu: Some(gpu), ..Resources::default() }
    }

    #[test]
    fn node_that_could_never_run_is_refused_and_threads_are_no_reason() {
        let capacity = capacity(2, 4_000_000_000, 1);
        let refused =
            |resources: &Resources| capacity.resolve(resources, false).map_err(|error| error.to_string()).err();
        let memory = Resources { memory_bytes: Some(5_000_000_000), ..Resources::default() };
        assert_eq!(refused(&memory), Some("5 GB of memory are asked for, and this machine has 4 GB".to_owned()));
        assert_eq!(refused(&gpu(2.0)), Some("2 devices are asked for, and this run has 1".to_owned()));
        assert_eq!(refused(&gpu(0.5)), None);
        assert_eq!(refused(&Resources { threads: Some(64), ..Resources::default() }), None);
    }

    #[test]
    fn stage_that_uses_a_device_takes_a_whole_one_by_default() {
        let two = capacity(4, 0, 2);
        let asked = |gpu: Option<f64>, uses_device| {
            let resolved = two.resolve(&Resources { gpu, ..Resources::default() }, uses_device);
            resolved.map(|resources| resources.gpu).map_err(|error| error.to_string())
        };
        assert_eq!(asked(None, true), Ok(Some(1.0)));
        assert_eq!(asked(None, false), Ok(Some(0.0)), "others ask for it");
        assert_eq!(asked(Some(0.5), true), Ok(Some(0.5)));
        assert_eq!(asked(Some(0.0), true), Ok(Some(0.0)), "kept on the CPU");
        assert_eq!(asked(Some(2.0), false), Ok(Some(2.0)));
        let several = "2 devices are asked for, and a stage of this kind computes on one";
        assert_eq!(asked(Some(2.0), true), Err(several.to_owned()));
    }

    #[test]
    fn without_devices_a_stage_that_uses_one_computes_on_the_cpu_and_others_are_refused() {
        let none = capacity(4, 0, 0);
        for gpu in [None, Some(0.5), Some(1.0)] {
            let resources = none.resolve(&Resources { gpu, ..Resources::default() }, true);
            assert_eq!(resources.map(|resources| resources.gpu), Ok(Some(0.0)));
        }
        assert_eq!(none.resolve(&gpu(1.0), false), Err(ResourceError::Devices { asked: 1, available: 0 }));
    }

    #[test]
    fn machine_has_threads_and_jobs_bounds_them() {
        assert!(Capacity::of_machine(None, vec![], false).threads >= 1);
        assert_eq!(Capacity::of_machine(Some(3), vec![], false).threads, 3);
    }

    #[test]
    fn threads_are_bounded_by_cores_and_workers() {
        let bounded = |threads: usize, cores: usize, workers: usize| {
            Capacity { cores, ..capacity(threads, 0, 0) }.bounded(|| workers).threads
        };
        assert_eq!(bounded(4000, 2, 1), 2, "one node");
        assert_eq!(bounded(16, 2, 16), 16, "sixteen commands that only wait");
        assert_eq!(bounded(4000, 2, 100), 100);
        assert_eq!(bounded(3, 8, 100), 3, "fewer were asked for");
    }

    #[test]
    fn memory_of_the_machine_bounds_stages_that_ask_for_some() {
        let asks = Resources { memory_bytes: Some(u64::MAX - 1), ..Resources::default() };
        let capacity = Capacity::of_machine(None, vec![], true);
        let is_known = capacity.memory_bytes.is_some();
        assert_eq!(capacity.resolve(&asks, false).is_err(), is_known, "{capacity:?}");
        assert_eq!(is_known, std::path::Path::new("/proc/meminfo").exists());
    }
}
