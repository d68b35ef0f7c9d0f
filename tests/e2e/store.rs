//! `store ls | show | verify | gc`.

use crate::rerun::LETTERS;
use crate::sandbox::Sandbox;

#[test]
fn ls_lists_results_and_show_prints_the_provenance_of_one() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let run = sandbox.run_well(&[]);
    let said = sandbox.orchestrate(&["store", "ls"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("repeat[letter=a,times=2]"), "{}", said.out);
    let key = run.nodes["all"]["key"].as_str().unwrap();
    let said = sandbox.orchestrate(&["store", "show", &key[..10]]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in [key, "all", "text", "\"kind\": \"command\""] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let said = sandbox.orchestrate(&["store", "show", "0123456789"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}

#[test]
fn ls_of_a_spec_a_stage_or_a_kind_lists_only_those_in_the_order_asked_for() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let other = LETTERS.replace("\"a\", \"b\"", "\"b\", \"long\"").replace("\"results\"", "\"others\"");
    assert_ne!(other, LETTERS);
    sandbox.write("other.toml", other);
    assert_eq!(sandbox.orchestrate(&["run", "other.toml"]).code, Some(0));
    let list = |arguments: &[&str]| {
        let said = sandbox.orchestrate(&[&["store", "ls"], arguments].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        let nodes = said.out.lines().skip(1).filter_map(|line| line.split_whitespace().last().map(str::to_owned));
        let mut nodes: Vec<_> = nodes.collect();
        nodes.pop();
        (nodes, said.out)
    };
    let (of_spec, text) = list(&["spec.toml", "--sort", "node"]);
    assert_eq!(of_spec.len(), 9, "{text}");
    assert!(of_spec.is_sorted() && !text.contains("long") && text.contains(", of 9 nodes of spec.toml, "), "{text}");
    let (of_other, text) = list(&["other.toml"]);
    assert!(of_other.iter().any(|node| node.contains("long")) && !text.contains("letter=a"), "{text}");
    let (of_stage, text) = list(&["upper", "--sort", "size"]);
    assert!(of_stage.len() == 3 && of_stage.iter().all(|node| node.starts_with("upper[")), "{text}");
    assert_eq!(of_stage.last().map(String::as_str), Some("upper[letter=long]"), "the largest comes last: {text}");
    assert_eq!(list(&["command"]).0.len(), list(&[]).0.len());
    let said = sandbox.orchestrate(&["store", "ls", "spec.toml", "--set", "axes.letter=[\"a\", \"new\"]"]);
    assert!(said.out.contains("letter=a") && !said.out.contains("letter=b"), "{}", said.out);
    let said = sandbox.orchestrate(&["store", "ls", "lower"]);
    assert!(said.code == Some(2) && said.err.contains("no result of a stage or a kind `lower`"), "{}", said.err);
}

#[test]
fn quick_verification_finds_what_is_cut_or_gone_and_reads_no_results() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let verify = || sandbox.orchestrate(&["store", "verify", "--quick"]);
    let said = verify();
    assert!(said.code == Some(0) && said.out.contains("counted, not read"), "{}{}", said.out, said.err);
    let pack = std::fs::read_dir(sandbox.path(".orchestrate/packs")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap();
    let said = verify();
    assert!(said.code == Some(1) && said.out.contains("bytes are left"), "{}{}", said.out, said.err);
    std::fs::remove_file(&pack).unwrap();
    let said = verify();
    assert!(said.code == Some(1) && said.out.contains("it is gone"), "{}{}", said.out, said.err);
}

#[test]
fn verify_finds_damage() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let said = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let pack = std::fs::read_dir(sandbox.path(".orchestrate/packs")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&pack, bytes).unwrap();
    let said = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    sandbox.run_well(&[]);
    assert_eq!(sandbox.read("results/text"), "AAABBB");
}

#[test]
fn gc_lists_candidates_in_a_dry_run_and_then_deletes_them() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let dry = sandbox.orchestrate(&["store", "gc", "--max-size", "1B", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.err);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
    let said = sandbox.orchestrate(&["store", "gc", "--max-size", "1B"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(sandbox.run_well(&[]).ran().len(), 9);
    let said = sandbox.orchestrate(&["store", "gc"]);
    assert_eq!(said.code, Some(2), "a collection without a limit is no collection: {}", said.out);
}

#[test]
fn read_only_store_serves_a_plan() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.run_well(&[]);
    let before = std::fs::read_dir(sandbox.path(".orchestrate/runs")).unwrap().count();
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert!(said.out.ends_with("9 nodes: 9 hit\n"), "{}", said.out);
    assert_eq!(std::fs::read_dir(sandbox.path(".orchestrate/runs")).unwrap().count(), before);
}
