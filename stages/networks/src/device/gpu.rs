//! GPUs as a program lists them.

use std::fmt;

use super::{cuda, wgpu};
use crate::model::Precision;

/// The part of Burn that reaches a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// NVIDIA's own interface.
    Cuda,
    /// Vulkan, Metal, Direct3D or OpenGL, through the crate of this name.
    Wgpu,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its name in a run, `cuda:0`.
    pub name: String,
    /// Make and model, if they are known without opening it.
    pub model: Option<String>,
    /// The kind of the device.
    pub kind: GpuKind,
    /// The interface to its driver: `CUDA`, `Vulkan`, `Metal`, `Dx12` or `Gl`.
    pub api: String,
    /// Name and version of its driver, if they are known.
    pub driver: Option<String>,
    /// Its address on the PCI bus, `0000:01:00.0`, if it is known without opening it.
    pub pci: Option<String>,
    /// The types of numbers that it computes in, if they are known without opening it.
    pub precisions: Option<Vec<Precision>>,
}

/// The kind of a GPU, from the most to the least useful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GpuKind {
    /// A card with memory of its own.
    Discrete,
    /// A card or a part of one, given to a virtual machine.
    Virtual,
    /// A kind that the driver does not tell.
    Other,
    /// A part of the processor, with the machine's memory.
    Integrated,
    /// A driver that computes on the CPU.
    Software,
}

impl Backend {
    /// All backends, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Cuda, Self::Wgpu];

    /// Returns its name, which is also that of its feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// Returns whether this program was built with it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// Lists its GPUs, in the order of their names; none if the program was built without it. Loads drivers, if there
    /// are any, which takes a fraction of a second.
    pub fn gpus(self) -> Vec<Gpu> {
        match self {
            Self::Cuda => cuda::list(),
            Self::Wgpu => wgpu::list(),
        }
    }

    /// Returns whether it has one of the devices.
    pub(super) fn is_of(self, devices: &[String]) -> bool {
        devices.iter().any(|name| parsed(name).is_some_and(|(backend, _)| backend == self))
    }
}

/// Returns the backend and the place of a GPU; `None` for any other text.
pub(super) fn parsed(name: &str) -> Option<(Backend, usize)> {
    let (backend, index) = name.split_once(':')?;
    let backend = Backend::ALL.into_iter().find(|known| known.name() == backend)?;
    Some((backend, index.parse().ok()?))
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Integrated => "integrated",
            Self::Software => "software",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_backend_and_a_place() {
        assert_eq!(parsed("cuda:0"), Some((Backend::Cuda, 0)));
        assert_eq!(parsed("wgpu:12"), Some((Backend::Wgpu, 12)));
        for text in ["cpu", "cuda", "cuda:", "wgpu:x", "rocm:0", ""] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_backend_that_was_not_built_has_no_gpus() {
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_built()) {
            assert_eq!(backend.gpus(), []);
        }
    }
}
