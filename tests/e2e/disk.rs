//! Full, read-only and damaged disks. Tests that need a mount are skipped if none can be made.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rerun::LETTERS;
use crate::sandbox::{Said, Sandbox};

/// Letters with files too large for a pack, 600 KB each. The shell runs with `-e`: otherwise it would succeed after an
/// error.
fn large_letters() -> String {
    LETTERS.replace("printf %s \"$1\"", "printf \"$1%0600000d\" 0").replace("\"-c\"", "\"-ec\"")
}

/// A mount for the duration of the test.
struct Mount(PathBuf);

impl Mount {
    /// Mounts a disk; prints the reason and returns `None` if this user may not mount.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn new(test: &str, dir: &Path, arguments: &[&str]) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let mounted = mount(arguments, dir);
        if !mounted {
            eprintln!("skipped: {test}: this user cannot mount anything here");
        }
        mounted.then(|| Self(dir.to_owned()))
    }
}

fn mount(arguments: &[&str], dir: &Path) -> bool {
    Command::new("mount").args(arguments).arg(dir).output().is_ok_and(|output| output.status.success())
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn run_on_a_full_disk_says_so_and_the_next_one_finishes() {
    let sandbox = Sandbox::with_spec(&large_letters());
    let store = sandbox.path(".orchestrate");
    let tmpfs = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
    let Some(_mount) = Mount::new("a full disk", &store, &tmpfs) else { return };
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("No space left on device"), "{}", said.err);
    let said = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(mount(&["-o", "remount,size=64m"], &store));
    let run = sandbox.run_well(&[]);
    assert!(!run.with("hit").is_empty(), "what was done stays done");
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
    let undisturbed = Sandbox::with_spec(&large_letters());
    assert_eq!(undisturbed.run_well(&[]).outputs(), run.outputs());
}

fn serves_hits_and_refuses_the_rest(sandbox: &Sandbox, run: impl Fn(&[&str]) -> Said) {
    let before = files(&sandbox.path(".orchestrate"));
    let said = run(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("cannot be written: only what it holds is used"), "{}", said.err);
    assert!(said.err.contains("9 nodes: 9 hit"), "{}", said.err);
    let said = run(&["run", "spec.toml", "--set", "axes.times=[3]"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("is open for reading only"), "{}", said.err);
    assert_eq!(files(&sandbox.path(".orchestrate")), before);
}

#[test]
fn store_on_a_read_only_disk_serves_hits() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let store = sandbox.path(".orchestrate");
    let bind = ["--bind", store.to_str().unwrap()];
    let Some(_mount) = Mount::new("a read-only disk", &store, &bind) else { return };
    assert!(mount(&["-o", "remount,ro,bind"], &store));
    serves_hits_and_refuses_the_rest(&sandbox, |arguments| sandbox.orchestrate(arguments));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn store_of_another_user_serves_hits() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let program = env!("CARGO_BIN_EXE_orchestrate");
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]).args(arguments);
        command.current_dir(sandbox.path("")).env_remove("ORCHESTRATE_STORE").env("NO_COLOR", "1").output()
    };
    if !nobody(&["--version"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a store of another user: this user cannot run programs as another one");
        return;
    }
    serves_hits_and_refuses_the_rest(&sandbox, |arguments| Said::from(nobody(arguments).unwrap(), &sandbox.path("")));
}

#[test]
fn store_of_a_newer_format_is_rejected_by_every_command_and_stays_unchanged() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    sandbox.write(".orchestrate/format", "orchestrate store 3\n");
    let before = files(&sandbox.path(".orchestrate"));
    let commands: [&[&str]; 6] = [
        &["run", "spec.toml"],
        &["plan", "spec.toml"],
        &["store", "ls"],
        &["store", "verify"],
        &["store", "repair"],
        &["store", "gc", "--max-size", "1B"],
    ];
    for command in commands {
        let said = sandbox.orchestrate(command);
        assert_eq!(said.code, Some(2), "{command:?}: {}", said.err);
        assert!(said.err.contains("has format 3") && said.err.contains("use a newer orchestrate"), "{}", said.err);
    }
    assert_eq!(files(&sandbox.path(".orchestrate")), before);
}

#[test]
fn after_a_repair_only_lost_results_run_again() {
    let sandbox = Sandbox::with_spec(&large_letters());
    let first = sandbox.run_well(&[]);
    let said = sandbox.orchestrate(&["store", "repair"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("all is well"), "{}", said.out);
    let objects = files(&sandbox.path(".orchestrate/objects"));
    // The output of `all` is the largest.
    let (lost, _) = objects.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    fs::remove_file(lost).unwrap();
    sandbox.write(".orchestrate/last-use", "not what it was");
    sandbox.write(".orchestrate/format", "\0\0\0");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("store repair"), "{}", said.err);
    let said = sandbox.orchestrate(&["store", "repair"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for part in ["last-use", "format", "dropped  the result of all", "1 result dropped"] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let said = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    let run = sandbox.run_well(&[]);
    assert_eq!(run.ran(), ["all"]);
    assert_eq!(run.outputs(), first.outputs());
}

#[test]
fn published_artifact_that_turns_out_corrupt_is_recomputed_in_the_same_run() {
    let sandbox = Sandbox::with_spec(&large_letters());
    sandbox.run_well(&[]);
    let published = sandbox.read("results/text");
    let objects = files(&sandbox.path(".orchestrate/objects"));
    let (corrupt, bytes) = objects.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    fs::remove_file(corrupt).unwrap();
    fs::write(corrupt, vec![0; bytes.len()]).unwrap();
    fs::remove_dir_all(sandbox.path("results")).unwrap();
    let run = sandbox.run_well(&[]);
    assert_eq!(run.ran(), ["all"]);
    assert!(sandbox.read("results/text") == published);
    assert!(run.said.err.contains("is corrupt"), "{}", run.said.err);
}

/// Lists all files below a folder with their contents, sorted.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}
