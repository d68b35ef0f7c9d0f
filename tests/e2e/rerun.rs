//! Reruns after a change: only the nodes that it concerns.

use std::collections::BTreeSet;

use crate::sandbox::Sandbox;

/// A chain of commands: letters → upper (over letter) → repeat (over letter, times) → all (gathers).
pub(crate) const LETTERS: &str = r#"
[experiment]
name = "letters"

[axes]
letter = ["a", "b"]
times = [1, 2]

[stages.source]
kind = "command"
over = ["letter"]
argv = ["sh", "-c", 'printf %s "$1" > "$2/text"', "sh", "{params.letter}", "{out}"]

[stages.upper]
kind = "command"
over = ["letter"]
inputs = { text = "source" }
argv = ["sh", "-c", 'tr a-c A-C < "$1/text" > "$2/text"', "sh", "{in.text}", "{out}"]

[stages.repeat]
kind = "command"
over = ["letter", "times"]
inputs = { text = "upper" }
argv = [
  "sh", "-c", 'for i in $(seq "$3"); do cat "$1/text"; done > "$2/text"', "sh", "{in.text}", "{out}", "{params.times}"
]

[stages.all]
kind = "command"
inputs = { texts = "repeat" }
argv = ["sh", "-c", 'cat "$1"/*/text > "$2/text"', "sh", "{in.texts}", "{out}"]
publish = "results"
"#;

#[test]
fn second_run_is_all_hits_and_changes_no_byte() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let first = sandbox.run_well(&[]);
    assert_eq!(first.ran().len(), 2 + 2 + 4 + 1);
    assert_eq!(sandbox.read("results/text"), "AAABBB");
    let second = sandbox.run_well(&[]);
    assert_eq!(second.ran(), [""; 0]);
    assert_eq!(second.summary["hit"], 9);
    assert_eq!(first.outputs(), second.outputs());
}

#[test]
fn run_of_hits_leaves_one_new_file() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    // The first run of hits makes the file of last uses.
    sandbox.run_well(&[]);
    let files = || {
        let found =
            std::process::Command::new("find").arg(sandbox.path(".orchestrate")).output().expect("there is a `find`");
        BTreeSet::from_iter(String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned))
    };
    let before = files();
    sandbox.run_well(&[]);
    let after = files();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(before.is_subset(&after));
    assert!(matches!(new[..], [dir, log] if *log == format!("{dir}/events.jsonl")), "{new:?}");
}

#[test]
fn changing_one_value_of_an_axis_runs_its_points_and_the_gathering_node() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    sandbox.edit("spec.toml", "times = [1, 2]", "times = [1, 3]");
    let run = sandbox.run_well(&[]);
    assert_eq!(run.ran(), ["all", "repeat[letter=a,times=3]", "repeat[letter=b,times=3]"]);
    assert_eq!(sandbox.read("results/text"), "AAAABBBB");
}

#[test]
fn adding_a_value_runs_no_node_that_existed_but_the_gathering_one() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let run = sandbox.run_well(&["--set", "axes.letter=[\"a\", \"b\", \"c\"]"]);
    assert_eq!(
        run.ran(),
        ["all", "repeat[letter=c,times=1]", "repeat[letter=c,times=2]", "source[letter=c]", "upper[letter=c]"]
    );
}

#[test]
fn comment_order_of_keys_names_of_stages_and_jobs_change_nothing() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&["--jobs", "1"]);
    sandbox.edit("spec.toml", "[axes]", "# a comment\n[axes]");
    sandbox.edit(
        "spec.toml",
        "over = [\"letter\", \"times\"]\ninputs = { text = \"upper\" }",
        "inputs = { text = \"capital\" }\nover = [\"times\", \"letter\"]",
    );
    sandbox.edit("spec.toml", "[stages.upper]", "[stages.capital]");
    let run = sandbox.run_well(&["--jobs", "2"]);
    assert_eq!(run.ran(), [""; 0]);
}

