//! What a run may use at once: CPU threads, memory, and devices by index.
//!
//! A device is shared out in thousandths. A fraction goes to the fullest device that still has room, so that whole
//! devices stay free; a whole number takes devices that nobody uses.

use crate::resources::{Resources, display_size};

/// One whole device, in thousandths.
const WHOLE: u32 = 1000;

/// What a run may use at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// CPU threads, at least 1 (`--jobs`).
    pub threads: usize,
    /// Cores of this machine: a node that asks for no threads gets at most as many, as more compute nothing faster.
    pub cores: usize,
    /// Memory in bytes; unbounded where it is not known.
    pub memory_bytes: Option<u64>,
    /// Names of the devices beside the CPU, for example `cuda:0`.
    pub devices: Vec<String>,
}

/// Why a node could never run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// More memory than there is.
    #[error("{} of memory are asked for, and this machine has {}", display_size(*asked), display_size(*available))]
    Memory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes there are.
        available: u64,
    },
    /// Several devices for a stage that computes on one.
    #[error("{asked} devices are asked for, and a stage of this kind computes on one")]
    OneDevice {
        /// Whole devices asked for.
        asked: usize,
    },
    /// More devices than there are.
    #[error("{asked} devices are asked for, and this run has {available}")]
    Devices {
        /// Whole devices asked for.
        asked: usize,
        /// Devices there are.
        available: usize,
    },
}

impl Capacity {
    /// All that this machine has, or as many threads as asked for, with the given devices; memory is looked at only where a
    /// stage asks for some.
    pub fn of_machine(jobs: Option<usize>, devices: Vec<String>, asks_for_memory: bool) -> Self {
        let cores = cores();
        let memory_bytes = if asks_for_memory { machine_memory() } else { None };
        Self { threads: jobs.unwrap_or(cores).max(1), cores, memory_bytes, devices }
    }

    /// Bounds the threads by what a run can use: one a core, or what all its workers ask for, each at least one, as they may only
    /// wait. `asked` is called only where more threads than cores are asked for.
    pub fn bounded(mut self, asked: impl FnOnce() -> usize) -> Self {
        if self.threads > self.cores {
            self.threads = self.threads.min(self.cores.max(asked()));
        }
        self
    }

    /// What a stage asks for, with the share of a device that it gets where it says nothing.
    ///
    /// A stage that [uses a device](crate::stage::Facts::device) takes a whole one where there is one. Without any it
    /// computes on the CPU, whatever share it asks for, so that one spec serves machines with and without.
    pub fn resolve(&self, resources: &Resources, uses_device: bool) -> Result<Resources, ResourceError> {
        let gpu = match resources.gpu {
            Some(asked) if uses_device && asked > 1.0 => {
                return Err(ResourceError::OneDevice { asked: asked as usize });
            }
            _ if uses_device && self.devices.is_empty() => 0.0,
            asked => asked.unwrap_or(if uses_device { 1.0 } else { 0.0 }),
        };
        Ok(Resources { gpu: Some(gpu), ..*resources })
    }

    /// Whether a node could run alone. Threads are no matter: where there are fewer than asked for, it gets those.
    pub fn check(&self, resources: &Resources) -> Result<(), ResourceError> {
        match (resources.memory_bytes, self.memory_bytes) {
            (Some(asked), Some(available)) if asked > available => {
                return Err(ResourceError::Memory { asked, available });
            }
            _ => {}
        }
        let asked = resources.gpu.unwrap_or(0.0).ceil() as usize;
        if asked > self.devices.len() {
            return Err(ResourceError::Devices { asked, available: self.devices.len() });
        }
        Ok(())
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Physical memory, or the limit of the control group if that is less.
fn machine_memory() -> Option<u64> {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    match (total, limit) {
        (Some(total), Some(limit)) => Some(total.min(limit)),
        (one, other) => one.or(other),
    }
}

/// What a kind of node needs, in the units of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// None shares what is free among the nodes that could run.
    pub(super) threads: Option<usize>,
    pub(super) memory_bytes: u64,
    pub(super) devices: Share,
}

/// A part of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// None of them.
    None,
    /// Thousandths of one, below 1000.
    Part(u32),
    /// Whole ones, at least one.
    Whole(usize),
}

