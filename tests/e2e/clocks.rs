//! Wrong clocks: they step back and forth under a run, and nothing is lost. Skipped where `faketime` is missing.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::crowd::nodes;
use crate::sandbox::{Run, Said, Sandbox};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Heavy nodes one after the other, and one that reads all of them at the end.
const SPEC: &str = r#"
[experiment]
name = "clocks"

[axes]
k = "1..=8"

[stages.draw]
kind = "command"
over = ["k"]
argv = ["sh", "-c", 'head -c 90000 /dev/urandom > "$1/big"; sleep 0.3', "sh", "{out}"]

[stages.all]
kind = "command"
inputs = { drawn = "draw" }
argv = ["sh", "-c", 'cat "$1"/*/big | cksum > "$2/text"', "sh", "{in.drawn}", "{out}"]
"#;

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_clock_that_steps_by_hours_loses_nothing_to_a_collection_beside_the_run() {
    if !Path::new(FAKETIME).exists() {
        eprintln!("skipped: a clock that steps: there is no {FAKETIME}");
        return;
    }
    for (before, after) in [("+0", "-7200"), ("+0", "+90000"), ("-90000", "+0")] {
        let sandbox = Sandbox::with_spec(SPEC);
        sandbox.write("clock", before);
        let mut command = sandbox.command(&["run", "spec.toml", "--json", "--jobs", "1", "--store", "store"]);
        command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", sandbox.path("clock"));
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        std::thread::sleep(Duration::from_millis(600));
        sandbox.write("clock", after);
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(100));
            for limit in [["--max-size", "1kB"], ["--max-age", "1h"]] {
                let said = sandbox.orchestrate(&[&["store", "gc", "--store", "store"], &limit[..]].concat());
                assert!(matches!(said.code, Some(0)), "{}", said.err);
            }
        }
        assert_eq!(run.try_wait().expect("it is ours"), None, "each collection was beside the run");
        let run = Run::from(Said::from(run.wait_with_output().expect("it ends"), &sandbox.path("")));
        assert_eq!(run.said.code, Some(0), "{}", run.said.err);
        let lines = nodes(&run.said.out);
        assert_eq!(lines.len(), 9, "each node once, from {before} to {after}: {}", run.said.out);
        let again = sandbox.run_well(&["--store", "store"]);
        assert_eq!(again.with("hit").len(), 9, "from {before} to {after}");
        assert_eq!(again.outputs(), run.outputs());
    }
}
