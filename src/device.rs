//! `--device`: which devices a run may use, and what people are told of the choice.

use std::str::FromStr;

use orchestrate_networks::model;

use crate::outcome::UsageError;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All GPUs, or the CPU where there are none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// All GPUs.
    Cuda,
    /// One GPU.
    One(usize),
}

impl FromStr for Asked {
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

/// What a run uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Devices {
    /// Names of GPUs; none for the CPU.
    pub(crate) names: Vec<String>,
    /// What `auto` took, where that is not obvious.
    pub(crate) notice: Option<String>,
}

impl Asked {
    /// Finds the devices of this machine. Without GPU support in this program, and for the CPU, it touches no driver.
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
        let asked: Asked = text.parse().expect("it is a device");
        asked.among(true, gpus).map(|devices| devices.names).map_err(|error| error.to_string())
    }

    #[test]
    fn gpus_are_taken_as_asked_for() {
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
    fn no_driver_is_touched_for_the_cpu_nor_without_support() {
        fn touched() -> Vec<String> {
            panic!("the driver was asked")
        }
        assert_eq!(names("cpu", touched), Ok(vec![]));
        let without = |asked: Asked| asked.among(false, touched);
        assert_eq!(without(Asked::Auto).map(|devices| devices.notice).expect("it is the CPU"), None);
        let error = without(Asked::One(1)).expect_err("it cannot").to_string();
        assert!(error.starts_with("--device cuda:1: this program was built without GPU support\nhelp: "), "{error}");
        assert!(error.contains("cargo build --release --features cuda"), "{error}");
    }

    #[test]
    fn auto_says_what_it_took_and_others_need_not() {
        let notice = |asked: Asked, gpus: fn() -> Vec<String>| asked.among(true, gpus).expect("it is there").notice;
        assert_eq!(notice(Asked::Auto, Vec::new).as_deref(), Some("device: cpu, as no GPU was found"));
        assert!(notice(Asked::Auto, two).is_some_and(|notice| notice.starts_with("device: cuda:0, cuda:1;")));
        assert_eq!(notice(Asked::Cuda, two), None);
        assert_eq!(notice(Asked::Cpu, two), None);
    }

    #[test]
    fn other_words_are_no_device() {
        for text in ["gpu", "cuda:", "cuda:x", "CUDA", ""] {
            assert_eq!(
                text.parse::<Asked>(),
                Err("use auto, cpu, cuda, or one GPU such as cuda:1".to_owned()),
                "{text}"
            );
        }
    }
}
