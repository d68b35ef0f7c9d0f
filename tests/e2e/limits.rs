//! A store with limits: automatic collections, protected results, and the lineage of deleted results.

use crate::rerun::LETTERS;
use crate::sandbox::Sandbox;

/// The letters with large output files: 1.4 MB for each letter. `all` has 0.6 MB of it, and two other nodes share 0.2
/// MB.
fn large() -> String {
    LETTERS.replace("printf %s \"$1\"", "printf \"$1%0199999d\" 0")
}

fn only(letter: &str) -> String {
    format!("axes.letter=[\"{letter}\"]")
}

#[test]
fn first_run_of_a_day_frees_the_oldest_and_a_rerun_computes_just_that() {
    let sandbox = Sandbox::with_spec(&large());
    sandbox.write("orchestrate.toml", "[store]\nmax_size = \"2 MB\"\n");
    let (a, b) = (only("a"), only("b"));
    let first = sandbox.run_well(&["--set", &a]);
    assert_eq!(first.said.err, "", "it fits");
    let second = sandbox.run_well(&["--set", &b]);
    assert_eq!(second.said.err, "", "it does not fit, but the store was looked through today");
    assert_eq!(sandbox.run_well(&["--set", &a]).ran(), [""; 0]);

    sandbox.write(".orchestrate/last-gc", "0\n");
    let third = sandbox.run_well(&["--set", &b]);
    assert_eq!(third.ran(), [""; 0]);
    let line = &third.said.err;
    assert!(line.starts_with("store limits: deleted 2 results, 2 large files and logs of 3 runs ("), "{line}");
    assert!(line.contains(", freed 1 MB, kept 1.8 MB;"), "{line}");
    assert!(line.contains("computing it again would take"), "{line}");
    // The inputs fit, and are kept before the results made from them.
    let again = sandbox.run_well(&["--set", &a]);
    assert_eq!(again.ran(), ["all", "repeat[letter=a,times=2]"]);
    assert_eq!(again.said.err, "", "once a day");
    assert_eq!(again.outputs(), first.outputs());
}

#[test]
fn results_that_a_run_used_stay_even_beyond_the_limit() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.write("orchestrate.toml", "[store]\nmax_size = \"100 B\"\n");
    let run = sandbox.run_well(&[]);
    let warning = "warning: pinned results, results that runs need and the log of the latest run take";
    assert!(run.said.err.contains(warning), "{}", run.said.err);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
}

#[test]
fn pinned_run_stays_until_it_is_unpinned() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&["--set", &only("a")]);
    let run = std::fs::read_dir(sandbox.path(".orchestrate/runs")).unwrap();
    let run = run.map(|entry| entry.unwrap().file_name().into_string().unwrap()).find(|name| name.len() == 26).unwrap();
    sandbox.run_well(&["--set", &only("b")]);
    let said = sandbox.orchestrate(&["store", "pin", &run, "--name", "paper"]);
    assert_eq!((said.code, said.out), (Some(0), format!("pinned 5 results of run {run} as paper\n")), "{}", said.err);
    let said = sandbox.orchestrate(&["store", "pins"]);
    assert!(said.out.contains("paper") && said.out.contains(&format!("run {run}")), "{}", said.out);

    let gc = ["store", "gc", "--max-size", "1B"];
    assert_eq!(sandbox.orchestrate(&gc).code, Some(0));
    assert_eq!(sandbox.run_well(&["--set", &only("a")]).ran(), [""; 0]);
    assert_eq!(sandbox.run_well(&["--set", &only("b")]).ran().len(), 5);

    let said = sandbox.orchestrate(&["store", "unpin", "papre"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("did you mean `paper`?"), "{}", said.err);
    assert_eq!(sandbox.orchestrate(&["store", "unpin", "paper"]).code, Some(0));
    assert_eq!(sandbox.orchestrate(&["store", "pins"]).out, "nothing is pinned\n");
    sandbox.orchestrate(&gc);
    assert_eq!(sandbox.run_well(&["--set", &only("a")]).ran().len(), 5);
}

#[test]
fn pin_of_a_spec_gets_the_results_of_its_later_runs() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let said = sandbox.orchestrate(&["store", "pin", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("run `orchestrate run spec.toml` first"), "{}", said.err);
    sandbox.run_well(&["--until", "upper"]);
    let said = sandbox.orchestrate(&["store", "pin", "spec.toml"]);
    assert!(said.out.starts_with("pinned 4 results of spec DIR/spec.toml as letters"), "{}{}", said.out, said.err);
    assert!(said.err.contains("5 nodes of the spec did not run yet"), "{}", said.err);
    sandbox.run_well(&[]);
    sandbox.orchestrate(&["store", "gc", "--max-size", "1B"]);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
}

#[test]
fn limits_that_cannot_be_read_are_shown_before_anything_runs() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.write("orchestrate.toml", "[store]\nmax_size = \"200\"\nmax_aeg = \"90 days\"\n");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    insta::assert_snapshot!(said.err, @r#"
    error: `max_size`: `200` is not a size; write a number and a unit, for example "2GB" or "512MiB"
     --> DIR/orchestrate.toml:2:12
      |
    2 | max_size = "200"
      |            ^^^^^

    error: unknown field `max_aeg` in `store`
     --> DIR/orchestrate.toml:3:1
      |
    3 | max_aeg = "90 days"
      | ^^^^^^^
      |
      = fields: max_size, max_age, log_max_size, trust, remote
    help: did you mean `max_age`?

    error: 2 problems in DIR/orchestrate.toml
    "#);
    assert!(!sandbox.path(".orchestrate").exists(), "nothing was opened");
}

#[test]
fn a_dry_run_lists_bytes_and_cost_of_each_kind() {
    let sandbox = Sandbox::with_spec(&large());
    sandbox.run_well(&["--set", &only("a")]);
    sandbox.write("orchestrate.toml", "[store]\nmax_size = \"0.5 MB\"\n");
    let said = sandbox.orchestrate(&["store", "gc", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let kind = said.out.lines().find(|line| line.starts_with("command")).expect("a line for the kind");
    assert!(kind.split_whitespace().collect::<Vec<_>>()[1..4] == ["2", "1", "MB"], "{kind}");
    let last = said.out.lines().last().unwrap_or_default();
    assert!(last.starts_with("would delete 2 results and 2 large files, would free 1 MB, would keep"), "{last}");
    assert_eq!(sandbox.run_well(&["--set", &only("a")]).ran(), [""; 0]);
}

#[test]
fn provenance_of_a_deleted_result_is_still_shown() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let run = sandbox.run_well(&[]);
    sandbox.orchestrate(&["store", "gc", "--max-size", "1B"]);
    let key = run.nodes["all"]["key"].as_str().unwrap();
    let said = sandbox.orchestrate(&["store", "show", &key[..12]]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in [key, "deleted   just now by garbage collection", "\"kind\": \"command\"", "output    out"] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let said = sandbox.orchestrate(&["explain", "spec.toml", "source[letter=a]"]);
    assert!(said.out.contains("its result was collected as garbage on 20"), "{}", said.out);
    sandbox.edit("spec.toml", "printf %s", "printf x%s");
    let said = sandbox.orchestrate(&["explain", "spec.toml", "source[letter=a]"]);
    assert!(said.out.contains("argv") && said.out.contains("spec.toml:"), "{}", said.out);
}
