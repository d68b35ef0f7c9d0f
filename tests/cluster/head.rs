//! The head may die at any step, be stopped, or have a twin: nothing is submitted twice. Rule 15.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, letters, signal, wait_for, well};
use crate::sandbox::{Run, Said};
use crate::slurm::Cluster;

const WAITS: &str = "while [ ! -e LAB/go ]; do sleep 0.1; done";
/// Kills the head that runs this command of Slurm, the first time.
const KILLS: &str = "[ -e LAB/killed ] || { : > LAB/killed; kill -KILL $PPID; exit 1; }";

/// A study of two nodes in one array, and one that hangs on both.
fn spec(script: &str) -> String {
    letters(&["a", "b"], script)
        + "\n[stages.all]\nkind = \"command\"\ninputs = { texts = \"make\" }\n\
           argv = [\"sh\", \"-ec\", 'LAB/bin/note all; cat $1/*/text > $2/text', \"sh\", \"{in.texts}\", \"{out}\"]\n"
}

const LABELS: [&str; 3] = ["a", "all", "b"];

fn killed(mut head: Child) {
    let status = head.wait().expect("it is a child");
    assert_eq!(status.code(), None, "the head was killed");
}

/// Goes on after the death of a head, and checks that every node was computed once, in so many jobs.
fn goes_on(lab: &Lab<'_>, is_attached: bool, jobs: usize) {
    lab.sandbox.write("go", "");
    if is_attached {
        let said = lab.orchestrate(&["attach"]);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    } else {
        lab.run_well(&[]);
    }
    lab.assert_each_once(&LABELS);
    assert_eq!(lab.jobs().len(), jobs, "{:#?}", lab.tasks());
    let run = lab.run_well(&[]);
    assert_eq!(run.with("hit").len(), 3, "{:?}", run.nodes);
    assert_eq!(lab.jobs().len(), jobs, "{:#?}", lab.tasks());
}

#[test]
fn head_killed_before_it_writes_a_job_folder() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(""));
    lab.program("scontrol", &format!("#!/bin/sh\n{KILLS}\nexec REAL \"$@\"\n"));
    killed(lab.start(&[]));
    assert!(lab.jobs().is_empty());
    goes_on(&lab, true, 2);
}

#[test]
fn head_killed_between_the_job_folder_and_the_submission() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(""));
    lab.program("sbatch", &format!("#!/bin/sh\n{KILLS}\nexec REAL \"$@\"\n"));
    killed(lab.start(&[]));
    assert!(lab.jobs().is_empty());
    goes_on(&lab, false, 2);
}

#[test]
fn head_killed_right_after_the_submission() {
    let Some(cluster) = Cluster::shared() else { return };
    for is_attached in [false, true] {
        let lab = Lab::new(cluster, "", &spec(WAITS));
        lab.program("sbatch", &format!("#!/bin/sh\nREAL \"$@\" || exit 1\n{KILLS}\n"));
        killed(lab.start(&[]));
        assert_eq!(lab.jobs().len(), 1, "nobody read its id");
        goes_on(&lab, is_attached, 2);
    }
}

#[test]
fn head_killed_while_its_tasks_run() {
    let Some(cluster) = Cluster::shared() else { return };
    for is_attached in [false, true] {
        let lab = Lab::new(cluster, "", &spec(WAITS));
        let head = lab.start(&[]);
        lab.wait_for_work(2);
        signal(head.id(), "-KILL");
        killed(head);
        goes_on(&lab, is_attached, 2);
    }
}

#[test]
fn head_killed_after_its_tasks_have_ended() {
    let Some(cluster) = Cluster::shared() else { return };
    for is_attached in [false, true] {
        let lab = Lab::new(cluster, "", &spec(WAITS));
        let head = lab.start(&[]);
        lab.wait_for_work(2);
        signal(head.id(), "-STOP");
        lab.sandbox.write("go", "");
        wait_for("both to end", || lab.tasks().iter().filter(|task| task.state == "COMPLETED").count() == 2);
        signal(head.id(), "-KILL");
        killed(head);
        goes_on(&lab, is_attached, 2);
    }
}

/// Between the end of one task and that of another one.
#[test]
fn head_killed_when_it_has_reported_one_of_two_results() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec("[ $1 = a ] || while [ ! -e LAB/go ]; do sleep 0.1; done"));
    let head = lab.start(&[]);
    let logs = || std::fs::read_dir(lab.sandbox.path(".orchestrate/runs")).into_iter().flatten().flatten();
    let reported = |run: std::fs::DirEntry| {
        let log = std::fs::read_to_string(run.path().join("events.jsonl")).unwrap_or_default();
        log.contains("\"node_ran\"")
    };
    wait_for("a result", || logs().any(reported));
    signal(head.id(), "-KILL");
    killed(head);
    goes_on(&lab, true, 2);
}

#[test]
fn interrupted_head_without_a_terminal_leaves_its_tasks_running() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    signal(head.id(), "-INT");
    let run = lab.end(head);
    assert_eq!(run.said.code, Some(130), "{}", run.said.err);
    assert!(run.said.err.contains("left running") && run.said.err.contains("orchestrate attach"), "{}", run.said.err);
    assert!(lab.tasks().iter().all(|task| task.state == "RUNNING"), "{:#?}", lab.tasks());
    goes_on(&lab, true, 2);
}

