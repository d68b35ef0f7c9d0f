//! Answers of Slurm that are late, wrong, or missing: the store decides.

use std::fs;
use std::time::{Duration, Instant};

use crate::lab::{Lab, letters, signal, wait_for, well};
use crate::slurm::Cluster;

const WAITS: &str = "while [ ! -e LAB/go ]; do sleep 0.1; done";

/// Rule 1.
#[test]
fn study_runs_where_the_accounting_is_off() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &letters(&["a", "b", "c"], ""));
    let said = cluster.fails(&["sacct"]);
    assert!(said.contains("accounting storage is disabled"), "{said}");
    let run = lab.run_well(&[]);
    assert_eq!(run.ran().len(), 3);
    lab.assert_each_once(&["a", "b", "c"]);
    assert_eq!(lab.jobs().len(), 1, "one array: {:#?}", lab.tasks());
    let again = lab.run_well(&[]);
    assert_eq!((again.with("hit").len(), lab.jobs().len()), (3, 1));
    let alone = Lab::new(cluster, "", "");
    alone.sandbox.write("spec.toml", lab.sandbox.read("spec.toml"));
    assert_eq!(alone.sandbox.run_well(&[]).outputs(), run.outputs());
}

/// A controller that forgets ended jobs within seconds, as busy ones do.
#[test]
fn tasks_that_the_queue_has_forgotten_are_known_by_their_outcomes() {
    let Some(cluster) = Cluster::own("MinJobAge=2") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a", "b"], ""));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    let known = lab.jobs();
    signal(head.id(), "-STOP");
    wait_for("the queue to forget", || lab.tasks().is_empty());
    signal(head.id(), "-CONT");
    assert_eq!(well(lab.end(head)).ran().len(), 2);
    assert_eq!((lab.worked().len(), known.len()), (2, 1));
}

/// Neither the queue nor an accounting knows a task that left no outcome.
#[test]
fn task_that_vanished_without_a_trace_is_submitted_again() {
    let Some(cluster) = Cluster::own("MinJobAge=2") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a"], "[ $(grep -c ^a LAB/worked) -gt 1 ] || sleep 100"));
    let head = lab.start(&[]);
    lab.wait_for_work(1);
    signal(head.id(), "-STOP");
    cluster.ask(&["scancel", "--signal=KILL", "--full", &lab.tasks()[0].job]);
    wait_for("the queue to forget", || lab.tasks().is_empty());
    signal(head.id(), "-CONT");
    let run = well(lab.end(head));
    assert_eq!((run.ran(), lab.worked().len()), (vec!["make[letter=a]"], 2));
}

/// Rule 3.
#[test]
fn accounting_that_is_down_fails_nothing() {
    let Some(cluster) = Cluster::own_accounted("") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a", "b"], WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    cluster.stop("slurmdbd");
    let said = cluster.fails(&["sacct"]);
    assert!(said.contains("slurmdbd") || said.contains("refused"), "{said}");
    // The head asks several times meanwhile.
    std::thread::sleep(Duration::from_secs(6));
    lab.sandbox.write("go", "");
    assert_eq!(well(lab.end(head)).ran().len(), 2);
    lab.spec(&letters(&["a", "b", "c"], WAITS));
    assert_eq!(lab.run_well(&[]).ran(), ["make[letter=c]"]);
    lab.assert_each_once(&["a", "b", "c"]);
    cluster.start("slurmdbd");
    wait_for("the accounting to catch up", || {
        cluster.accounted_states(&lab.dir()).iter().filter(|state| *state == "COMPLETED").count() == 3
    });
}

/// Rule 2. A head of the next day sees yesterday's cancellation, though `sacct` shows today's jobs only.
#[test]
fn end_of_a_task_of_yesterday_is_found_in_the_accounting() {
    let Some(cluster) = Cluster::own_accounted("MinJobAge=2") else { return };
    if !crate::slurm::is_installed("faketime") {
        crate::slurm::skip("there is no faketime, so no next day");
        return;
    }
    let lab = Lab::new(&cluster, "", &letters(&["a"], WAITS));
    let mut head = lab.start(&[]);
    lab.wait_for_work(1);
    let task = lab.worked()[0].task.clone();
    signal(head.id(), "-KILL");
    head.wait().unwrap();
    cluster.ask(&["scancel", &task]);
    wait_for("the queue to forget", || lab.tasks().is_empty());
    lab.program("sacct", "#!/bin/sh\nexec faketime -f '+30h' REAL \"$@\"\n");
    let sacct = lab.sandbox.path("bin/sacct").display().to_string();
    assert_eq!(cluster.ask(&[&sacct, "-X", "-n"]), "", "by default it shows jobs since midnight");
    let run = lab.run(&[]);
    assert_eq!(run.said.code, Some(1), "{}{}", run.said.out, run.said.err);
    let cause = run.nodes["make[letter=a]"]["cause"].to_string();
    assert!(cause.contains("CANCELLED") && cause.contains(&task), "{cause}");
    assert_eq!(lab.worked().len(), 1);
}