#[test]
fn moved_folder_and_moved_store_are_still_hits() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let first = sandbox.run_well(&[]);
    let other = Sandbox::with_spec(LETTERS);
    std::fs::rename(sandbox.path(".orchestrate"), other.path(".orchestrate")).unwrap();
    let run = other.run_well(&[]);
    assert_eq!(run.ran(), [""; 0]);
    assert_eq!(first.outputs(), run.outputs());
}

#[test]
fn identical_output_of_an_input_cuts_off_everything_below() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    // Another spelling of the same letter: `source` runs, and its output has the same bytes.
    sandbox.edit("spec.toml", r#"'printf %s "$1" > "$2/text"'"#, r#"'printf "%s" "$1" > "$2/text"'"#);
    let run = sandbox.run_well(&[]);
    assert_eq!(run.ran(), ["source[letter=a]", "source[letter=b]"]);
    assert_eq!(run.with("hit").len(), 7);
}

#[test]
fn relabelled_value_runs_only_nodes_that_show_the_label() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let run = sandbox.run_well(&["--set", r#"axes.letter=[{ name = "first", letter = "a" }, "b"]"#]);
    assert_eq!(run.ran(), ["all"]);
}

#[test]
fn code_of_a_command_is_in_its_key_by_content() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.write("code/join.sh", "cat \"$1\"/*/text > \"$2/text\"\n");
    sandbox.edit(
        "spec.toml",
        r#"argv = ["sh", "-c", 'cat "$1"/*/text > "$2/text"', "sh", "{in.texts}", "{out}"]"#,
        "argv = [\"sh\", \"{code}\", \"{in.texts}\", \"{out}\"]\ncode = [\"code/join.sh\"]",
    );
    sandbox.run_well(&[]);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
    sandbox.write("code/join.sh", "cat \"$1\"/*/text > \"$2/text\"; echo >> \"$2/text\"\n");
    assert_eq!(sandbox.run_well(&[]).ran(), ["all"]);
    assert_eq!(sandbox.read("results/text"), "AAABBB\n");
}

#[test]
fn plan_says_hit_miss_with_its_reason_or_unknown_and_writes_nothing() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!sandbox.path(".orchestrate").exists());
    assert!(said.out.contains("never ran"), "{}", said.out);
    assert!(said.out.ends_with("9 nodes: 2 miss, 7 unknown\n"), "{}", said.out);
    sandbox.run_well(&[]);
    sandbox.edit("spec.toml", "times = [1, 2]", "times = [1, 3]");
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert!(said.out.contains("9 nodes: 6 hit, 2 miss, 1 unknown"), "{}", said.out);
}

#[test]
fn plan_json_has_one_object_a_line_with_why() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    sandbox.edit("spec.toml", "tr a-c A-C", "tr a-b A-B");
    let said = sandbox.orchestrate(&["plan", "spec.toml", "--json"]);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    let upper = lines.iter().find(|line| line["stage"] == "upper").unwrap();
    assert_eq!(upper["status"], "miss");
    assert!(upper["why"].as_str().unwrap().starts_with("argv:"), "{upper}");
    assert_eq!(lines[9], serde_json::json!({"reason": "summary", "nodes": 9, "hit": 2, "miss": 2, "unknown": 5}));
}

#[test]
fn explain_names_the_value_and_its_location() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    sandbox.edit("spec.toml", "cat \"$1/text\"; done", "cat \"$1/text\" ; done");
    let said = sandbox.orchestrate(&["explain", "repeat[letter=b,times=2]"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.starts_with("repeat[letter=b,times=2]: miss\n  argv:"), "{}", said.out);
    assert!(said.out.contains("--> DIR/spec.toml:24:8"), "{}", said.out);
    let said = sandbox.orchestrate(&["explain", "all"]);
    assert!(said.out.starts_with("all: unknown, because an input must run first\n  repeat["), "{}", said.out);
}

