//! The free resources of a run.
//!
//! A device is shared out in thousandths. A fraction goes to the fullest device that still has room, so that whole
//! devices stay free; a whole number takes unused devices.

use super::batch::Grant;
use super::capacity::Capacity;
use super::demand::Class;
use crate::stage::Weight;

/// One whole device, in thousandths.
const WHOLE: u32 = 1000;

/// The needs of a class, in the units of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) is_heavy: bool,
    /// `None` for a share of the free threads, divided among the nodes that could run.
    pub(super) threads: Option<usize>,
    memory_bytes: u64,
    devices: Share,
}

/// A share of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    None,
    /// Thousandths of one device, below 1000.
    Fraction(u32),
    /// A number of whole devices, at least one.
    Whole(usize),
}

impl Need {
    pub(super) fn new(Class { resources, weight }: &Class, capacity: &Capacity) -> Self {
        let is_heavy = *weight == Weight::Heavy;
        let default = if is_heavy { None } else { Some(1) };
        let gpu = resources.gpu.unwrap_or(0.0);
        let devices = if gpu <= 0.0 {
            Share::None
        } else if gpu < 1.0 {
            Share::Fraction(((gpu * f64::from(WHOLE)).round() as u32).clamp(1, WHOLE - 1))
        } else {
            Share::Whole(gpu as usize)
        };
        Self {
            is_heavy,
            threads: resources.threads.or(default).map(|threads| threads.min(capacity.threads)),
            memory_bytes: resources.memory_bytes.unwrap_or(0),
            devices,
        }
    }

    /// Returns whether it needs a thread of this machine.
    pub(super) fn uses_threads(&self) -> bool {
        self.threads != Some(0)
    }

    /// Returns whether it needs a resource of a marked kind.
    pub(super) fn uses(&self, marked: Lack) -> bool {
        (marked.threads && self.uses_threads())
            || (marked.memory && self.memory_bytes > 0)
            || (marked.devices && self.devices != Share::None)
    }
}

/// Kinds of resources that are short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lack {
    threads: bool,
    memory: bool,
    devices: bool,
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

/// The free part of a capacity.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    capacity: Capacity,
    threads: usize,
    memory_bytes: u64,
    /// Free thousandths of each device.
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

    /// Adds devices to a pool that had none.
    pub(super) fn equip(&mut self, devices: Vec<String>) {
        debug_assert!(self.devices.is_empty(), "BUG: devices are found once");
        self.devices = vec![WHOLE; devices.len()];
        self.capacity.devices = devices;
    }

    pub(super) fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    pub(super) fn free_threads(&self) -> usize {
        self.threads
    }

    /// Returns the resources that keep a node from starting now.
    pub(super) fn lack(&self, need: &Need) -> Lack {
        Lack {
            threads: self.threads < need.threads.unwrap_or(1),
            memory: self.memory_bytes < need.memory_bytes,
            devices: self.device_room(need.devices) == 0,
        }
    }

    /// Returns how many such nodes fit in the free memory and devices at once.
    pub(super) fn room(&self, need: &Need) -> usize {
        let memory = self.memory_bytes.checked_div(need.memory_bytes).map_or(usize::MAX, |times| times as usize);
        memory.min(self.device_room(need.devices))
    }

    fn device_room(&self, share: Share) -> usize {
        match share {
            Share::None => usize::MAX,
            Share::Fraction(part) => self.devices.iter().map(|free| (free / part) as usize).sum(),
            Share::Whole(count) => self.devices.iter().filter(|free| **free == WHOLE).count() / count,
        }
    }

    /// Takes the resources of a node, with that many threads; none of them may be short.
    pub(super) fn acquire(&mut self, need: &Need, threads: usize) -> Grant {
        debug_assert!(!self.lack(need).any() && threads <= self.threads);
        let devices: Vec<_> = match need.devices {
            Share::None => Vec::new(),
            Share::Fraction(part) => {
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
    use crate::resources::Resources;
    use crate::schedule::capacity::tests::{capacity, gpu};
    use crate::stage::Weight;

    fn need(resources: &Resources, pool: &Pool) -> Need {
        Need::new(&Class { resources: *resources, weight: Weight::Heavy }, pool.capacity())
    }

    fn devices(pool: &mut Pool, share: f64) -> Option<Vec<usize>> {
        let need = need(&gpu(share), pool);
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
    fn whole_devices_are_unused_ones() {
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
        let need = need(&resources, &pool);
        let grant = pool.acquire(&need, 3);
        assert_eq!(pool.lack(&need), Lack { threads: true, memory: true, devices: true });
        pool.release(&grant);
        assert_eq!(pool.lack(&need), Lack::default());
        assert_eq!(pool.room(&need), 1);
    }

    #[test]
    fn threads_are_capped() {
        let class = Class { resources: Resources { threads: Some(64), ..Resources::default() }, weight: Weight::Light };
        assert_eq!(Need::new(&class, &capacity(2, 0, 0)).threads, Some(2));
    }
}