impl Need {
    pub(super) fn new(resources: &Resources, heavy: bool, capacity: &Capacity) -> Self {
        let auto = if heavy { None } else { Some(1) };
        let gpu = resources.gpu.unwrap_or(0.0);
        let devices = if gpu <= 0.0 {
            Share::None
        } else if gpu < 1.0 {
            Share::Part(((gpu * f64::from(WHOLE)).round() as u32).clamp(1, WHOLE - 1))
        } else {
            Share::Whole(gpu as usize)
        };
        Self {
            threads: resources.threads.or(auto).map(|threads| threads.clamp(1, capacity.threads)),
            memory_bytes: resources.memory_bytes.unwrap_or(0),
            devices,
        }
    }

    /// Whether it needs any of what is marked.
    pub(super) fn uses(&self, marked: Lack) -> bool {
        marked.threads || (marked.memory && self.memory_bytes > 0) || (marked.devices && self.devices != Share::None)
    }
}

/// Kinds of resources of which there is not enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) threads: bool,
    pub(super) memory: bool,
    pub(super) devices: bool,
}

impl Lack {
    pub(super) fn any(self) -> bool {
        self.threads || self.memory || self.devices
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            threads: self.threads || other.threads,
            memory: self.memory || other.memory,
            devices: self.devices || other.devices,
        }
    }
}

/// What a batch may use until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// CPU threads, at least 1.
    pub threads: usize,
    /// Memory in bytes; 0 where none was asked for.
    pub memory_bytes: u64,
    /// Indices of devices with the share of each in thousandths.
    pub devices: Vec<(usize, u32)>,
}

/// What is free of a capacity.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    capacity: Capacity,
    threads: usize,
    memory_bytes: u64,
    /// Thousandths that are free of each device.
    devices: Vec<u32>,
}

impl Pool {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            threads: capacity.threads,
            memory_bytes: capacity.memory_bytes.unwrap_or(u64::MAX),
            devices: vec![WHOLE; capacity.devices.len()],
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    pub(super) fn free_threads(&self) -> usize {
        self.threads
    }

    /// What keeps a node from starting now.
    pub(super) fn lack(&self, need: &Need) -> Lack {
        Lack {
            threads: self.threads < need.threads.unwrap_or(1),
            memory: self.memory_bytes < need.memory_bytes,
            devices: self.device_room(need.devices) == 0,
        }
    }

    /// How many such nodes the free memory and devices could take beside each other.
    pub(super) fn room(&self, need: &Need) -> usize {
        let memory = self.memory_bytes.checked_div(need.memory_bytes).map_or(usize::MAX, |times| times as usize);
        memory.min(self.device_room(need.devices))
    }

    fn device_room(&self, share: Share) -> usize {
        match share {
            Share::None => usize::MAX,
            Share::Part(part) => self.devices.iter().map(|free| (free / part) as usize).sum(),
            Share::Whole(count) => self.devices.iter().filter(|free| **free == WHOLE).count() / count,
        }
    }

    /// Takes what a node needs, with that many threads; nothing of it may lack.
    pub(super) fn acquire(&mut self, need: &Need, threads: usize) -> Grant {
        debug_assert!(!self.lack(need).any() && (1..=self.threads).contains(&threads));
        let devices: Vec<_> = match need.devices {
            Share::None => Vec::new(),
            Share::Part(part) => {
                let fitting = (0..self.devices.len()).filter(|index| self.devices[*index] >= part);
                fitting.min_by_key(|index| self.devices[*index]).map(|index| (index, part)).into_iter().collect()
            }
            Share::Whole(count) => {
                let unused = (0..self.devices.len()).filter(|index| self.devices[*index] == WHOLE);
                unused.take(count).map(|index| (index, WHOLE)).collect()
            }
        };
        for (index, share) in &devices {
            self.devices[*index] -= share;
        }
        self.threads -= threads;
        self.memory_bytes -= need.memory_bytes;
        Grant { threads, memory_bytes: need.memory_bytes, devices }
    }

