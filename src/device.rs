//! `--device`: the devices of a run, and the notice about an automatic choice.

use std::str::FromStr;

use orchestrate_networks::model;

use crate::outcome::UsageError;

/// The value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// All GPUs, or the CPU if there are none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// All GPUs.
    Cuda,
    /// One GPU.
    One(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = || text.strip_prefix("cuda:")?.parse().ok();
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => index().map(Self::One).ok_or_else(|| "use auto, cpu, cuda, or one GPU such as cuda:1".to_owned()),
        }
    }
}

/// The devices of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Devices {
    /// Names of GPUs; none for the CPU.
    pub(crate) names: Vec<String>,
    /// The choice of `auto`, if it is not obvious.
    pub(crate) notice: Option<String>,
}

impl DeviceChoice {
    /// Finds the devices on this machine. Touches no driver for the CPU, or in a program without GPU support.
    pub(crate) fn find(self) -> Result<Devices, UsageError> {
        self.among(model::GPU_SUPPORT, model::gpus)
    }

    fn among(self, support: bool, gpus: impl FnOnce() -> Vec<String>) -> Result<Devices, UsageError> {
        let (option, one) = match self {
            Self::Cpu => return Ok(Devices { names: Vec::new(), notice: None }),
            Self::Auto if !support => return Ok(Devices { names: Vec::new(), notice: None }),
            Self::Auto => return Ok(automatic(gpus())),
            Self::Cuda => ("--device cuda".to_owned(), None),
            Self::One(index) => (format!("--device cuda:{index}"), Some(index)),
        };
        if !support {
            return Err(UsageError(format!(
                "{option}: this program was built without GPU support\n\
                 help: build it with `cargo build --release --features cuda`, or use --device cpu"
            )));
        }
        let names = gpus();
        if names.is_empty() {
            return Err(UsageError(format!(
                "{option}: this machine has no GPU that CUDA can use\n\
                 help: see whether `nvidia-smi` lists one, or use --device cpu"
            )));
        }
        match one {
            None => Ok(Devices { names, notice: None }),
            Some(index) if index < names.len() => Ok(Devices { names: vec![names[index].clone()], notice: None }),
            Some(_) => Err(UsageError(format!("{option}: there is no such GPU\nhelp: there is {}", names.join(", ")))),
        }
    }
}

fn automatic(names: Vec<String>) -> Devices {
    let notice = match names.as_slice() {
        [] => "device: cpu, as no GPU was found".to_owned(),
        names => format!("device: {}; --device cpu keeps all on the CPU", names.join(", ")),
    };
    Devices { names, notice: Some(notice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<String> {
        vec!["cuda:0".to_owned(), "cuda:1".to_owned()]
    }

    fn names(text: &str, gpus: fn() -> Vec<String>) -> Result<Vec<String>, String> {
        let choice: DeviceChoice = text.parse().expect("it is a device");
        choice.among(true, gpus).map(|devices| devices.names).map_err(|error| error.to_string())
    }

    #[test]
    fn devices_are_those_of_the_choice() {
        assert_eq!(names("auto", two), Ok(two()));
        assert_eq!(names("cuda", two), Ok(two()));
        assert_eq!(names("cuda:1", two), Ok(vec!["cuda:1".to_owned()]));
        assert_eq!(names("auto", Vec::new), Ok(vec![]));
        let error = names("cuda:2", two).expect_err("there are two");
        assert_eq!(error, "--device cuda:2: there is no such GPU\nhelp: there is cuda:0, cuda:1");
        let error = names("cuda", Vec::new).expect_err("there is none");
        assert!(error.starts_with("--device cuda: this machine has no GPU that CUDA can use\nhelp: "), "{error}");
    }

    #[test]
    fn no_driver_is_touched_for_the_cpu_or_without_support() {
        fn touched() -> Vec<String> {
            panic!("the driver was asked")
        }
        assert_eq!(names("cpu", touched), Ok(vec![]));
        let without = |choice: DeviceChoice| choice.among(false, touched);
        assert_eq!(without(DeviceChoice::Auto).map(|devices| devices.notice).expect("it is the CPU"), None);
        let error = without(DeviceChoice::One(1)).expect_err("it cannot").to_string();
        assert!(error.starts_with("--device cuda:1: this program was built without GPU support\nhelp: "), "{error}");
        assert!(error.contains("cargo build --release --features cuda"), "{error}");
    }

    #[test]
    fn only_auto_gives_notice_of_its_choice() {
        let notice =
            |choice: DeviceChoice, gpus: fn() -> Vec<String>| choice.among(true, gpus).expect("it is there").notice;
        assert_eq!(notice(DeviceChoice::Auto, Vec::new).as_deref(), Some("device: cpu, as no GPU was found"));
        assert!(notice(DeviceChoice::Auto, two).is_some_and(|notice| notice.starts_with("device: cuda:0, cuda:1;")));
        assert_eq!(notice(DeviceChoice::Cuda, two), None);
        assert_eq!(notice(DeviceChoice::Cpu, two), None);
    }

    #[test]
    fn other_words_are_no_device() {
        for text in ["gpu", "cuda:", "cuda:x", "CUDA", ""] {
            assert_eq!(
                text.parse::<DeviceChoice>(),
                Err("use auto, cpu, cuda, or one GPU such as cuda:1".to_owned()),
                "{text}"
            );
        }
    }
}
