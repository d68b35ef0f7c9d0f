//! Badly behaved programs of `command`: no file of the user is lost, and no partial output is recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::sandbox::Sandbox;

/// A spec with one shell command; `$1` is its output folder.
fn shell(script: &str, more: &str) -> String {
    format!(
        "[experiment]\nname = \"command\"\n\n[stages.a]\nkind = \"command\"\n\
         argv = [\"sh\", \"-ec\", '''{script}''', \"sh\", \"{{out}}\"]\n{more}\n"
    )
}

/// Runs a command that must fail, and returns the error message.
fn refused(sandbox: &Sandbox, script: &str, more: &str) -> String {
    sandbox.write("spec.toml", shell(script, more));
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(1), "{script}: {}{}", said.out, said.err);
    said.err
}

#[test]
fn an_output_with_links_is_rejected_and_their_targets_stay() {
    let sandbox = Sandbox::new();
    let big = "big ".repeat(100_000);
    sandbox.write("mine/a/big", &big);
    sandbox.write("mine/a/small", "small");
    let mine = sandbox.path("mine").to_str().unwrap().to_owned();
    for (script, message) in [
        ("rm -r $1; ln -s MINE/a $1", "output `out`: its folder was replaced by a symbolic link to DIR/mine/a"),
        ("rm -r ../out; mkdir ../x; ln -s MINE ../out; mv MINE/a MINE/out", "output `out`: a folder above its folder"),
        ("rm -r $1; ln -s MINE/a/big $1", "output `out`: its folder was replaced by a symbolic link to DIR/mine/a/big"),
        ("ln -s MINE/a $1/all", "output `out`: `all` is a symbolic link"),
        ("rm -r $1; echo 1 > $1", "output `out`: its folder was replaced by a file"),
        (
            "cd ../..; mv 0 1; mkdir -p MINE/out/out; mv MINE/a/* MINE/out/out; ln -s MINE 0",
            "output `out`: a folder above",
        ),
    ] {
        let said = refused(&sandbox, &script.replace("MINE", &mine), "");
        assert!(said.contains(message), "{script}: {said}");
        // At the path that the script chose.
        let place =
            ["mine/a", "mine/out", "mine/out/out"].into_iter().find(|place| sandbox.path(place).join("big").exists());
        let place = place.unwrap_or_else(|| panic!("{script}: the user's file is gone"));
        assert_eq!(sandbox.read(&format!("{place}/big")), big, "{script}");
        assert_eq!(sandbox.read(&format!("{place}/small")), "small", "{script}");
        if place != "mine/a" {
            fs::rename(sandbox.path(place), sandbox.path("a")).unwrap();
            fs::remove_dir_all(sandbox.path("mine")).unwrap();
            fs::create_dir(sandbox.path("mine")).unwrap();
            fs::rename(sandbox.path("a"), sandbox.path("mine/a")).unwrap();
        }
    }
    let several =
        r#"argv = ["sh", "-ec", "echo 1 > {out.x}/x; rm -r {out.y}; ln -s MINE/a {out.y}"]"#.replace("MINE", &mine);
    let kind = "[experiment]\nname = \"x\"\n[stages.a]\nkind = \"command\"\noutputs = [\"x\", \"y\"]";
    sandbox.write("spec.toml", format!("{kind}\n{several}\n"));
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.err.contains("output `y`: its folder was replaced by a symbolic link"), "{}", said.err);
    assert_eq!(sandbox.read("mine/a/big"), big);
}

#[test]
fn a_param_that_an_axis_of_an_input_does_not_bind_is_a_warning() {
    let spec = r#"
[experiment]
name = "unbound"

[axes]
model = [{ name = "narrow", channels = 8 }, { name = "wide", channels = 16 }]

[stages.train]
kind = "command"
over = ["model"]
argv = ["sh", "-ec", "echo {params.channels} > {out}/x"]
params = { channels = 1 }

[stages.cam]
kind = "command"
over = ["model"]
inputs = { weights = "train" }
argv = ["sh", "-ec", "echo {params.channels} > {out}/x"]
params = { channels = 1 }
"#;
    let sandbox = Sandbox::with_spec(spec);
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.err.matches("does not bind the param `channels` of stage `cam`").count(), 1, "{}", said.err);
    assert!(!said.err.contains("of stage `train`"), "{}", said.err);
}

