//! The control group of this process: the processes in it that the kernel has ended because memory ran out.
//!
//! The kernel ends the largest process of a group, which may be a program that a worker has started. Then nothing but
//! this count tells a lack of memory from a fault of the program.

use std::fs;
use std::path::Path;

/// Returns the number of processes that the kernel has ended for want of memory; `None` if it does not count them.
pub(super) fn memory_kills() -> Option<u64> {
    kills(&fs::read_to_string("/proc/self/cgroup").ok()?, Path::new("/sys/fs/cgroup"))
}

/// Reads the counter of the group that has a line in `groups`: `4:memory:/PATH` of version 1, or `0::/PATH` of 2.
fn kills(groups: &str, mount: &Path) -> Option<u64> {
    let path = |controller: &str| {
        let of_line = |line: &str| {
            let (name, path) = line.split_once(':')?.1.split_once(':')?;
            name.split(',').any(|name| name == controller).then(|| path.trim_start_matches('/').to_owned())
        };
        groups.lines().find_map(of_line)
    };
    let first = path("memory").map(|path| mount.join("memory").join(path).join("memory.oom_control"));
    let file = first.or_else(|| Some(mount.join(path("")?).join("memory.events")))?;
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_is_that_of_the_group_in_both_versions() {
        let mount = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory/slurm/job_1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
        write("system.slice/job_1/memory.events", "low 0\nhigh 2\nmax 9\noom 2\noom_kill 1\n");
        assert_eq!(kills("5:cpu:/\n4:memory:/slurm/job_1\n0::/x\n", mount.path()), Some(3));
        assert_eq!(kills("0::/system.slice/job_1\n", mount.path()), Some(1));
        assert_eq!(kills("0::/elsewhere\n", mount.path()), None);
        assert_eq!(kills("", mount.path()), None);
    }
}
