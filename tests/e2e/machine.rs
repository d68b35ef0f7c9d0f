//! Borders of a run: names that are not UTF-8, irregular files, too many jobs, too few threads, nothing to run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::rerun::LETTERS;
use crate::sandbox::{Run, Said, Sandbox};

/// Time after which a hanging program is killed, so that its test fails.
const PATIENCE_S: &str = "60";

/// The program under a time limit; its exit code is 124 if it is killed.
fn bounded(sandbox: &Sandbox, before: &[&str], args: &[&str]) -> Command {
    let plain = sandbox.command(args);
    let mut command = Command::new("timeout");
    command.args(["-k", "5", PATIENCE_S]).args(before).arg(plain.get_program()).args(args);
    command.current_dir(sandbox.path("")).env_remove("ORCHESTRATE_STORE").env_remove("RUST_LOG").env("NO_COLOR", "1");
    command.stdin(Stdio::null());
    command
}

fn said(sandbox: &Sandbox, output: Output) -> Said {
    Said::from(output, sandbox.path("").as_path())
}

fn odd(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path("").join(OsStr::from_bytes(b"x\xff\xfe"));
    fs::create_dir(&dir).expect("tests can make folders");
    dir
}

#[test]
fn store_whose_path_is_not_utf_8_is_a_store() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let store = odd(&sandbox).join("store");
    for (word, count) in [("ran", 9), ("hit", 9)] {
        let mut command = bounded(&sandbox, &[], &["run", "spec.toml", "--json"]);
        let run = Run::from(said(&sandbox, command.arg("--store").arg(&store).output().expect("it starts")));
        assert_eq!(run.said.code, Some(0), "{}", run.said.err);
        assert_eq!(run.summary[word], count, "{}", run.said.err);
    }
    for args in
        [&["explain", "all"][..], &["store", "verify"], &["store", "ls"], &["logs", "all"], &["export", "table", "all"]]
    {
        let mut command = bounded(&sandbox, &[], args);
        if args[0] == "export" {
            command.arg("--to").arg(store.with_file_name("exported"));
        }
        let said = said(&sandbox, command.arg("--store").arg(&store).output().expect("it starts"));
        // The output of `all` is no table, which is an error and nothing worse.
        let expected = if args[0] == "export" { Some(2) } else { Some(0) };
        assert_eq!(said.code, expected, "{args:?}: {}{}", said.out, said.err);
        assert!(!said.err.contains("warning"), "{args:?}: {}", said.err);
    }
}

#[test]
fn spec_and_working_directory_need_not_be_utf_8_but_a_path_below_them_must() {
    let sandbox = Sandbox::new();
    let dir = odd(&sandbox);
    fs::write(dir.join("spec.toml"), LETTERS).expect("tests can write");
    fs::write(dir.join("orchestrate.toml"), "").expect("tests can write");
    for path in [dir.join("spec.toml"), PathBuf::from("spec.toml")] {
        let mut command = bounded(&sandbox, &[], &["run"]);
        let said = said(&sandbox, command.arg(&path).current_dir(&dir).output().expect("it starts"));
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    assert_eq!(fs::read(dir.join("results/text")).expect("it is published"), b"AAABBB");
    let with_code = LETTERS.replace("publish = \"results\"", "code = [\"all.sh\"]");
    fs::write(dir.join("spec.toml"), with_code).expect("tests can write");
    let mut command = bounded(&sandbox, &[], &["run", "spec.toml"]);
    let said = said(&sandbox, command.current_dir(&dir).output().expect("it starts"));
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("is not UTF-8") && said.err.contains("code = [\"all.sh\"]"), "{}", said.err);
}