#[test]
fn leftover_processes_are_waited_for_then_ended_and_named() {
    let sandbox = Sandbox::new();
    // The program ends by itself, and the result is whole.
    sandbox.write("spec.toml", shell("(sleep 0.4; seq 50 > $1/x) > /dev/null 2>&1 &", "publish = \"res\""));
    sandbox.run_well(&[]);
    assert_eq!(sandbox.read("res/x").lines().count(), 50);

    // A double fork in its own session that keeps writing, and ignores SIGTERM.
    let daemon = "echo whole > $1/x
        (setsid sh -c 'trap \"\" TERM HUP; echo $$ > PID
            while :; do echo more >> $0/x; sleep 0.1; done' $1 > /dev/null 2>&1 &)
        while ! [ -s PID ]; do sleep 0.01; done"
        .replace("PID", sandbox.path("pid").to_str().unwrap());
    let is_gone = || {
        let pid: i32 = sandbox.read("pid").trim().parse().unwrap();
        let gone = !fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().contains("more");
        fs::remove_file(sandbox.path("pid")).unwrap();
        gone
    };
    let said = refused(&sandbox, &daemon, "");
    assert!(said.contains("the program ended and left `sh -c trap"), "{said}");
    assert!(said.contains("set `leftovers = \"end\"`"), "{said}");
    assert!(is_gone(), "the daemon runs on");
    let said = refused(&sandbox, &format!("{daemon}; trap '' TERM; sleep 100; sleep 100"), "timeout = \"1s\"");
    assert!(said.contains("timeout"), "{said}");
    assert!(is_gone(), "the daemon of a worker that was killed runs on");

    sandbox.write("spec.toml", shell(&daemon, "leftovers = \"end\""));
    let first = sandbox.run_well(&[]);
    assert!(is_gone(), "the daemon runs on");
    assert_eq!(sandbox.run_well(&[]).with("hit"), ["a"]);
    let digests = first.outputs();
    assert!(!digests["a"].is_null());
    let verified = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);

    // A failed command is reported at once, without a wait.
    let said = refused(&sandbox, "sleep 100 > /dev/null 2>&1 & exit 3", "");
    assert!(said.contains("ended with exit status 3"), "{said}");
    sandbox.write("spec.toml", shell("true", "leftovers = \"keep\""));
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(
        said.code == Some(2) && said.err.contains("`leftovers` must be \"fail\" or \"end\", not the text \"keep\""),
        "{}",
        said.err
    );
}

#[test]
fn execute_bits_and_empty_folders_reach_the_next_program_and_plain_files_keep_their_digests() {
    let next = r#"
[stages.b]
kind = "command"
inputs = { t = "a" }
argv = [
  "sh", "-ec", 'test -d $1/empty/deep; test ! -x $1/plain; test $(ls -A $1 | wc -l) = 3; $1/tool > $2/y',
  "sh", "{in.t}", "{out}"
]
publish = "res"
"#;
    let make = "echo '#!/bin/sh' > $1/tool; echo 'echo works' >> $1/tool; chmod 755 $1/tool; echo > $1/plain; \
                mkdir -p $1/empty/deep";
    let sandbox = Sandbox::with_spec(&shell(make, next));
    sandbox.run_well(&[]);
    assert_eq!(sandbox.read("res/y"), "works\n");
    let is_executable = |name: &str| fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o100 != 0;
    assert!(!is_executable("res/y"));
    sandbox.run_well(&["--set", "stages.a.publish='made'"]);
    assert!(is_executable("made/tool") && !is_executable("made/plain"));
    assert!(!sandbox.path("made/.orchestrate-modes").exists());

    // Golden key and digest of one file `x` with `1` and a newline: modes and `leftovers` must not change them.
    let sandbox = Sandbox::with_spec(&shell("echo 1 > $1/x; chmod 640 $1/x", ""));
    let run = sandbox.run_well(&[]);
    assert_eq!(run.nodes["a"]["key"], "ab8022c12155d99940da3509fcda48a8b9bc4b53a76bc7a33fc49902245ebb94");
    assert_eq!(run.nodes["a"]["output"], "5ffb4fc48494eb6edbc9571f786679b003eae5e2b19ba585de9e0fe4d2507fd3");
}

