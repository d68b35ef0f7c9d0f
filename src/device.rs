//! `--device`: the devices of a run.

use std::fmt;
use std::str::FromStr;

use orchestrate_engine::run::Devices;
use orchestrate_networks::device::{Backend, GPU_SUPPORT, Gpu, GpuKind};

use crate::outcome::UsageError;
use crate::terminal;

/// The value of `--device`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// All GPUs, or the CPU if there are none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// These GPUs.
    Gpus(Vec<Wanted>),
}

/// A part of the value: all GPUs of a backend, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    backend: Backend,
    index: Option<usize>,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let wanted: Option<Vec<Wanted>> = text.split(',').map(wanted).collect();
        let form = "use auto, cpu, cuda, wgpu, or GPUs such as cuda:1 or wgpu:0,wgpu:1";
        wanted.map(Self::Gpus).ok_or_else(|| form.to_owned())
    }
}

fn wanted(text: &str) -> Option<Wanted> {
    let (name, index) = match text.split_once(':') {
        Some((name, index)) => (name, Some(index.parse().ok()?)),
        None => (text, None),
    };
    let backend = Backend::ALL.into_iter().find(|backend| backend.name() == name)?;
    Some(Wanted { backend, index })
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}:{index}", self.backend),
            None => write!(f, "{}", self.backend),
        }
    }
}

impl DeviceChoice {
    /// Returns the devices of a run. Loads the drivers of GPUs that are named; those of other choices are loaded once a
    /// node needs them. Errors: a GPU that is not there.
    pub(crate) fn find(&self) -> Result<Devices, UsageError> {
        match self {
            Self::Auto if GPU_SUPPORT => Ok(Devices::Found(|| automatic(Backend::gpus))),
            Self::Auto | Self::Cpu => Ok(Devices::Given(Vec::new())),
            Self::Gpus(wanted) => {
                let found = named(wanted, Backend::is_built, Backend::gpus)?;
                for gpu in found.iter().filter(|gpu| gpu.kind == GpuKind::Software) {
                    let model = gpu.model.as_deref().unwrap_or("its driver");
                    terminal::complain(&format!(
                        "warning: {} is no GPU: {model} computes on the CPU, and is slower than --device cpu\n",
                        gpu.name
                    ));
                }
                Ok(Devices::Given(found.into_iter().map(|gpu| gpu.name).collect()))
            }
        }
    }
}

/// Returns the names of the GPUs that `--device auto` takes: the best of the first backend that has any.
pub(crate) fn automatic(gpus: impl Fn(Backend) -> Vec<Gpu>) -> Vec<String> {
    let best = Backend::ALL.into_iter().map(|backend| best(gpus(backend))).find(|best| !best.is_empty());
    best.unwrap_or_default().into_iter().map(|gpu| gpu.name).collect()
}

/// Returns the GPUs of the best kind that is there: a slow one beside a fast one would only make the last nodes late.
/// A driver in software is none.
fn best(gpus: Vec<Gpu>) -> Vec<Gpu> {
    let kind = gpus.iter().map(|gpu| gpu.kind).filter(|kind| *kind != GpuKind::Software).min();
    gpus.into_iter().filter(|gpu| Some(gpu.kind) == kind).collect()
}

