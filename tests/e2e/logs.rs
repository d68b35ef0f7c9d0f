//! Logs of nodes: how long they are kept, and how they are read.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::sandbox::Sandbox;

/// A stage that prints 300 kB in numbered lines, and a node below it that prints nothing.
const PRINTS: &str = r#"
[experiment]
name = "prints"

[axes]
letter = ["a"]

[stages.loud]
kind = "command"
over = ["letter"]
argv = ["sh", "-c", 'seq -f "line %015g" 1 15000; printf %s "$1" > "$2/text"', "sh", "{params.letter}", "{out}"]

[stages.quiet]
kind = "command"
over = ["letter"]
inputs = { text = "loud" }
argv = ["sh", "-c", 'cp "$1/text" "$2"', "sh", "{in.text}", "{out}"]
"#;

fn only(letter: &str) -> String {
    format!("axes.letter=[\"{letter}\"]")
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

#[test]
fn logs_are_counted_and_deleted_with_their_runs() {
    let sandbox = Sandbox::with_spec(PRINTS);
    for letter in ["a", "b"] {
        sandbox.run_well(&["--set", &only(letter)]);
    }
    let said = sandbox.orchestrate(&["store", "ls"]);
    assert!(said.out.contains("logs of 2 runs 6"), "two times 300 kB and some: {}", said.out);
    let runs = sandbox.path(".orchestrate/runs");

    let gc = |arguments: &[&str]| {
        let said = sandbox.orchestrate(&[&["store", "gc"], arguments].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out.lines().last().unwrap_or_default().to_owned()
    };
    let said = gc(&["--max-size", "400kB", "--dry-run"]);
    assert!(said.contains("0 results, 0 large files and logs of 1 run (3"), "{said}");
    assert!(size(&runs) > 600_000);
    gc(&["--max-size", "400kB"]);
    assert!((300_000..400_000).contains(&size(&runs)));
    let said = sandbox.orchestrate(&["logs", "loud[letter=b]", "--tail", "2"]);
    assert_eq!(said.out, "line 000000000014999\nline 000000000015000\n");
    assert_eq!(sandbox.run_well(&["--set", &only("a")]).ran(), [""; 0], "results are worth more than logs");

    gc(&["--max-size", "1kB"]);
    assert!(size(&runs) < 10_000, "the record of the latest run is left");
    let said = sandbox.orchestrate(&["logs", "loud[letter=a]"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("has no log") && said.err.contains("the store's limits delete old ones"), "{}", said.err);
    let said = sandbox.orchestrate(&["explain", "loud[letter=a]"]);
    assert!(said.out.contains("its result was collected as garbage"), "{}{}", said.out, said.err);
    let said = sandbox.orchestrate(&["explain", "spec.toml", "loud[letter=b]", "--set", &only("b")]);
    assert!(said.out.contains("its result was collected as garbage"), "{}{}", said.out, said.err);
    assert_eq!(sandbox.run_well(&["--set", &only("a")]).ran().len(), 2);
}

#[test]
fn files_of_people_beside_logs_survive_every_collection() {
    let sandbox = Sandbox::with_spec(PRINTS);
    sandbox.run_well(&[]);
    let runs = fs::read_dir(sandbox.path(".orchestrate/runs")).unwrap();
    let run = runs.map(|entry| entry.unwrap().path()).find(|path| path.join("events.jsonl").exists()).unwrap();
    let mine = [run.join("notes.txt"), run.join("logs/notes.log"), run.parent().unwrap().join("paper/figure.svg")];
    for path in &mine {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    sandbox.run_well(&["--set", &only("b")]);
    sandbox.orchestrate(&["store", "gc", "--max-size", "1B"]);
    assert!(!run.join("events.jsonl").exists());
    mine.iter().for_each(|path| assert_eq!(fs::read_to_string(path).unwrap(), "mine"));
    assert_eq!(sandbox.orchestrate(&["store", "verify"]).code, Some(0));
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let sandbox = Sandbox::with_spec(PRINTS);
    sandbox.run_well(&[]);
    let mut command = sandbox.command(&["logs", "loud[letter=a]"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 22];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"line 000000000000001\nl");
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && err.lines().count() == 1, "only where the log lies: {err}");
}

#[test]
fn the_log_of_a_running_node_is_shown_up_to_now() {
    let sandbox = Sandbox::with_spec(PRINTS);
    sandbox.edit("spec.toml", "printf %s", "until [ -e GO ]; do sleep 0.01; done; printf %s");
    let go = sandbox.path("go");
    sandbox.edit("spec.toml", "GO", go.to_str().unwrap());
    let mut run = sandbox.command(&["run", "spec.toml"]).stderr(Stdio::null()).spawn().unwrap();
    let read = || sandbox.orchestrate(&["logs", "loud[letter=a]"]).out;
    crate::crash::wait_for("the last line", || read().ends_with("\nline 000000000015000\n"));
    sandbox.orchestrate(&["store", "gc", "--max-size", "1B"]);
    assert_eq!(read().lines().count(), 15_000, "what lives stays");
    fs::write(&go, "").unwrap();
    assert!(run.wait().unwrap().success());
}
