//! A few seconds of the tests that `just crash`, `just crash-points`, `just power` and `just corrupt` run at length.

use std::process::Command;

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn nothing_is_lost(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_orchestrate-crash")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    if said.starts_with("skipped") {
        eprintln!("{}", said.trim_end());
    }
}

#[test]
fn random_kills_lose_nothing() {
    nothing_is_lost(&["kill", "20", "3"]);
}

#[test]
fn kills_at_changes_of_the_disk_lose_nothing() {
    nothing_is_lost(&["points", "37"]);
}

#[test]
fn full_disks_lose_nothing() {
    nothing_is_lost(&["full", "41"]);
}

#[test]
fn power_cuts_lose_nothing_that_one_of_two_engines_reported() {
    nothing_is_lost(&["power", "16", "5"]);
}

#[test]
fn damage_serves_no_wrong_byte() {
    nothing_is_lost(&["corrupt", "5", "31"]);
}
