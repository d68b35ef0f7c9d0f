//! Ends of tasks that are nobody's fault, and those that are: failed nodes, preemption, limits, cancellation.

use crate::lab::{Lab, WAITS, letters, wait_for, well};
use crate::slurm::Cluster;

/// Waits long when it runs for the first time.
const LONG_AT_FIRST: &str = "[ $(grep -c \"^$1 \" LAB/worked) -gt 1 ] || sleep 100";

/// Rule 9.
#[test]
fn tasks_of_a_node_that_failed_are_computed_on_another_one() {
    let Some(cluster) = Cluster::own("") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a", "b"], LONG_AT_FIRST));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    let failed = lab.worked()[0].node.clone();
    cluster.ask(&["scontrol", "update", &format!("nodename={failed}"), "state=down", "reason=x"]);
    let run = well(lab.end(head));
    assert_eq!(run.ran().len(), 2);
    lab.assert_known();
    let worked = lab.worked();
    let of_node = |node: &str| worked.iter().filter(|worked| worked.node == node).count();
    assert!(of_node(&failed) >= 1 && worked[worked.len() - 1].node != failed, "{worked:#?}");
    assert!(lab.tasks().iter().any(|task| task.state == "NODE_FAIL"), "{:#?}", lab.tasks());
}

/// Slurm has no other way to fail to boot here, and calls it BOOT_FAIL where nodes are virtual machines. Rule 9.
#[test]
fn task_of_a_node_that_does_not_boot_is_submitted_again() {
    let Some(cluster) = Cluster::own("RebootProgram=/bin/true\nResumeTimeout=4\nBatchStartTimeout=4") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a"], ""));
    lab.program("sbatch", "#!/bin/sh\n[ -e LAB/tried ] || set -- --reboot \"$@\"\n: > LAB/tried\nexec REAL \"$@\"\n");
    lab.program("squeue", "#!/bin/sh\nREAL \"$@\" | sed 's/|NODE_FAIL|/|BOOT_FAIL|/'\n");
    lab.run_well(&[]);
    let runs = std::fs::read_dir(lab.sandbox.path(".orchestrate/runs")).unwrap();
    let logs = runs.map(|run| std::fs::read_to_string(run.unwrap().path().join("events.jsonl")).unwrap());
    assert!(logs.collect::<String>().contains("BOOT_FAIL"), "the log says why it was submitted again");
    lab.assert_each_once(&["a"]);
    assert_eq!(lab.jobs().len(), 2, "{:#?}", lab.tasks());
}

/// The controller loses sight of a node, and takes it for dead; its task lives on, and has the claim.
#[test]
fn task_of_a_node_that_is_only_thought_to_have_failed_is_computed_once() {
    let Some(cluster) = Cluster::own("SlurmdTimeout=5") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a"], WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(1);
    cluster.stop(&format!("slurmd-{}", lab.worked()[0].node));
    lab.wait_for_task("a node failed", |task| task.state == "NODE_FAIL");
    lab.wait_for_task("the second task", |task| task.state == "RUNNING");
    lab.sandbox.write("go", "");
    assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"]);
    assert_eq!(lab.worked().len(), 1, "{:#?}", lab.worked());
}

/// Rules 9 and 12.
#[test]
fn preempted_task_is_submitted_again() {
    let Some(cluster) = Cluster::own("") else { return };
    let lab = Lab::new(&cluster, "partition = \"low\"", &letters(&["a"], LONG_AT_FIRST));
    let head = lab.start(&[]);
    lab.wait_for_work(1);
    let node = lab.worked()[0].node.clone();
    cluster.ask(&["sbatch", "-p", "cpu", "-w", &node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2"]);
    lab.wait_for_task("preemption", |task| task.state == "PREEMPTED");
    assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"]);
    assert_eq!((lab.worked().len(), lab.jobs().len()), (2, 2), "{:#?}", lab.tasks());
    lab.assert_known();
}

/// Rule 12.
#[test]
fn task_that_the_site_requeues_is_waited_for_and_not_submitted_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &letters(&["a"], LONG_AT_FIRST));
    let head = lab.start(&[]);
    lab.wait_for_work(1);
    let id = lab.tasks()[0].id();
    // An administrator may.
    cluster.ask(&["scontrol", "update", &format!("jobid={id}"), "requeue=1"]);
    cluster.ask(&["scontrol", "requeue", &id]);
    assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"]);
    assert_eq!((lab.worked().len(), lab.jobs().len()), (2, 1), "{:#?}", lab.tasks());
    assert!(lab.worked().iter().all(|worked| worked.task == id), "{:#?}", lab.worked());
}