/// Runs the head on a terminal, and types Ctrl-C and an answer once it asks.
fn interrupted_on_a_terminal(lab: &Lab<'_>, answer: &str) -> Option<(Option<i32>, String)> {
    if !crate::slurm::is_installed("script") {
        crate::slurm::skip("there is no `script` to make a terminal with");
        return None;
    }
    let line = format!("{} run spec.toml --on slurm", env!("CARGO_BIN_EXE_orchestrate"));
    let shell = lab.command(&[]);
    let mut script = Command::new("script");
    shell.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
        script.env(name, value);
    });
    script.args(["-qefc", &line, "typescript"]).current_dir(lab.dir()).env("TERM", "xterm");
    script.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut script = script.spawn().expect("it is installed");
    let mut keys = script.stdin.take().expect("it is a pipe");
    lab.wait_for_work(2);
    keys.write_all(b"\x03").unwrap();
    keys.flush().unwrap();
    wait_for("the question", || lab.sandbox.read("typescript").contains("leave running, or cancel?"));
    keys.write_all(format!("{answer}\n").as_bytes()).unwrap();
    keys.flush().unwrap();
    let status = script.wait().unwrap();
    Some((status.code(), lab.sandbox.read("typescript")))
}

#[test]
fn ctrl_c_on_a_terminal_asks_and_cancels() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let Some((code, shown)) = interrupted_on_a_terminal(&lab, "c") else { return };
    assert_eq!(code, Some(130), "{shown}");
    let ended = || lab.tasks().iter().all(|task| task.state == "CANCELLED");
    wait_for("the tasks to be cancelled", ended);
    lab.sandbox.write("go", "");
    lab.run_well(&[]);
    assert_eq!(lab.worked().len(), 2 + 3, "{:#?}", lab.worked());
}

#[test]
fn ctrl_c_on_a_terminal_asks_and_leaves_running() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let Some((code, shown)) = interrupted_on_a_terminal(&lab, "") else { return };
    assert_eq!(code, Some(130), "{shown}");
    assert!(lab.tasks().iter().all(|task| task.state == "RUNNING"), "{:#?}", lab.tasks());
    goes_on(&lab, false, 2);
}

#[test]
fn cancel_ends_the_jobs_of_a_run_without_its_head() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    signal(head.id(), "-KILL");
    killed(head);
    let jobs: Vec<_> = lab.jobs().into_keys().collect();
    let said = lab.orchestrate(&["cancel", "latest"]);
    assert_eq!((said.code, said.out), (Some(0), format!("cancelled 1 job: {}\n", jobs[0])), "{}", said.err);
    wait_for("the tasks to be cancelled", || lab.tasks().iter().all(|task| task.state == "CANCELLED"));
    let said = lab.orchestrate(&["cancel", "latest"]);
    assert!(said.code == Some(0) && said.out.contains("has no jobs"), "{}{}", said.out, said.err);
    lab.sandbox.write("go", "");
    lab.run_well(&[]);
    assert_eq!(lab.jobs().len(), 3);
}

#[test]
fn cancel_while_the_head_lives_ends_its_nodes() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    let said = lab.orchestrate(&["cancel", "latest"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let run = lab.end(head);
    assert_eq!(run.said.code, Some(1), "{}{}", run.said.out, run.said.err);
    assert_eq!(lab.jobs().len(), 1, "what people cancel is not submitted again: {:#?}", lab.tasks());
}

#[test]
fn two_heads_at_once_submit_a_node_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec("sleep 1"));
    let heads = [lab.start(&[]), lab.start(&[])];
    let runs = heads.map(|head| well(lab.end(head)));
    lab.assert_each_once(&LABELS);
    assert_eq!(runs[0].outputs(), runs[1].outputs());
    // Each may have got the lease of one of the first two.
    assert_eq!(lab.tasks().len(), 3, "{:#?}", lab.tasks());
}

/// The head that has submitted dies, while another one waits for it.
#[test]
fn second_head_takes_over_from_the_first() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let first = lab.start(&[]);
    lab.wait_for_work(2);
    let second = lab.start(&[]);
    std::thread::sleep(Duration::from_secs(2));
    signal(first.id(), "-KILL");
    killed(first);
    lab.sandbox.write("go", "");
    assert_eq!(well(lab.end(second)).nodes.len(), 3);
    lab.assert_each_once(&LABELS);
    assert_eq!(lab.jobs().len(), 2, "{:#?}", lab.tasks());
}

/// Further rules: the working folder of the head is gone.
#[test]
fn head_in_a_deleted_working_folder_goes_on() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &spec(WAITS));
    let spec = lab.sandbox.path("spec.toml").display().to_string();
    std::fs::create_dir(lab.sandbox.path("elsewhere")).unwrap();
    let mut command = lab.command(&["run", &spec, "--json", "--on", "slurm"]);
    command.current_dir(lab.sandbox.path("elsewhere")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let head = command.spawn().unwrap();
    lab.wait_for_work(2);
    std::fs::remove_dir(lab.sandbox.path("elsewhere")).unwrap();
    lab.sandbox.write("go", "");
    let run = Run::from(Said::from(head.wait_with_output().unwrap(), &lab.dir()));
    assert_eq!(well(run).ran().len(), 3);
    lab.assert_each_once(&LABELS);
}
