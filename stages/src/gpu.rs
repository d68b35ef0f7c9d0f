//! The GPUs that a worker process sees, and the version of their driver.
//!
//! `CUDA_VISIBLE_DEVICES` limits a worker to the GPUs of its node: no library in it can take memory of another GPU,
//! and "the default GPU" is the right one. If this program was itself started with some of the GPUs, as under Slurm,
//! `cuda:0` is the first of those. Nothing hides GPUs of wgpu (`wgpu:0`) from a process.

use std::fs;

/// The variable with CUDA's list of the GPUs that a process sees.
pub const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The value of [`VISIBLE`] for a process with a `device` such as `cuda:1` or `cuda:0,cuda:1`; empty for `cpu`. for
/// GPUs of wgpu, whose place in CUDA's list is not known, that of this process, or `None`.
pub fn visible_to(device: &str) -> Option<String> {
    let own = std::env::var(VISIBLE).ok();
    let is_of_wgpu = device.split(',').any(|name| name.starts_with("wgpu:"));
    if is_of_wgpu { own } else { Some(visible(device, own.as_deref())) }
}

fn visible(device: &str, own: Option<&str>) -> String {
    let own: Option<Vec<&str>> = own.map(|list| list.split(',').map(str::trim).collect());
    let indices = device.split(',').filter_map(|name| name.strip_prefix("cuda:"));
    let name = |index: &str| match &own {
        Some(own) => index.parse().ok().and_then(|index: usize| own.get(index).copied()).unwrap_or(index).to_owned(),
        None => index.to_owned(),
    };
    indices.map(name).collect::<Vec<_>>().join(",")
}

/// The version of NVIDIA's kernel driver, if one is loaded.
pub fn driver() -> Option<String> {
    driver_in(&fs::read_to_string("/proc/driver/nvidia/version").ok()?)
}

/// The first word of digits and dots in the line `NVRM version: …`.
fn driver_in(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    line.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_sees_the_gpus_that_it_was_given_and_no_other() {
        assert_eq!(visible("cuda:1", None), "1");
        assert_eq!(visible("cuda:0,cuda:2", None), "0,2");
        assert_eq!(visible("cpu", None), "");
    }

    #[test]
    fn a_process_on_a_gpu_of_wgpu_sees_the_gpus_of_cuda_that_this_one_sees() {
        assert_eq!(visible_to("wgpu:0"), std::env::var(VISIBLE).ok());
        assert_eq!(visible_to("wgpu:0,wgpu:1"), std::env::var(VISIBLE).ok());
    }

    #[test]
    fn gpus_are_counted_among_those_that_this_process_sees() {
        assert_eq!(visible("cuda:1", Some("3, 5")), "5");
        assert_eq!(visible("cuda:0", Some("GPU-8f1c,GPU-22aa")), "GPU-8f1c");
        assert_eq!(visible("cpu", Some("3,5")), "");
    }

    #[test]
    fn version_of_both_kinds_of_driver_is_read() {
        let closed =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: x";
        assert_eq!(driver_in(closed).as_deref(), Some("535.183.01"));
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (user@host)";
        assert_eq!(driver_in(open).as_deref(), Some("570.86.15"));
        assert_eq!(driver_in("nothing of the kind"), None);
    }
}