fn named(
    wanted: &[Wanted],
    is_built: impl Fn(Backend) -> bool,
    gpus: impl Fn(Backend) -> Vec<Gpu>,
) -> Result<Vec<Gpu>, UsageError> {
    let mut found: Vec<Gpu> = Vec::new();
    for one in wanted {
        let backend = one.backend;
        let option = format!("--device {one}");
        if !is_built(backend) {
            let built: Vec<_> = Backend::ALL.into_iter().filter(|other| is_built(*other)).map(Backend::name).collect();
            let built = if built.is_empty() { "cpu".to_owned() } else { format!("{} or cpu", built.join(", ")) };
            return Err(UsageError(format!(
                "{option}: this program was built without GPU support through {backend}\n\
                 help: build it with `cargo build --release --features {backend}`, or use --device {built}"
            )));
        }
        let all = gpus(backend);
        if all.is_empty() {
            let see = match backend {
                Backend::Cuda => "see whether `nvidia-smi` lists one",
                Backend::Wgpu => "install its driver for Vulkan (`vulkaninfo --summary` lists what is there)",
            };
            return Err(UsageError(format!(
                "{option}: this machine has no GPU that {backend} can use\nhelp: {see}, or use --device cpu"
            )));
        }
        let names = all.iter().map(|gpu| gpu.name.clone()).collect::<Vec<_>>().join(", ");
        let chosen = match one.index {
            Some(index) => all.into_iter().skip(index).take(1).collect(),
            None if all.iter().all(|gpu| gpu.kind == GpuKind::Software) => all,
            None => best(all),
        };
        if chosen.is_empty() {
            return Err(UsageError(format!("{option}: there is no such GPU\nhelp: there is {names}")));
        }
        for gpu in chosen {
            if found.iter().any(|other| other.name == gpu.name) {
                return Err(UsageError(format!("--device names {} twice", gpu.name)));
            }
            found.push(gpu);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(name: &str, kind: GpuKind) -> Gpu {
        let (name, api) = (name.to_owned(), "Vulkan".to_owned());
        Gpu { name, model: None, kind, api, driver: None, pci: None, precisions: None }
    }

    fn two(backend: Backend) -> Vec<Gpu> {
        (0..2).map(|index| gpu(&format!("{backend}:{index}"), GpuKind::Discrete)).collect()
    }

    /// A laptop: a card, a part of the processor, and Mesa's driver in software.
    fn laptop(backend: Backend) -> Vec<Gpu> {
        let kinds = [GpuKind::Discrete, GpuKind::Integrated, GpuKind::Software];
        let gpus = kinds.into_iter().enumerate().map(|(index, kind)| gpu(&format!("wgpu:{index}"), kind));
        if backend == Backend::Wgpu { gpus.collect() } else { Vec::new() }
    }

    fn software(backend: Backend) -> Vec<Gpu> {
        laptop(backend).split_off(2.min(laptop(backend).len()))
    }

    fn names(text: &str, gpus: fn(Backend) -> Vec<Gpu>) -> Result<Vec<String>, String> {
        let DeviceChoice::Gpus(wanted) = text.parse().expect("it is a device") else { panic!("{text} names GPUs") };
        let found = named(&wanted, |_| true, gpus).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|gpu| gpu.name).collect())
    }

    #[test]
    fn devices_are_those_of_the_choice() {
        assert_eq!(names("cuda", two), Ok(vec!["cuda:0".to_owned(), "cuda:1".to_owned()]));
        assert_eq!(names("cuda:1", two), Ok(vec!["cuda:1".to_owned()]));
        assert_eq!(names("wgpu:1,cuda:0", two), Ok(vec!["wgpu:1".to_owned(), "cuda:0".to_owned()]));
        let error = names("cuda:2", two).expect_err("there are two");
        assert_eq!(error, "--device cuda:2: there is no such GPU\nhelp: there is cuda:0, cuda:1");
        assert_eq!(names("cuda,cuda:1", two), Err("--device names cuda:1 twice".to_owned()));
        for backend in ["cuda", "wgpu"] {
            let error = names(backend, |_| Vec::new()).expect_err("there is none");
            let start = format!("--device {backend}: this machine has no GPU that {backend} can use\nhelp: ");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn auto_takes_the_best_kind_of_the_best_backend_and_never_software() {
        assert_eq!(automatic(two), ["cuda:0", "cuda:1"]);
        assert_eq!(automatic(laptop), ["wgpu:0"]);
        assert_eq!(automatic(software), [""; 0]);
        assert_eq!(automatic(|_| Vec::new()), [""; 0]);
    }

    #[test]
    fn a_named_backend_takes_software_only_if_it_has_nothing_else() {
        assert_eq!(names("wgpu", laptop), Ok(vec!["wgpu:0".to_owned()]));
        assert_eq!(names("wgpu:2", laptop), Ok(vec!["wgpu:2".to_owned()]));
        let only = |backend| if backend == Backend::Wgpu { vec![gpu("wgpu:0", GpuKind::Software)] } else { Vec::new() };
        assert_eq!(names("wgpu", only), Ok(vec!["wgpu:0".to_owned()]));
    }

    #[test]
    fn no_driver_is_touched_without_support() {
        let wanted = [Wanted { backend: Backend::Cuda, index: Some(1) }];
        let touched = |_| panic!("the driver was asked");
        let error = named(&wanted, |_| false, touched).expect_err("it cannot").to_string();
        let start = "--device cuda:1: this program was built without GPU support through cuda\nhelp: ";
        assert!(error.starts_with(start) && error.ends_with("--features cuda`, or use --device cpu"), "{error}");
        let error = named(&wanted, |backend| backend == Backend::Wgpu, touched).expect_err("it cannot").to_string();
        assert!(error.ends_with("or use --device wgpu or cpu"), "{error}");
    }

    #[test]
    fn other_words_are_no_device() {
        for text in ["gpu", "cuda:", "wgpu:x", "CUDA", "", "cuda:0,", "cuda:0,cpu", "auto,cpu"] {
            let error = text.parse::<DeviceChoice>().expect_err(text);
            assert_eq!(error, "use auto, cpu, cuda, wgpu, or GPUs such as cuda:1 or wgpu:0,wgpu:1");
        }
    }
}