/// Holds some 250 MB for longer than the accounting takes to notice.
const HOG: &str = "(head -c 250000000 /dev/zero; sleep 4) | tail > /dev/null";

fn runs_out_of_memory(cluster: &Cluster, state: &str) {
    let lab = Lab::new(cluster, "max_memory = \"1GB\"", &letters(&["a"], HOG));
    assert_eq!(lab.run_well(&[]).ran(), ["make[letter=a]"]);
    let tasks = lab.tasks();
    assert!(tasks.len() >= 2 && tasks[0].state == state, "{tasks:#?}");
    // In MiB, rounded up.
    let memory: Vec<u64> = tasks.iter().map(|task| task.memory.trim_end_matches('M').parse().unwrap()).collect();
    assert!(memory.windows(2).all(|two| two[0] * 2 - two[1] < 2), "{memory:?}");
    lab.assert_known();

    lab.spec(&letters(&["b"], HOG));
    lab.configure("max_memory = \"100MB\"");
    let run = lab.run(&[]);
    assert_eq!((run.said.code, run.with("failed")), (Some(1), vec!["make[letter=b]"]), "{}", run.said.err);
    let cause = run.nodes["make[letter=b]"]["cause"].to_string();
    assert!(
        cause.contains("100 MB of memory were too little, and `max_memory` of `[cluster]` allows no more"),
        "{cause}"
    );
    assert!(cause.contains("peak memory") || cause.contains("exceeded memory limit ("), "{cause}");
    assert!(!cause.contains("RUNNING"), "{cause}");
}

/// Rule 9.
#[test]
fn task_out_of_memory_gets_twice_as_much_up_to_a_limit() {
    let Some(cluster) = Cluster::with_memory_limits() else { return };
    runs_out_of_memory(&cluster, "OUT_OF_MEMORY");
}

/// Slurm knows no such end without cgroups: the task is FAILED, and its output tells why.
#[test]
fn task_out_of_memory_is_known_by_its_output_where_slurm_has_no_state_for_it() {
    let Some(cluster) = Cluster::shared() else { return };
    runs_out_of_memory(cluster, "FAILED");
}

/// Rule 9. Slurm looks at limits twice a minute.
#[test]
fn task_over_its_time_limit_gets_twice_as_much() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "max_time = \"1h\"", &letters(&["a"], LONG_AT_FIRST));
    let head = lab.start(&[]);
    lab.wait_for_work(1);
    // Slurm's own limit comes first, and surprises the task.
    let task = lab.tasks()[0].id();
    cluster.ask(&["scontrol", "update", &format!("jobid={task}"), "EndTime=now+1"]);
    assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"]);
    let jobs = lab.jobs();
    assert_eq!((lab.worked().len(), jobs.len()), (2, 2), "{:#?}", lab.tasks());
    let limit = |job: &String| cluster.ask(&["squeue", "-h", "-t", "all", "-j", job, "-o", "%l"]).trim().to_owned();
    let last = jobs.keys().max_by_key(|job| job.parse::<u64>().expect("ids of Slurm are numbers"));
    assert_eq!(limit(last.expect("there are two")), "20:00");
    lab.assert_known();
}

/// A task looks at its own clock: Slurm's signals before the limit differ by version.
#[test]
fn task_stops_by_itself_before_its_time_limit_and_fails_at_the_most_that_is_allowed() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "time = \"1m\"\nmax_time = \"1m\"", &letters(&["a"], "sleep 100"));
    let run = lab.run(&[]);
    assert_eq!(run.said.code, Some(1), "{}", run.said.err);
    let cause = run.nodes["make[letter=a]"]["cause"].to_string();
    assert!(cause.contains("time") && cause.contains("max_time"), "{cause}");
    let tasks = lab.tasks();
    assert!(tasks.len() == 1 && tasks[0].state != "TIMEOUT", "it stopped before its limit: {tasks:#?}");
}