#[test]
fn unreadable_modes_are_read_and_unstorable_files_are_named() {
    let sandbox = Sandbox::new();
    sandbox.write("spec.toml", shell("mkdir $1/d; echo 1 > $1/d/x; chmod 0 $1/d/x $1/d $1; mkdir w; chmod 0 w", ""));
    sandbox.run_well(&[]);
    for (script, message) in [
        (r"touch $1/a\\b", r"the name of `a\b` holds a backslash"),
        ("touch $1/$(printf 'a\\377')", "is not UTF-8"),
        ("truncate -s 4000T $1/x", "longer than"),
        ("echo 1 > $1/.orchestrate-modes", "`.orchestrate-modes` is a name that we use"),
        ("mkfifo $1/x", "`x` is neither a file nor a folder but a named pipe"),
    ] {
        let said = refused(&sandbox, script, "");
        // A filesystem may reject such a length itself.
        assert!(said.contains(message) || said.contains("truncate: "), "{script}: {said}");
    }
    let left =
        fs::read_dir(sandbox.path(".orchestrate/tmp")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 0, "nothing is left behind");
}

#[test]
fn a_script_that_cannot_start_gets_a_reason() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "spec.toml",
        "[experiment]\nname = \"x\"\n\
         [stages.a]\nkind = \"command\"\nargv = [\"{code}\", \"{out}\"]\ncode = [\"run\"]\n",
    );
    for (script, message) in [
        ("echo A > $1/x\n", "its first line, `#!` and its interpreter, is missing"),
        ("#!/bin/sh\r\necho A > $1/x\r\n", "its first line ends in a carriage return"),
        ("#!/usr/bin/env sh\r\necho A > $1/x\r\n", "its first line ends in a carriage return"),
        ("#!/bin/sh -e\r\necho A > $1/x\r\n", "its first line ends in a carriage return"),
        ("#!/no/such\n", "the interpreter `/no/such`, which its first line names, does not exist"),
    ] {
        sandbox.write("run", script);
        let said = sandbox.orchestrate(&["run", "spec.toml"]);
        assert!(said.code == Some(1) && said.err.contains(message), "{script}: {}", said.err);
    }
}

#[test]
fn lines_of_a_running_program_are_in_its_log_soon() {
    let sandbox = Sandbox::new();
    let gate = sandbox.path("gate");
    let script = format!("echo first; while ! [ -e {} ]; do sleep 0.05; done; echo 1 > $1/x", gate.display());
    sandbox.write("spec.toml", shell(&script, ""));
    let mut run = sandbox.command(&["run", "spec.toml"]).spawn().unwrap();
    let log = || {
        let runs = fs::read_dir(sandbox.path(".orchestrate/runs")).into_iter().flatten().flatten();
        runs.filter_map(|run| fs::read_to_string(run.path().join("logs/a.log")).ok()).collect::<String>()
    };
    while !log().contains("first\n") {
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(gate, "").unwrap();
    assert!(run.wait().unwrap().success());
}

#[test]
fn a_secret_of_one_letter_is_named_and_leaves_the_log_readable() {
    let sandbox = Sandbox::with_spec(&shell("echo hello; echo 1 > $1/x", "secret_env = [\"TOKEN\"]"));
    let ran = sandbox.command(&["run", "spec.toml"]).env("TOKEN", "e").output().unwrap();
    assert!(ran.status.success());
    let log = sandbox.orchestrate(&["logs", "a"]);
    assert!(log.out.contains("hello\n"), "{}", log.out);
    assert!(log.out.contains("the value of TOKEN is too short"), "{}", log.out);
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_folder_that_a_program_mounted_is_not_emptied() {
    let sandbox = Sandbox::new();
    let big = "big ".repeat(100_000);
    sandbox.write("mine/big", &big);
    sandbox.write("mine/small", "small");
    let mine = sandbox.path("mine").to_str().unwrap().to_owned();
    let mount = format!("mkdir $1/data; mount --bind {mine} $1/data || exit 9; ls $1/data");
    let said = refused(&sandbox, &mount, "");
    if said.contains("ended with exit status 9") || said.contains("mount: ") {
        eprintln!("skipped: mounting is not allowed here");
        return;
    }
    assert!(said.contains("the program mounted a file system at"), "{said}");
    let hangs = format!("{mount}; sleep 60");
    assert!(refused(&sandbox, &hangs, "timeout = \"1s\"").contains("it ran longer than its timeout"));
    assert_eq!((sandbox.read("mine/big"), sandbox.read("mine/small")), (big, "small".to_owned()));
    // The killed program left its mount, and errors name it until somebody unmounts it.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let store = sandbox.path(".orchestrate");
    for mount in
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|at| at.starts_with(store.to_str().unwrap()))
    {
        assert!(std::process::Command::new("umount").arg(mount).status().unwrap().success());
    }
}
