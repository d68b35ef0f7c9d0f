//! Runs and their numbers afterwards: lists of runs, comparisons, and results whose data are gone.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Said, Sandbox};
use crate::study::STUDY;

/// A program with two settings, and one that reads what it wrote.
const SPEC: &str = r#"
extends = "parts/base.toml"

[axes]
letter = ["a", "b"]

[stages.second]
kind = "command"
over = ["letter"]
inputs = { text = "first" }
argv = ["sh", "-ec", "cat $1/* > $2/copy", "sh", "{in.text}", "{out}"]
"#;

const BASE: &str = r#"
[experiment]
name = "letters"

[stages.first]
kind = "command"
over = ["letter"]
code = ["first.sh"]
argv = ["sh", "{code}", "{params.letter}", "{params.times}", "{out}"]
params = { times = 2, size = 1 }
"#;

const SCRIPT: &str = "echo $1 $2 > $3/text\n";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_spec(SPEC);
    sandbox.write("parts/base.toml", BASE);
    sandbox.write("parts/first.sh", SCRIPT);
    sandbox
}

fn well(said: Said) -> Said {
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    said
}

fn lines(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn runs_are_listed_with_what_they_were_asked_and_how_they_ended() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    sandbox.run_well(&["--set", "stages.first.params.times=3"]);
    sandbox.run_well(&["--set", "stages.first.params.times=3"]);
    sandbox.write("other.toml", SPEC.replace("parts/base.toml", "parts/other.toml"));
    sandbox.write("parts/other.toml", BASE.replace("letters", "other"));
    well(sandbox.orchestrate(&["run", "other.toml", "--only", "first"]));

    let runs = lines(&well(sandbox.orchestrate(&["runs", "--json"])));
    let counts = |run: &Value| (run["counts"]["hit"].as_u64(), run["counts"]["ran"].as_u64());
    let expected = [(Some(0), Some(4)), (Some(0), Some(4)), (Some(4), Some(0)), (Some(2), Some(0))];
    assert_eq!(runs.iter().map(counts).collect::<Vec<_>>(), expected);
    assert_eq!(runs[1]["overrides"], serde_json::json!(["stages.first.params.times=3"]));
    assert_eq!((&runs[0]["experiment"], &runs[3]["experiment"]), (&"letters".into(), &"other".into()));

    let listed = well(sandbox.orchestrate(&["runs", "spec.toml"]));
    assert_eq!(listed.out.matches("letters").count(), 3, "{}", listed.out);
    assert!(!listed.out.contains("other"), "{}", listed.out);
    assert!(listed.out.contains("4 ran in ") && listed.out.contains("--set 'stages.first.params.times=3'"));
    assert_eq!(lines(&well(sandbox.orchestrate(&["runs", "other", "--json"]))).len(), 1);
    assert_eq!(lines(&well(sandbox.orchestrate(&["runs", "--limit", "1", "--json"])))[0], runs[3]);
    assert_eq!(sandbox.orchestrate(&["runs", "third"]).code, Some(2));

    let shown = well(sandbox.orchestrate(&["show", "-3"]));
    for part in
        ["letters", "which extends 1 file", "--set stages.first.params.times=3", "first   2 ran", "second  2 ran"]
    {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    for name in
        ["latest", "-1", runs[3]["run"].as_str().expect("a text"), &runs[3]["run"].as_str().expect("a text")[20..]]
    {
        assert!(well(sandbox.orchestrate(&["show", name])).out.contains("run other.toml --only first"), "{name}");
    }
    let unknown = sandbox.orchestrate(&["show", "-9"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("-1 is the newest of 4"), "{}", unknown.err);
}

#[test]
fn the_spec_of_a_run_hits_everything_after_its_files_have_changed() {
    let sandbox = sandbox();
    sandbox.run_well(&["--set", "stages.first.params.times=3"]);
    let spec = well(sandbox.orchestrate(&["show", "latest", "--spec"])).out;
    sandbox.write("spec.toml", "no spec");
    fs::remove_file(sandbox.path("parts/base.toml")).expect("it is there");
    // The sandbox shows its folder as DIR.
    sandbox.write(
        "elsewhere/then.toml",
        spec.replace("DIR", sandbox.path("").to_str().expect("it is UTF-8").trim_end_matches('/')),
    );
    let again = well(sandbox.orchestrate(&["run", "elsewhere/then.toml", "--json"]));
    assert!(again.out.contains(r#""hit":4"#), "{}", again.out);
    let written = well(sandbox.orchestrate(&["show", "-2", "--spec", "--to", "old"]));
    assert!(written.out.contains("run it again with: orchestrate run old/spec.toml --set"), "{}", written.out);
    assert_eq!(
        (sandbox.read("old/spec.toml"), sandbox.read("old/parts/base.toml")),
        (SPEC.to_owned(), BASE.to_owned())
    );
}

#[test]
fn two_runs_differ_in_the_param_that_was_set_and_in_what_follows() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    sandbox.run_well(&["--set", "stages.first.params.size=2"]);
    sandbox.run_well(&["--set", "stages.first.params.times=4", "--set", r#"axes.letter=["a", "c"]"#]);
    let same_bytes = well(sandbox.orchestrate(&["diff", "-3", "-2"])).out;
    assert!(same_bytes.contains("first   2 changed (to the same bytes)"), "{same_bytes}");
    assert!(same_bytes.contains("params.size: 1 → 2 (×2)") && same_bytes.contains("second  2 same"), "{same_bytes}");
    let other = well(sandbox.orchestrate(&["diff", "-3", "latest"])).out;
    assert!(other.contains("axis letter: a, b → a, c"), "{other}");
    assert!(other.contains("first   1 changed, 1 only in A, 1 only in B") && other.contains("times: 2 → 4"), "{other}");
    assert!(other.contains("second  1 changed, 1 only in A, 1 only in B") && other.contains("input text"), "{other}");
    let spec = well(sandbox.orchestrate(&["diff", "-3", "spec.toml"])).out;
    assert!(spec.contains("first   2 same") && spec.contains("second  2 same"), "{spec}");
    let changed = well(sandbox.orchestrate(&["diff", "-3", "spec.toml", "--set", "stages.first.params.times=9"])).out;
    assert!(changed.contains("first   2 changed") && changed.contains("times: 2 → 9"), "{changed}");
}

#[test]
fn numbers_of_tables_stand_side_by_side_and_are_computed_again() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.run_well(&[]);
    sandbox.run_well(&["--set", "stages.train.epochs=2"]);
    let diff = well(sandbox.orchestrate(&["diff", "-2", "-1"])).out;
    assert!(diff.contains("epochs: 1 → 2 (×4)") && diff.contains("images          1 same"), "{diff}");
    let row = diff.lines().find(|line| line.contains("model=tiny, threshold=otsu")).expect("the table is compared");
    assert_eq!(row.split_whitespace().count(), 5, "{row}");
    let runs = well(sandbox.orchestrate(&["runs"])).out;
    assert_eq!(runs.matches("classification, accuracy: tiny 0.").count(), 2, "{runs}");
    let stages = lines(&well(sandbox.orchestrate(&["verify-results", "-1", "--json"])));
    assert_eq!(
        (&stages[0]["same"], &stages[0]["moved"]),
        (&serde_json::json!(1), &serde_json::json!(0)),
        "{}",
        stages[0]
    );
    let again = well(sandbox.orchestrate(&["verify-results", "-1"]));
    assert!(
        again.out.contains("train           4 the same") && again.out.contains("to the last byte"),
        "{}",
        again.out
    );
    assert_eq!(lines(&well(sandbox.orchestrate(&["runs", "--json"]))).len(), 2, "it is no run of this store");
}

#[test]
fn results_that_are_other_each_time_do_not_verify() {
    let sandbox = Sandbox::with_spec(
        r#"
[experiment]
name = "random"

[stages.random]
kind = "command"
argv = ["sh", "-ec", "head -c 9 /dev/urandom > $1/x", "sh", "{out}"]
publish = "published"
"#,
    );
    sandbox.run_well(&[]);
    let published = fs::read(sandbox.path("published/x")).expect("it is published");
    let said = sandbox.orchestrate(&["verify-results", "spec.toml"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.contains("random  1 moved") && said.out.contains("x: other bytes in 1 node"), "{}", said.out);
    assert_eq!(fs::read(sandbox.path("published/x")).expect("it is published"), published);
}

#[test]
fn what_is_recorded_can_be_shown_after_its_data_are_gone() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    fs::remove_file(sandbox.path("parts/first.sh")).expect("it is there");
    let plan = well(sandbox.orchestrate(&["plan", "spec.toml"]));
    assert!(plan.out.contains("4 nodes: 4 hit"), "{}", plan.out);
    let gone = "first.sh does not exist, and 1 file is taken as run ";
    assert!(plan.err.contains("the data of stage `first` are gone: ") && plan.err.contains(gone), "{}", plan.err);
    let plan = well(sandbox.orchestrate(&["plan", "latest"]));
    assert!(plan.out.contains("4 nodes: 4 hit") && plan.err.is_empty(), "{}{}", plan.out, plan.err);
    assert!(well(sandbox.orchestrate(&["explain", "latest", "second[letter=a]"])).out.contains("hit"));
    assert!(well(sandbox.orchestrate(&["diff", "latest", "spec.toml"])).out.contains("first   2 same"));
    let run = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(run.code == Some(2) && run.err.contains("first.sh"), "a run needs the data: {}", run.err);
    let changed = sandbox.orchestrate(&["plan", "spec.toml", "--set", "stages.first.params.times=7"]);
    assert!(changed.code == Some(2) && changed.err.contains("first.sh"), "no record fits: {}", changed.err);
}

#[test]
fn a_misspelt_path_is_an_error_though_data_are_recorded() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    for also_gone in [false, true] {
        let plan = sandbox.orchestrate(&["plan", "spec.toml", "--set", "stages.first.code=[\"parts/frist.sh\"]"]);
        assert!(plan.code == Some(2) && !plan.out.contains("hit"), "{}{}", plan.out, plan.err);
        assert!(plan.err.contains("frist.sh") && !plan.err.contains("are gone"), "{}", plan.err);
        if !also_gone {
            fs::remove_file(sandbox.path("parts/first.sh")).expect("it is there");
        }
    }
    let same = ["plan", "spec.toml", "--set", "stages.first.code=[\"parts/../parts/./first.sh\"]"];
    let plan = well(sandbox.orchestrate(&same));
    assert!(plan.out.contains("4 nodes: 4 hit"), "the same path in other words: {}", plan.out);
}

#[test]
fn studies_that_share_names_do_not_blame_each_other() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    sandbox.write("parts/other.toml", BASE.replace("letters", "other").replace("times = 2", "times = 5"));
    sandbox.write("other.toml", SPEC.replace("parts/base.toml", "parts/other.toml"));
    let plan = well(sandbox.orchestrate(&["plan", "other.toml"])).out;
    assert!(plan.contains("never ran (×2)") && !plan.contains("times"), "{plan}");
    let explained = well(sandbox.orchestrate(&["explain", "other.toml", "first[letter=b]"])).out;
    assert!(explained.contains("never ran\n  nearest in the store: first[letter=b] of letters in run "), "{explained}");
    assert!(explained.contains("times: 2 → 5"), "{explained}");
}

#[test]
fn a_miss_is_compared_with_the_nearest_result_and_not_with_the_latest() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    let far = ["--set", "stages.first.params.times=8", "--set", "stages.first.params.size=8"];
    sandbox.run_well(&far);
    let plan = well(sandbox.orchestrate(&["plan", "spec.toml", "--set", "stages.first.params.times=3"])).out;
    assert!(plan.contains("times: 2 → 3") && !plan.contains("size"), "{plan}");
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_run_records_the_commit_and_what_differs_from_it() {
    let sandbox = sandbox();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(args).current_dir(sandbox.path(""));
        git.output().is_ok_and(|said| said.status.success())
    };
    if !git(&["init", "--quiet"]) {
        eprintln!("skipped: git is not installed");
        return;
    }
    assert!(git(&["add", "spec.toml", "parts"]) && git(&["commit", "--quiet", "-m", "x"]));
    sandbox.edit("spec.toml", "cat $1/*", "cat $1/* $1/*");
    sandbox.run_well(&[]);
    let shown = well(sandbox.orchestrate(&["show", "latest"])).out;
    let line = shown.lines().find(|line| line.starts_with("git")).expect("it tells of git");
    assert!(line.ends_with(", 1 file changed, 1 untracked"), "{line}");
    sandbox.run_well(&[]);
    let shown = well(sandbox.orchestrate(&["show", "latest"])).out;
    assert!(shown.contains("nothing ran, so changes were not asked for"), "{shown}");
}

#[test]
fn a_run_without_a_terminal_tells_its_state_and_what_it_published() {
    let sandbox = sandbox();
    sandbox.edit("spec.toml", "argv", "publish = \"results\"\nargv");
    let said = well(sandbox.orchestrate(&["run", "spec.toml"]));
    for part in ["0/4  nodes", "4/4  nodes", "4 nodes: 4 ran", "→ results"] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = well(sandbox.orchestrate(&["run", "spec.toml"]));
    assert!(!said.err.contains("nodes\n") && said.err.contains("→ results"), "{}", said.err);
    assert!(well(sandbox.orchestrate(&["show", "latest"])).out.contains("DIR/results"));
}

#[test]
fn a_new_store_beside_an_old_one_is_told() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    sandbox.write("below/orchestrate.toml", "");
    sandbox.write(
        "below/spec.toml",
        "[experiment]\nname = \"x\"\n[stages.a]\nkind = \"command\"\nargv = [\"touch\", \"{out}/x\"]\n",
    );
    let said = well(sandbox.orchestrate(&["run", "below/spec.toml"]));
    assert!(said.err.contains("notice: a new store is made at DIR/below/.orchestrate"), "{}", said.err);
    assert!(said.err.contains("another store at DIR/.orchestrate"), "{}", said.err);
    let again = well(sandbox.orchestrate(&["run", "below/spec.toml"]));
    assert!(!again.err.contains("notice"), "{}", again.err);
}

