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
