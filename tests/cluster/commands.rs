//! Other queueing systems by command templates: Grid Engine of Debian, and a small one of three scripts.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use crate::lab::{Lab, letters, signal, wait_for, well};
use crate::slurm::{free_ports, is_installed, skip};

const WAITS: &str = "while [ ! -e LAB/go ]; do sleep 0.1; done";

/// A throw-away Grid Engine of one node, which ends with this value.
struct GridEngine {
    _script: Child,
    variables: Vec<(&'static str, std::ffi::OsString)>,
}

impl GridEngine {
    fn new() -> Option<Self> {
        let needed = ["sge_qmaster", "sge_execd", "qsub", "qconf"];
        if let Some(missing) = needed.into_iter().find(|name| !is_installed(name)) {
            skip(&format!("there is no {missing}, so no Grid Engine starts (Debian: gridengine-master, -exec)"));
            return None;
        }
        if std::fs::metadata("/proc/self").map_or(1, |process| process.uid()) != 0 {
            skip("Grid Engine starts jobs as root only");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("sge-").tempdir().expect("tests have a temporary folder").keep();
        let port = free_ports();
        let mut command = Command::new("setsid");
        command.args(["bash", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/gridengine.sh")]);
        command.arg(&dir).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("there is a `setsid`");
        let mut line = String::new();
        BufReader::new(script.stdout.take().expect("it is a pipe")).read_line(&mut line).expect("it is text");
        assert_eq!(line, "ready\n", "Grid Engine did not start");
        let variables = vec![
            ("SGE_ROOT", dir.into_os_string()),
            ("SGE_CELL", "default".into()),
            ("SGE_QMASTER_PORT", port.to_string().into()),
            ("SGE_EXECD_PORT", (port + 1).to_string().into()),
        ];
        Some(Self { _script: script, variables })
    }

    fn lab(&self, spec: &str) -> Lab<'static> {
        Lab::of_commands(self.variables.clone(), GRID_ENGINE, spec)
    }

    /// The last jobs that it knows to have ended, with their tasks.
    fn ended(&self) -> Vec<String> {
        let mut command = Command::new("qstat");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.args(["-s", "z"]).output().expect("it is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().skip(2).filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    }
}

/// No name may begin with a digit there.
const GRID_ENGINE: &str = r#"
[cluster]
kind = "commands"
submit = "qsub -S /bin/sh -N o{name} -t 1-{tasks} -o {output} -j y {script}"
status = "qstat -r"
cancel = "qdel {job}"
index = "SGE_TASK_ID"
first_index = 1
memory = "100MB"
threads = 1
"#;

#[test]
fn study_runs_on_grid_engine() {
    let Some(engine) = GridEngine::new() else { return };
    let lab = engine.lab(&letters(&["a", "b", "c"], ""));
    let run = lab.run_well(&[]);
    assert_eq!(run.ran().len(), 3);
    let worked = lab.worked();
    let mut tasks: Vec<_> = worked.iter().map(|worked| worked.task.as_str()).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["1_1", "1_2", "1_3"], "one array: {worked:#?}");
    wait_for("Grid Engine to list it as ended", || engine.ended().contains(&"1".to_owned()));
    assert_eq!(lab.run_well(&[]).with("hit").len(), 3);
    assert_eq!(lab.sandbox.run_well(&["--store", "alone"]).outputs(), run.outputs());

    // A failure of its own, and a cancellation from outside.
    lab.spec(&letters(&["d", "e"], "[ $1 = d ] || ( echo no $1 >&2; exit 3 )"));
    let run = lab.run(&[]);
    assert_eq!((run.said.code, run.with("failed")), (Some(1), vec!["make[letter=e]"]), "{}", run.said.err);
    assert!(run.nodes["make[letter=e]"]["cause"].to_string().contains("no e"));
}

#[test]
fn head_on_grid_engine_may_die_and_the_next_one_adopts_its_jobs() {
    let Some(engine) = GridEngine::new() else { return };
    let lab = engine.lab(&letters(&["a", "b"], WAITS));
    let mut head = lab.start(&[]);
    lab.wait_for_work(2);
    signal(head.id(), "-KILL");
    head.wait().unwrap();
    let next = lab.start_any(&["attach"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    lab.sandbox.write("go", "");
    let said = next.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(lab.worked().len(), 2, "{:#?}", lab.worked());

    // The submission works, and its answer is lost.
    let lab = engine.lab(&letters(&["c"], WAITS));
    lab.program("qsub", "#!/bin/sh\nREAL \"$@\" > LAB/said\nkill -KILL $PPID\n");
    let mut head = lab.start(&[]);
    assert_eq!(head.wait().unwrap().code(), None, "it was killed");
    std::fs::remove_file(lab.sandbox.path("bin/qsub")).unwrap();
    lab.sandbox.write("go", "");
    lab.run_well(&[]);
    assert_eq!(lab.worked().len(), 1, "{:#?}", lab.worked());
}

/// `qsub`, `qstat` and `qdel` of a queueing system that starts each task at once.
const QSUB: &str = r#"#!/bin/sh
set -e
while getopts N:t:o:m:g: option; do
  case $option in
    N) name=$OPTARG ;;
    t) tasks=$OPTARG ;;
    o) output=$OPTARG ;;
    m) echo "$OPTARG" >> LAB/memory ;;
    g) echo "$OPTARG" >> LAB/gpus ;;
  esac
done
shift $((OPTIND - 1))
id=$(($(cat LAB/queue/last) + 1))
echo $id > LAB/queue/last
echo "$name" > LAB/queue/$id.name
for task in $(seq 0 $((tasks - 1))); do
  JOB_ID=$id ANY_TASK_ID=$task setsid sh "$1" >> "$output" 2>&1 < /dev/null &
  echo $! >> LAB/queue/$id.pids
done
echo "request $id is queued"
"#;
const QSTAT: &str = r#"#!/bin/sh
[ ! -e LAB/down ] || exit 1
for pids in LAB/queue/*.pids; do
  [ -e "$pids" ] || continue
  id=$(basename "$pids" .pids)
  for pid in $(cat "$pids"); do
    if kill -0 "$pid" 2> /dev/null; then echo "$id $(cat LAB/queue/$id.name) running"; break; fi
  done
done
"#;
const QDEL: &str =
    "#!/bin/sh\nfor pid in $(cat LAB/queue/$1.pids); do kill -TERM -$pid; done\necho $1 >> LAB/deleted\n";
const SCRIPTS: &str = r#"
[cluster]
kind = "commands"
submit = ["anysub", "-N", "{name}", "-t", "{tasks}", "-o", "{output}", "-m", "{memory_mb}", "{gpu}", "{script}"]
status = "anystat"
cancel = "anydel {job}"
gpu = "-g {gpu}"
index = "ANY_TASK_ID"
first_index = 0
memory = "100MB"
max_memory = "1GB"
threads = 1
"#;

fn of_scripts(spec: &str) -> Lab<'static> {
    let lab = Lab::of_commands(Vec::new(), SCRIPTS, spec);
    [("anysub", QSUB), ("anystat", QSTAT), ("anydel", QDEL)]
        .iter()
        .for_each(|(name, script)| lab.program(name, script));
    lab.sandbox.write("queue/last", "40\n");
    lab
}

fn submitted(lab: &Lab<'_>) -> usize {
    lab.sandbox.read("queue/last").trim().parse::<usize>().unwrap() - 40
}

#[test]
fn study_runs_by_command_templates_and_silence_of_the_queue_fails_nothing() {
    let lab = of_scripts(&letters(&["a", "b", "c"], WAITS));
    let head = lab.start(&[]);
    lab.wait_for_work(3);
    lab.sandbox.write("down", "");
    std::thread::sleep(std::time::Duration::from_secs(4));
    lab.sandbox.write("go", "");
    let run = well(lab.end(head));
    assert_eq!((run.ran().len(), submitted(&lab)), (3, 1));
    let mut tasks: Vec<_> = lab.worked().into_iter().map(|worked| worked.task).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["41_0", "41_1", "41_2"]);
    assert_eq!(lab.sandbox.read("memory"), "96\n", "MiB, rounded up");
    assert!(!lab.sandbox.path("gpus").exists());
    assert_eq!(lab.sandbox.run_well(&["--store", "alone"]).outputs(), run.outputs());
}

#[test]
fn template_has_flags_for_gpus_where_a_stage_asks_for_one() {
    let lab = of_scripts(&letters(&["a"], "").replace("over =", "resources = { gpu = 2 }\nover ="));
    lab.run_well(&[]);
    assert_eq!(lab.sandbox.read("gpus"), "2\n");
}

#[test]
fn task_that_vanished_from_the_list_of_the_queue_is_submitted_again() {
    let lab = of_scripts(&letters(&["a"], "[ $(grep -c ^a LAB/worked) -gt 1 ] || sleep 100"));
    let head = lab.start(&[]);
    lab.wait_for_work(1);
    let group = lab.sandbox.read("queue/41.pids");
    let killed = Command::new("kill").args(["-KILL", "--", &format!("-{}", group.trim())]).status();
    assert!(killed.unwrap().success());
    assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"]);
    assert_eq!((lab.worked().len(), submitted(&lab)), (2, 2));
}

#[test]
fn jobs_of_a_queue_by_templates_are_adopted_and_cancelled() {
    let lab = of_scripts(&letters(&["a", "b"], WAITS));
    for answer in ["REAL", "lost"] {
        if answer == "lost" {
            lab.program("anysub", &QSUB.replace("echo \"request", "kill -KILL $PPID; echo \"request"));
            lab.spec(&letters(&["c"], WAITS));
            let _ = std::fs::remove_file(lab.sandbox.path("go"));
        }
        let (before, count) = (lab.worked().len(), submitted(&lab));
        let mut head = lab.start(&[]);
        wait_for("the work", || lab.worked().len() > before);
        if answer == "REAL" {
            signal(head.id(), "-KILL");
        }
        assert_eq!(head.wait().unwrap().code(), None);
        lab.program("anysub", QSUB);
        lab.sandbox.write("go", "");
        lab.run_well(&[]);
        assert_eq!(submitted(&lab), count + 1, "{answer}");
    }
    assert_eq!(lab.worked().len(), 3, "{:#?}", lab.worked());

    lab.spec(&letters(&["x"], "sleep 100"));
    let mut head = lab.start(&[]);
    lab.wait_for_work(4);
    signal(head.id(), "-INT");
    assert_eq!(head.wait().unwrap().code(), Some(130));
    let said = lab.orchestrate(&["cancel", "latest"]);
    assert_eq!(said.out, "cancelled 1 job: 43\n", "{}", said.err);
    assert_eq!(lab.sandbox.read("deleted"), "43\n");
}