/// Rule 13. The signal of `--signal`, which Slurm sends some time before the limit.
#[test]
fn training_stopped_near_its_time_limit_goes_on_from_its_checkpoint() {
    let Some(cluster) = Cluster::shared() else { return };
    let train = include_str!("training.toml");
    let lab = Lab::new(cluster, "memory = \"1GB\"", train);
    let head = lab.start(&[]);
    let inside = |dir: std::path::PathBuf| std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let of_key = |key: std::fs::DirEntry| {
        inside(key.path()).any(|file| file.path().extension().is_some_and(|it| it == "checkpoint"))
    };
    wait_for("a checkpoint", || inside(lab.sandbox.path(".orchestrate/checkpoints")).any(of_key));
    let task = lab.wait_for_task("the training", |task| task.state == "RUNNING");
    cluster.ask(&["scancel", "--batch", "--signal=USR1", &task.id()]);
    let run = well(lab.end(head));
    assert!(run.ran().contains(&"train"), "{:?}", run.nodes);
    let tasks = lab.tasks();
    assert!(tasks.len() == 2 && tasks.iter().all(|task| task.state == "COMPLETED"), "{tasks:#?}");
    assert_eq!(tasks[0].memory, tasks[1].memory, "it asks for no more");
    let alone = Lab::new(cluster, "", train);
    let alone = alone.sandbox.run_well(&[]);
    assert_eq!(run.outputs(), alone.outputs());
}

/// Rule 9.
#[test]
fn task_cancelled_from_outside_fails_its_node_alone() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &letters(&["a", "b", "c"], WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(3);
    let task = lab.worked().iter().find(|worked| worked.label == "b").unwrap().task.clone();
    cluster.ask(&["scancel", &task]);
    lab.wait_for_task("its end", |known| known.id() == task && known.state == "CANCELLED");
    lab.sandbox.write("go", "");
    let run = lab.end(head);
    assert_eq!((run.said.code, run.with("failed")), (Some(1), vec!["make[letter=b]"]), "{}", run.said.err);
    assert_eq!(run.ran(), ["make[letter=a]", "make[letter=c]"]);
    let cause = run.nodes["make[letter=b]"]["cause"].to_string();
    assert!(cause.contains("CANCELLED") && cause.contains(&task), "{cause}");
    assert_eq!(lab.run_well(&[]).ran(), ["make[letter=b]"]);
    assert_eq!(lab.jobs().len(), 2);
}

/// Rule 14.
#[test]
fn failure_of_a_task_has_its_state_reason_node_and_last_lines() {
    let Some(cluster) = Cluster::shared() else { return };
    let setup = "setup = [\"echo the module cuda is not there >&2; exit 7\"]";
    let lab = Lab::new(cluster, setup, &letters(&["a"], ""));
    let run = lab.run(&[]);
    assert_eq!(run.said.code, Some(1), "{}", run.said.err);
    let cause = run.nodes["make[letter=a]"]["cause"].to_string();
    for part in ["FAILED", "NonZeroExitCode", "the module cuda is not there"] {
        assert!(cause.contains(part), "{part}: {cause}");
    }
    let last = lab.tasks().pop().unwrap();
    assert!(cause.contains(&last.id()) && cause.contains(&format!("node {}", last.node)), "{cause} {last:?}");
    assert!(lab.worked().is_empty());
}

#[test]
fn failure_of_a_program_is_told_as_on_one_machine() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &letters(&["a", "b"], "[ $1 = a ] || ( echo no $1 >&2; exit 3 )"));
    let run = lab.run(&[]);
    assert_eq!((run.said.code, run.ran()), (Some(1), vec!["make[letter=a]"]), "{}", run.said.err);
    let cause = run.nodes["make[letter=b]"]["cause"].as_str().unwrap().to_owned();
    let log = run.nodes["make[letter=b]"]["log"].as_str().unwrap().replace("DIR/", "");
    assert_eq!(lab.sandbox.read(&log), "no b\n");
    assert_eq!(lab.jobs().len(), 1, "a failure of its own is not tried again");
    let alone = lab.sandbox.run(&[]);
    assert_eq!(alone.nodes["make[letter=b]"]["cause"].as_str().unwrap(), cause);
}

/// Further rules: nodes that break every job are excluded.
#[test]
fn node_that_breaks_every_task_gets_no_more() {
    let Some(cluster) = Cluster::shared() else { return };
    // Slurm fills the first node first.
    let setup = "setup = [\"[ $SLURMD_NODENAME != n1 ] || exit 1\"]";
    let lab = Lab::new(cluster, setup, &letters(&["a", "b", "c"], ""));
    let run = lab.run_well(&[]);
    assert_eq!(run.ran().len(), 3);
    assert!(run.said.out.contains("node n1 gets no more tasks") || run.said.err.contains("node n1 gets no more"));
    assert!(lab.worked().iter().all(|worked| worked.node != "n1"), "{:#?}", lab.worked());
    let last = lab.jobs().into_keys().max_by_key(|job| job.parse::<u64>().unwrap()).unwrap();
    assert!(cluster.ask(&["scontrol", "show", "job", &last]).contains("ExcNodeList=n1"));
    lab.assert_each_once(&["a", "b", "c"]);
}