#[test]
fn fifos_devices_and_sparse_terabytes_are_rejected_wherever_a_file_is_named() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let fifo = |name: &str| {
        let made = Command::new("mkfifo").arg(sandbox.path(name)).status().expect("there is mkfifo");
        assert!(made.success());
    };
    let refused = |spec: &str, what: &str| {
        let said = said(&sandbox, bounded(&sandbox, &[], &["run", spec]).output().expect("it starts"));
        assert_eq!(said.code, Some(2), "{spec}: {}", said.err);
        assert!(said.err.contains(what), "{spec}: {}", said.err);
    };
    fifo("fifo.toml");
    fs::create_dir(sandbox.path("folder.toml")).expect("tests can make folders");
    let sparse = fs::File::create(sandbox.path("sparse.toml")).expect("tests can write");
    sparse.set_len(1 << 42).expect("the filesystem has sparse files");
    for (name, what) in [
        ("fifo.toml", "it is a FIFO, not a file"),
        ("folder.toml", "is a folder, not a spec"),
        ("/dev/zero", "it is a device, not a file"),
        ("sparse.toml", "it has 4 TiB, and at most 16 MiB are read here"),
    ] {
        refused(name, what);
        sandbox.write("child.toml", format!("extends = \"{name}\"\n"));
        refused("child.toml", what);
        sandbox.write("coded.toml", LETTERS.replace("publish = \"results\"", &format!("code = [\"{name}\"]")));
        if !name.starts_with("folder") {
            let what =
                if name.starts_with("sparse") { "at most 64 GiB are read here" } else { "neither a file nor a folder" };
            refused("coded.toml", what);
        }
        let data = |params: &str| format!("[experiment]\nname = \"x\"\n[stages.images]\nkind = \"dataset\"\n{params}");
        sandbox.write("manifest.toml", data(&format!("format = \"manifest\"\npath = \"{name}\"\n")));
        if !name.starts_with("folder") {
            refused("manifest.toml", what.split(", and").next().unwrap_or(what));
            sandbox.write("data/labels.csv", format!("image,label\n{name},a\n"));
            let _ = fs::rename(sandbox.path(name), sandbox.path("data").join(name));
            if !name.starts_with('/') {
                sandbox.write("images.toml", data("format = \"manifest\"\npath = \"data\"\n"));
                refused("images.toml", what.split(", ").next().unwrap_or(what));
            }
        }
    }
    fs::remove_file(sandbox.path("orchestrate.toml")).expect("it was there");
    fifo("orchestrate.toml");
    refused("spec.toml", "orchestrate.toml: it is a FIFO, not a file");
}