#[test]
fn explain_without_a_spec_takes_that_of_the_newest_run_with_the_node() {
    let sandbox = Sandbox::with_spec(&LETTERS.replace("letter = [\"a\", \"b\"]", "letter = []"));
    let letters = "axes.letter=[\"a\", \"b\"]";
    sandbox.run_well(&["--set", letters]);
    sandbox.write(
        "other.toml",
        "[experiment]\nname = \"other\"\n[stages.o]\nkind = \"command\"\nargv = [\"touch\", \"{out}/o\"]\n",
    );
    assert_eq!(sandbox.orchestrate(&["run", "other.toml"]).code, Some(0));
    // The newest run has no such node, and the one before can only be planned with its override.
    let said = sandbox.orchestrate(&["explain", "upper[letter=a]"]);
    assert!(said.out.starts_with("upper[letter=a]: hit"), "{}{}", said.out, said.err);
    assert!(said.err.contains(&format!("--set '{letters}'")), "{}", said.err);
    let said = sandbox.orchestrate(&["explain", "nowhere"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("there is no stage `nowhere`, only: o"), "{}", said.err);
}

#[test]
fn explain_follows_an_input_to_the_upstream_change() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    sandbox.edit("spec.toml", "tr a-c A-C", "tr a-c X-Z");
    sandbox.run_well(&["--until", "upper"]);
    let said = sandbox.orchestrate(&["explain", "spec.toml", "repeat[letter=a,times=1]"]);
    assert!(said.out.contains("input text changed"), "{}", said.out);
    assert!(said.out.contains("because of upper[letter=a]:\n      argv:"), "{}", said.out);
}

#[test]
fn only_and_until_run_the_named_nodes_and_their_inputs() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let run = sandbox.run_well(&["--only", "repeat[letter=a,times=2]"]);
    assert_eq!(run.ran(), ["repeat[letter=a,times=2]", "source[letter=a]", "upper[letter=a]"]);
    let run = sandbox.run_well(&["--until", "upper"]);
    assert_eq!(run.ran(), ["source[letter=b]", "upper[letter=b]"]);
    assert_eq!(run.summary["nodes"], 4);
}

#[test]
fn force_runs_a_node_again_and_same_bytes_cut_off_the_rest() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let run = sandbox.run_well(&["--force", "upper[letter=a]"]);
    assert_eq!(run.ran(), ["upper[letter=a]"]);
}

#[test]
fn failed_node_blocks_only_the_nodes_that_depend_on_it() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.edit("spec.toml", "tr a-c A-C < \"$1/text\"", "grep -q b \"$1/text\" && tr a-c A-C < \"$1/text\"");
    let run = sandbox.run(&[]);
    assert_eq!(run.said.code, Some(1));
    assert_eq!(run.with("failed"), ["upper[letter=a]"]);
    assert_eq!(run.with("blocked"), ["all", "repeat[letter=a,times=1]", "repeat[letter=a,times=2]"]);
    assert_eq!(run.ran().len(), 2 + 1 + 2);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.err.contains("error: upper[letter=a] failed: "), "{}", said.err);
    assert!(said.err.contains("it blocks 3 nodes"), "{}", said.err);
}

#[test]
fn retries_are_made_as_declared_and_the_log_keeps_all_output() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let counter = sandbox.path("tries");
    let script = format!("echo try >> {0}; echo told you >&2; [ $(wc -l < {0}) -ge 3 ] && cat", counter.display());
    sandbox.edit("spec.toml", "cat \"$1\"/*/text", &format!("{script} \"$1\"/*/text"));
    sandbox.edit("spec.toml", "publish = \"results\"", "publish = \"results\"\nretries = 2");
    sandbox.run_well(&[]);
    assert_eq!(sandbox.read("tries").lines().count(), 3);
    let said = sandbox.orchestrate(&["logs", "all"]);
    assert!(said.out.contains("told you"), "{}{}", said.out, said.err);
}

#[test]
fn stage_that_takes_too_long_is_stopped() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.edit("spec.toml", "cat \"$1\"/*/text", "sleep 60; cat \"$1\"/*/text");
    sandbox.edit("spec.toml", "publish = \"results\"", "timeout = \"500ms\"");
    let run = sandbox.run(&[]);
    assert_eq!(run.with("failed"), ["all"]);
}