#[test]
fn a_spec_in_another_folder_finds_the_runs_of_its_project() {
    let sandbox = Sandbox::new();
    for (name, text) in [("spec.toml", SPEC), ("parts/base.toml", BASE), ("parts/first.sh", SCRIPT)] {
        sandbox.write(&format!("study/{name}"), text);
    }
    sandbox.write("study/orchestrate.toml", "");
    let ran = sandbox.orchestrate(&["run", "study/spec.toml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for args in [
        &["runs", "study/spec.toml"][..],
        &["diff", "latest", "study/spec.toml"],
        &["diff", "study/spec.toml", "-1"],
        &["show", "latest", "--store", "study/.orchestrate"],
    ] {
        let said = well(sandbox.orchestrate(args));
        assert!(said.out.contains("letters") || said.out.contains("same"), "{args:?}: {}", said.out);
    }
    for args in [&["runs"][..], &["show", "latest"], &["diff", "-1", "-1"], &["logs", "first[letter=a]"]] {
        let said = sandbox.orchestrate(args);
        assert_eq!(said.code, Some(2), "{args:?}");
        let help = "help: change to the folder of the study, or name the store with --store study/.orchestrate";
        assert!(said.err.contains(help), "{args:?}: {}", said.err);
    }
}

#[test]
fn unknown_names_are_a_wrong_command_line() {
    let sandbox = sandbox();
    sandbox.run_well(&[]);
    for args in [
        &["kinds", "tabel"][..],
        &["show", "nosuch"],
        &["diff", "a", "b"],
        &["runs", "nosuch.toml"],
        &["graph", "nosuch.toml"],
        &["schema", "nosuch"],
        &["path", "nosuch"],
        &["path", "spec.toml", "nosuch"],
        &["logs", "nosuch"],
        &["verify-results", "nosuch.toml"],
    ] {
        let said = sandbox.orchestrate(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}\n{}", said.out, said.err);
    }
}
