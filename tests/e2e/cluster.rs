//! A run on a cluster whose scheduler is a script: what `plan --on` foresees, and the efficiency afterwards.

use crate::rerun::LETTERS;
use crate::sandbox::Sandbox;
use serde_json::{Value, json};

/// Runs the tasks of a job one after the other, while its id is in the file `queue`.
const SUBMIT: &str = r#"
id=$(($(cat last 2> /dev/null || echo 0) + 1))
echo $id > last
echo $id >> queue
(
  for task in $(seq "$1"); do TASK=$task sh "$2"; done
  sed -i "/^$id\$/d" queue
) > "out-$id" 2>&1 &
echo "submitted $id"
"#;

fn lab(section: &str) -> Sandbox {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.write("scheduler/submit", SUBMIT);
    sandbox.write("scheduler/queue", "");
    let dir = sandbox.path("scheduler");
    let dir = dir.display();
    sandbox.write(
        "orchestrate.toml",
        format!(
            "[cluster]\nkind = \"commands\"\nindex = \"TASK\"\nfirst_index = 1\n\
             submit = ['sh', '-c', 'cd {dir} && exec sh ./submit \"$@\"', 'sh', '{{tasks}}', '{{script}}']\n\
             status = 'cat {dir}/queue'\ncancel = 'false {{job}}'\n{section}"
        ),
    );
    sandbox
}

#[test]
fn plan_says_what_would_be_submitted_and_writes_nothing() {
    let sandbox = lab("kinds = \"command\"\nmax_jobs = 9\nthreads = 4\n[cluster.stages.all]\nmemory = \"1 GB\"\n");
    let said = sandbox.orchestrate(&["plan", "spec.toml", "--on", "commands", "--until", "upper"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let (_, submissions) = said.out.split_once("\n\n").expect("they follow the counts");
    insta::assert_snapshot!(submissions, @"
    on commands
    source: 2 nodes, 2 tasks in 1 job
      threads  4             [cluster]
      memory   4 GB          by default
      time     2 h 00 min    by default
      GPUs     none
    upper: 2 nodes, 2 tasks in at least 1 job
      threads  4             [cluster]
      memory   4 GB          by default
      time     2 h 00 min    by default
      GPUs     none
    at most 9 tasks at a time, as `max_jobs` says
    ");
    assert!(!sandbox.path(".orchestrate").exists() && sandbox.read("scheduler/queue").is_empty());
    let said = sandbox.orchestrate(&["plan", "spec.toml", "--on", "commands", "--json"]);
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let all = lines.iter().find(|line| line["reason"] == "submission" && line["stage"] == "all").expect("it is one");
    assert_eq!((&all["tasks"], &all["asked"]["memory_bytes"]), (&json!(1), &json!(1_000_000_000)));
    assert_eq!(all["sources"]["memory"], "[cluster.stages.all]");
}

#[test]
fn plan_on_a_cluster_that_nobody_declared_is_an_error_with_an_example() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let said = sandbox.orchestrate(&["plan", "spec.toml", "--on", "slurm"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("has no section [cluster]") && said.err.contains("kind = \"slurm\""), "{}", said.err);
    let wrong = lab("partition = \"cpu\"\n").orchestrate(&["plan", "spec.toml", "--on", "commands"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("`partition` belongs to a cluster of kind \"slurm\""), "{}", wrong.err);
}

#[test]
fn names_that_nobody_has_are_warnings_of_plan_and_run() {
    let sandbox = lab("kinds = [\"comand\"]\n[cluster.stages.uper]\n");
    for command in ["plan", "run"] {
        let said = sandbox.orchestrate(&[command, "spec.toml", "--on", "commands", "--only", "source[letter=a]"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.err.contains("there is no such kind of stage; did you mean `command`?"), "{}", said.err);
        assert!(said.err.contains("for no stage of this spec; did you mean `upper`?"), "{}", said.err);
    }
}

#[test]
fn efficiency_follows_a_run_on_a_cluster_and_its_needs_are_what_the_next_one_asks_for() {
    let sandbox = lab("memory = \"8 GB\"\ntime = \"3h\"\n");
    let said = sandbox.orchestrate(&["run", "spec.toml", "--on", "commands"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(sandbox.read("results/text"), "AAABBB");
    for text in
        ["used of asked  batches  memory ", " of 8 GB ", " of 3 h 00 min ", "[cluster.stages.source]\nmemory = "]
    {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    let shown = sandbox.orchestrate(&["show", "latest"]);
    assert!(shown.out.contains("\nused of asked  batches"), "{}", shown.out);

    let plan = ["plan", "spec.toml", "--on", "commands", "--set", "axes.letter=[\"c\"]"];
    let planned = sandbox.orchestrate(&plan);
    assert!(planned.out.contains("as earlier runs needed "), "{}", planned.out);
    let run = sandbox.run_well(&["--on", "commands", "--set", "axes.letter=[\"c\"]"]);
    let lines: Vec<Value> = run.said.out.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let stages: Vec<_> = lines.iter().filter(|line| line["reason"] == "efficiency").collect();
    assert_eq!(stages.len(), 4, "{}", run.said.out);
    // What was learned is asked for, and nothing fits better.
    assert!(stages.iter().all(|line| line["asked"]["memory_bytes"].as_u64() < Some(4_000_000_000)), "{stages:?}");
    let fitting = &stages[0]["fitting"];
    assert_eq!((&fitting["memory_bytes"], &fitting["time_ms"]), (&Value::Null, &Value::Null), "{stages:?}");

    let local = sandbox.orchestrate(&["run", "spec.toml", "--set", "axes.letter=[\"d\"]"]);
    assert!(local.code == Some(0) && !local.err.contains("used of asked"), "{}", local.err);
}