#[test]
fn jobs_beyond_the_cores_are_capped_with_a_warning() {
    let sandbox = Sandbox::with_spec(LETTERS);
    for jobs in ["65535", "10000"] {
        let said =
            said(&sandbox, bounded(&sandbox, &[], &["run", "spec.toml", "--jobs", jobs]).output().expect("it starts"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.err.contains(&format!("warning: --jobs {jobs} is capped at ")), "{}", said.err);
    }
    let said = sandbox.orchestrate(&["run", "spec.toml", "--jobs", "99999999"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("99999999 is not in 1..=65535"), "{}", said.err);
    let mut command = bounded(&sandbox, &[], &["plan", "spec.toml"]);
    let planned = command.env("RAYON_NUM_THREADS", "100000").output().expect("it starts");
    assert_eq!(planned.status.code(), Some(0));
}

/// Each command waits until all are running.
#[test]
fn sixteen_waiting_commands_run_at_once_on_any_number_of_cores() {
    let sandbox = Sandbox::with_spec(
        r#"
[experiment]
name = "wait"
[axes]
number = "1..=16"
[stages.wait]
kind = "command"
over = ["number"]
env = ["MEETING"]
argv = ["sh", "-c", '''
  touch "$MEETING/{number}"
  until [ $(ls "$MEETING" | wc -l) = 16 ]; do sleep 0.05; done
  echo > {out}/done''']
"#,
    );
    fs::create_dir(sandbox.path("meeting")).expect("tests can make folders");
    let mut command = bounded(&sandbox, &[], &["run", "spec.toml", "--jobs", "16"]);
    let output = command.env("MEETING", sandbox.path("meeting")).output().expect("it starts");
    let said = said(&sandbox, output);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains("capped"), "{}", said.err);
}

/// Under any limit on the user's processes a run ends, with success or an error with a reason, and keeps finished
/// results.
#[test]
fn too_few_threads_or_processes_are_an_error_and_never_a_wait() {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let can_become = Command::new("timeout").arg("9").args(nobody).args(["bash", "-c", "ulimit -u 50"]).status();
    if !can_become.is_ok_and(|status| status.success()) {
        return eprintln_skip(
            "the limit of processes holds for nobody but other users, and this is not root with setpriv",
        );
    }
    let sandbox = Sandbox::with_spec(LETTERS);
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let mut failed = 0;
    for limit in [1, 2, 3, 4, 5, 6, 8, 10, 14, 200] {
        for jobs in ["1", "4"] {
            let shell = format!("ulimit -u {limit}; exec \"$@\"");
            let before: Vec<_> = nobody.into_iter().chain(["bash", "-c", &shell, "bash"]).collect();
            let args = ["run", "spec.toml", "--jobs", jobs, "--set", &format!("experiment.seed={limit}")];
            let said = said(&sandbox, bounded(&sandbox, &before, &args).output().expect("it starts"));
            match said.code {
                Some(0) => {}
                Some(1) => {
                    failed += 1;
                    let tells = ["ulimit -u", "fork", "Resource temporarily unavailable"];
                    assert!(tells.iter().any(|text| said.err.contains(text)), "{limit}, {jobs}: {}", said.err);
                    assert!(
                        !said.err.contains("stack backtrace") && !said.err.contains("RUST_BACKTRACE"),
                        "{}",
                        said.err
                    );
                }
                other => panic!("{limit}, {jobs}: exit code {other:?}\n{}", said.err),
            }
        }
    }
    assert!(failed > 0, "one process is too few");
    let said = said(&sandbox, bounded(&sandbox, &nobody, &["run", "spec.toml"]).output().expect("it starts"));
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn eprintln_skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[test]
fn study_without_points_says_so() {
    let sandbox = Sandbox::with_spec(
        "exclude = [{ v = 1.0 }]\n[experiment]\nname = \"x\"\n[axes]\nv = [1]\n[stages.a]\nkind = \"command\"\n\
         over = [\"v\"]\nargv = [\"sh\", \"-c\", \"echo {v} > {out}/v\"]\n",
    );
    for (command, stream) in [("run", "err"), ("plan", "out")] {
        let said = sandbox.orchestrate(&[command, "spec.toml"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.err.contains("warning: stage `a` has no points"), "{}", said.err);
        assert!(said.err.contains("--> spec.toml:6:9"), "{}", said.err);
        let counts = if stream == "err" { &said.err } else { &said.out };
        assert!(counts.contains("0 nodes: nothing to run"), "{counts}");
    }
    let said = sandbox.orchestrate(&["run", "spec.toml", "--only", "a[v=1]"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("no node has this point: the spec excludes it"), "{}", said.err);
}

#[test]
fn siblings_with_equal_keys_share_the_result_of_the_named_one() {
    let sandbox = Sandbox::with_spec(
        r#"
[experiment]
name = "share"
[axes]
v = [{ name = "a", x = 0.0 }, { name = "b", x = -0.0 }]
[stages.one]
kind = "command"
over = ["v"]
argv = ["sh", "-c", 'sleep 1; echo "{x}" > {out}/x']
"#,
    );
    let said = sandbox.orchestrate(&["run", "spec.toml", "--jobs", "4"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("share  one[v=b]: its result is that of one[v=a]"), "{}", said.err);
    assert!(!said.err.contains("another process") && said.err.contains("1 hit, 1 ran"), "{}", said.err);
}