    pub(super) fn release(&mut self, grant: &Grant) {
        self.threads += grant.threads;
        self.memory_bytes += grant.memory_bytes;
        for (index, share) in &grant.devices {
            self.devices[*index] += share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(threads: usize, memory_bytes: u64, devices: usize) -> Capacity {
        let devices = (0..devices).map(|index| format!("cuda:{index}")).collect();
        Capacity { threads, cores: threads, memory_bytes: Some(memory_bytes), devices }
    }

    fn gpu(gpu: f64) -> Resources {
        Resources { gpu: Some(gpu), ..Resources::default() }
    }

    fn devices(pool: &mut Pool, share: f64) -> Option<Vec<usize>> {
        let need = Need::new(&gpu(share), true, pool.capacity());
        if pool.lack(&need).any() {
            return None;
        }
        Some(pool.acquire(&need, 1).devices.into_iter().map(|(index, _)| index).collect())
    }

    #[test]
    fn halves_fill_one_device_before_the_next() {
        let mut pool = Pool::new(capacity(9, 0, 2));
        let given: Vec<_> = (0..5).map(|_| devices(&mut pool, 0.5)).collect();
        assert_eq!(given, [Some(vec![0]), Some(vec![0]), Some(vec![1]), Some(vec![1]), None]);
    }

    #[test]
    fn whole_devices_are_those_that_nobody_uses() {
        let mut pool = Pool::new(capacity(9, 0, 3));
        assert_eq!(devices(&mut pool, 0.25), Some(vec![0]));
        assert_eq!(devices(&mut pool, 3.0), None);
        assert_eq!(devices(&mut pool, 2.0), Some(vec![1, 2]));
        assert_eq!(devices(&mut pool, 1.0), None);
        assert_eq!(devices(&mut pool, 0.75), Some(vec![0]));
    }

    #[test]
    fn thirds_fit_three_times() {
        let mut pool = Pool::new(capacity(9, 0, 1));
        let given: Vec<_> = (0..4).map(|_| devices(&mut pool, 1.0 / 3.0).is_some()).collect();
        assert_eq!(given, [true, true, true, false]);
    }

    #[test]
    fn release_gives_back_what_was_taken() {
        let mut pool = Pool::new(capacity(4, 100, 1));
        let resources = Resources { threads: Some(3), memory_bytes: Some(80), gpu: Some(1.0) };
        let need = Need::new(&resources, true, pool.capacity());
        let grant = pool.acquire(&need, 3);
        assert_eq!(pool.lack(&need), Lack { threads: true, memory: true, devices: true });
        pool.release(&grant);
        assert_eq!(pool.lack(&need), Lack::default());
        assert_eq!(pool.room(&need), 1);
    }

    #[test]
    fn node_that_could_never_run_is_refused_and_threads_are_capped() {
        let capacity = capacity(2, 4_000_000_000, 1);
        let memory = Resources { memory_bytes: Some(5_000_000_000), ..Resources::default() };
        let message = capacity.check(&memory).map_err(|error| error.to_string());
        assert_eq!(message, Err("5 GB of memory are asked for, and this machine has 4 GB".to_owned()));
        let message = capacity.check(&gpu(2.0)).map_err(|error| error.to_string());
        assert_eq!(message, Err("2 devices are asked for, and this run has 1".to_owned()));
        assert_eq!(capacity.check(&gpu(0.5)), Ok(()));
        let threads = Resources { threads: Some(64), ..Resources::default() };
        assert_eq!(capacity.check(&threads), Ok(()));
        assert_eq!(Need::new(&threads, false, &capacity).threads, Some(2));
    }

    #[test]
    fn stage_that_uses_a_device_takes_a_whole_one_where_it_says_nothing() {
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
            assert_eq!(resources.as_ref().map(|resources| resources.gpu), Ok(Some(0.0)));
            assert_eq!(none.check(&resources.expect("it is resolved")), Ok(()));
        }
        let command = none.resolve(&gpu(1.0), false).expect("it is resolved");
        assert_eq!(none.check(&command), Err(ResourceError::Devices { asked: 1, available: 0 }));
    }

    #[test]
    fn machine_has_threads_and_jobs_bounds_them() {
        assert!(Capacity::of_machine(None, vec![], false).threads >= 1);
        assert_eq!(Capacity::of_machine(Some(3), vec![], false).threads, 3);
    }

    #[test]
    fn no_more_threads_than_cores_or_workers_can_use() {
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
        let asks = Resources { memory_bytes: Some(u64::MAX), ..Resources::default() };
        let capacity = Capacity::of_machine(None, vec![], true);
        let is_known = capacity.memory_bytes.is_some();
        assert_eq!(capacity.check(&asks).is_err(), is_known, "{capacity:?}");
        assert_eq!(is_known, std::path::Path::new("/proc/meminfo").exists());
    }
}
