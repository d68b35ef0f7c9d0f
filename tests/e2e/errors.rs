//! Bad specs and usage: messages, and exit code 2.

use crate::rerun::LETTERS;
use crate::sandbox::Sandbox;

#[test]
fn problems_are_shown_with_line_and_caret_and_nothing_is_written() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.edit("spec.toml", "inputs = { text = \"upper\" }", "inputs = { text = \"uper\" }");
    sandbox.edit("spec.toml", "publish = \"results\"", "pubish = \"results\"");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("error: stage `repeat` reads `uper`, which is not declared"), "{}", said.err);
    assert!(said.err.contains("--> spec.toml:23:19"), "{}", said.err);
    assert!(said.err.contains("^^^^"), "{}", said.err);
    assert!(said.err.contains("help: did you mean `upper`?"), "{}", said.err);
    assert!(said.err.contains("unknown field `pubish`"), "{}", said.err);
    assert!(said.err.contains("help: did you mean `publish`?"), "{}", said.err);
    assert!(said.err.ends_with("error: 2 problems in spec.toml\n"), "{}", said.err);
    assert!(!sandbox.path(".orchestrate").exists());
}

#[test]
fn bad_override_is_shown_like_the_file() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let said = sandbox.orchestrate(&["run", "spec.toml", "--set", "stages.al.retries=2", "--set", "axes.times=[]"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--> --set:1:8"), "{}", said.err);
    assert!(said.err.contains("axis `times` has no values"), "{}", said.err);
}

#[test]
fn missing_spec_unknown_node_and_bad_usage_have_exit_code_2() {
    let sandbox = Sandbox::with_spec(LETTERS);
    for (args, said_so) in [
        (&["explain", "all"][..], "there is no store"),
        (&["store", "ls"], "there is no store"),
        (&["run", "nothing.toml"], "cannot read nothing.toml"),
        (&["run", "nothing.toml", "--set", "experiment.seed=1"], "cannot read nothing.toml"),
        (&["run", "spec.toml", "--only", "uper"], "did you mean `upper`?"),
        (&["run", "spec.toml", "--jobs", "0"], "--jobs"),
        (&["run", "spec.toml", "--device", "gpu"], "use auto, cpu, cuda, wgpu, or GPUs such as cuda:1"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let said = sandbox.orchestrate(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        assert!(said.err.contains(said_so), "{args:?}: {}", said.err);
        assert!(!said.err.contains("experiment"), "what a spec that cannot be read lacks is not told: {}", said.err);
    }
    assert!(!sandbox.path(".orchestrate").exists(), "no store is made for a command that cannot be understood");
}

#[test]
fn missing_external_file_is_an_error_before_anything_runs() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.edit("spec.toml", "publish = \"results\"", "code = [\"no/such.sh\"]");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("no/such.sh"), "{}", said.err);
}
