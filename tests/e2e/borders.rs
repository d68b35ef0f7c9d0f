//! The borders of a store: other folders are left alone, and a waiting process names the one that it waits for.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};

use orchestrate_cache::disk;

use crate::crash::{signal, wait_for};
use crate::rerun::LETTERS;
use crate::sandbox::Sandbox;
use crate::share::claimed_by_another_host;

#[test]
fn a_home_with_a_folder_tmp_is_no_store_to_any_command() {
    let sandbox = Sandbox::with_spec(LETTERS);
    for file in ["home/tmp/thesis/scan1.dcm", "home/tmp/notes", "home/runs/marathon.txt", "home/.config/settings"] {
        sandbox.write(file, "precious");
    }
    let commands: [&[&str]; 7] = [
        &["run", "spec.toml"],
        &["plan", "spec.toml"],
        &["store", "ls"],
        &["store", "verify"],
        &["store", "repair"],
        &["store", "pins"],
        &["store", "gc", "--max-size", "1B"],
    ];
    for command in commands {
        let said = sandbox.orchestrate(&[command, &["--store", "home"]].concat());
        assert_eq!(said.code, Some(2), "{command:?}: {}", said.err);
        assert!(
            said.err.contains("is not a store") && said.err.contains("name an empty or a new folder"),
            "{}",
            said.err
        );
    }
    assert_eq!(sandbox.read("home/tmp/thesis/scan1.dcm"), "precious");
    assert_eq!(fs::read_dir(sandbox.path("home")).unwrap().count(), 3);
}

#[test]
fn an_empty_variable_counts_as_unset_and_an_empty_argument_is_an_error() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let output = sandbox.command(&["run", "spec.toml"]).env("ORCHESTRATE_STORE", "").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sandbox.path(".orchestrate/format").exists());
    let output = sandbox.command(&["store", "ls"]).env("ORCHESTRATE_STORE", "").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = sandbox.command(&["run", "spec.toml"]).env("ORCHESTRATE_STORE", "other").output().unwrap();
    assert!(output.status.success() && sandbox.path("other/format").exists());
    assert_eq!(sandbox.orchestrate(&["run", "spec.toml", "--store="]).code, Some(2));
}

#[test]
fn links_in_a_shared_store_are_not_followed_by_writes() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    sandbox.write("victim", "AAAA precious");
    let store = sandbox.path(".orchestrate");
    // The files that the next process of this host writes.
    let unfinished = ["pack-ends", "stat-cache"].map(|name| disk::unfinished(&store.join(name)).next());
    let names = fs::read_dir(store.join("tmp")).expect("it is a store").map(|entry| entry.expect("it is there").path());
    let session = names.into_iter().find(|path| path.to_string_lossy().ends_with("-0.lock"));
    for link in unfinished.into_iter().chain([session]).flatten() {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(sandbox.path("victim"), link).unwrap();
    }
    let run = sandbox.run_well(&["--set", "axes.times=[3]"]);
    assert!(!run.ran().is_empty());
    assert_eq!(sandbox.read("victim"), "AAAA precious");
    let said = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains("-0.lock: not made by the store"), "{}", said.out);
}

/// Starts a command with its output in a file.
fn start(mut command: Command, errors: &Path) -> Child {
    command.stderr(File::create(errors).unwrap()).spawn().expect("the program starts")
}

#[test]
fn a_process_that_waits_for_a_collection_names_the_collector_and_can_be_stopped() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let commands: [&[&str]; 3] = [&["run", "spec.toml"], &["plan", "spec.toml"], &["store", "ls"]];
    let collector = File::options().read(true).write(true).open(sandbox.path(".orchestrate/gc.lock")).unwrap();
    collector.lock().unwrap();
    let errors = |number: usize| sandbox.path(&format!("errors-{number}"));
    let mut waiting: Vec<_> = (0..3).map(|number| start(sandbox.command(commands[number]), &errors(number))).collect();
    for number in 0..3 {
        wait_for("a word", || fs::read_to_string(errors(number)).unwrap().contains("waiting for"));
        let said = fs::read_to_string(errors(number)).unwrap();
        assert!(said.contains("the end of a garbage collection") && said.contains("gc.lock"), "{said}");
        if cfg!(target_os = "linux") {
            assert!(said.contains(&format!("process {} on ", std::process::id())), "{said}");
        }
    }
    let last = waiting.pop().unwrap();
    signal(last.id(), "-INT");
    assert!(!last.wait_with_output().unwrap().status.success());
    collector.unlock().unwrap();
    for mut child in waiting {
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_process_that_waits_for_another_host_names_it() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let run = sandbox.run_well(&[]);
    let key = run.nodes["all"]["key"].as_str().expect("a node has a key");
    let claim = claimed_by_another_host(&sandbox, key);
    let errors = sandbox.path("errors");
    let child = start(sandbox.command(&["run", "spec.toml", "--store", "shared"]), &errors);
    wait_for("a word", || fs::read_to_string(&errors).unwrap().contains("process 4711 on node7 computes it"));
    fs::remove_file(claim).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn a_run_that_waits_in_its_middle_ends_with_the_first_interrupt() {
    let sandbox = Sandbox::new();
    let (began, go, errors) = (sandbox.path("began"), sandbox.path("go"), sandbox.path("errors"));
    let script =
        format!("echo > {}; while [ ! -e {} ]; do sleep 0.05; done; echo 1 > $0/x", began.display(), go.display());
    sandbox.write(
        "spec.toml",
        format!(
            "[experiment]\nname = \"wait\"\n\
             [stages.first]\nkind = \"command\"\nargv = [\"sh\", \"-ec\", \"{script}\", \"{{out}}\"]\n\
             [stages.second]\nkind = \"command\"\ninputs = {{ first = \"first\" }}\n\
             argv = [\"cp\", \"-r\", \"{{in.first}}\", \"{{out}}/x\"]\n"
        ),
    );
    let child = start(sandbox.command(&["run", "spec.toml"]), &errors);
    wait_for("the first stage", || began.exists());
    let collector = File::options().read(true).write(true).open(sandbox.path(".orchestrate/use.lock")).unwrap();
    collector.lock().unwrap();
    sandbox.write("go", "");
    wait_for("a word", || fs::read_to_string(&errors).unwrap().contains("the end of a garbage collection"));
    signal(child.id(), "-INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    drop(collector);
    let run = sandbox.run_well(&[]);
    assert_eq!((run.with("hit"), run.ran()), (vec!["first"], vec!["second"]));
}