/// Rule 11.
#[test]
fn submission_that_timed_out_after_success_is_not_repeated() {
    let Some(cluster) = Cluster::shared() else { return };
    for failure in [
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1",
        // The answer is lost.
        "exit 0",
    ] {
        let lab = Lab::new(cluster, "", &letters(&["a", "b"], ""));
        lab.program("sbatch", &format!("#!/bin/sh\nREAL \"$@\" > LAB/said\n{failure}\n"));
        assert_eq!(lab.run_well(&[]).ran().len(), 2);
        lab.assert_each_once(&["a", "b"]);
        let jobs: Vec<_> = lab.jobs().into_keys().collect();
        assert_eq!(jobs, [lab.sandbox.read("said").trim()]);
    }
}

/// Rule 11, the other way.
#[test]
fn submission_that_failed_without_a_trace_is_repeated_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "", &letters(&["a"], ""));
    lab.program(
        "sbatch",
        "#!/bin/sh\nif [ -e LAB/tried ]; then exec REAL \"$@\"; fi\n: > LAB/tried\n\
         echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1\n",
    );
    assert_eq!(lab.run_well(&[]).ran(), ["make[letter=a]"]);
    lab.assert_each_once(&["a"]);
    assert_eq!(lab.jobs().len(), 1);
}

/// Rule 6: Slurm's own words, for what only Slurm knows.
#[test]
fn submission_that_slurm_refuses_is_an_error_with_its_words() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "partition = \"nowhere\"", &letters(&["a"], ""));
    let run = lab.run(&[]);
    assert_eq!(run.said.code, Some(1), "{}", run.said.err);
    let cause = run.nodes["make[letter=a]"]["cause"].to_string();
    assert!(cause.contains("invalid partition specified: nowhere"), "{cause}");
    assert!(lab.worked().is_empty() && lab.jobs().is_empty());
}

/// Rule 3, for the controller.
#[test]
fn controller_that_is_down_for_a_while_fails_nothing() {
    let Some(cluster) = Cluster::own("") else { return };
    let lab = Lab::new(&cluster, "", &letters(&["a", "b"], WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(2);
    cluster.stop("slurmctld");
    let said = cluster.fails(&["squeue"]);
    assert!(said.contains("Unable to contact slurm controller"), "{said}");
    lab.sandbox.write("go", "");
    assert_eq!(well(lab.end(head)).ran().len(), 2, "the store decides");
    cluster.start("slurmctld");
    wait_for("the controller", || cluster.answers());
    lab.assert_each_once(&["a", "b"]);
}

/// Rule 4.
#[test]
fn questions_are_few_and_one_for_all_jobs() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "max_array = 2", &letters(&["a", "b", "c", "d", "e", "f"], "sleep 12"));
    for name in ["squeue", "sacct", "sbatch", "scontrol", "srun"] {
        lab.program(name, &format!("#!/bin/sh\necho {name} \"$@\" >> LAB/asked\nexec REAL \"$@\"\n"));
    }
    let began = Instant::now();
    assert_eq!(lab.run_well(&[]).ran().len(), 6);
    let seconds = began.elapsed().as_secs();
    let asked = lab.sandbox.read("asked");
    let count = |name: &str| asked.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((count("sbatch"), count("srun")), (3, 0), "{asked}");
    assert!(count("squeue") as u64 <= 1 + seconds / 2, "{seconds} s: {asked}");
    assert!(count("scontrol") <= 1, "{asked}");
}

/// Rule 8. What a task has written shows itself seconds after it has left the queue, as on NFS.
#[test]
fn files_that_show_themselves_late_are_waited_for() {
    let Some(cluster) = Cluster::shared() else { return };
    for hidden in ["jobs", "packs"] {
        let lab = Lab::new(cluster, "program = \"LAB/bin/late\"", &letters(&["a"], ""));
        let late = "#!/bin/sh\nSTORE=LAB/.orchestrate\n: > LAB/mark\nPROGRAM \"$@\"; code=$?\n\
                    find $STORE/HIDDEN -type f -newer LAB/mark ! -name '*.out' > LAB/late\n\
                    while read -r file; do mv $file LAB/hidden/${file##*/}; done < LAB/late\n\
                    : > LAB/moved\nexit $code\n";
        let late = late.replace("PROGRAM", env!("CARGO_BIN_EXE_orchestrate")).replace("HIDDEN", hidden);
        lab.program("late", &late);
        fs::create_dir(lab.sandbox.path("hidden")).unwrap();
        let head = lab.start(&[]);
        lab.wait_for_task("the task", |task| task.state == "COMPLETED");
        wait_for("the files to be hidden", || lab.sandbox.path("moved").exists());
        std::thread::sleep(Duration::from_secs(6));
        let late = lab.sandbox.read("late");
        assert!(!late.is_empty());
        for file in late.lines().map(std::path::Path::new) {
            fs::rename(lab.sandbox.path("hidden").join(file.file_name().unwrap()), file).unwrap();
        }
        assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"], "{hidden}");
        lab.assert_each_once(&["a"]);
        assert_eq!(lab.jobs().len(), 1, "{hidden}");
    }
}
