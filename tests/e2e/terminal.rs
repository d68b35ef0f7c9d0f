//! Text of others does not act on the terminal, and output that cannot be written is a failure.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rerun::LETTERS;
use crate::sandbox::{Run, Said, Sandbox};

/// A stage that prints sequences to set the clipboard, clear the screen, and hide or reverse text. Its labels do so as
/// far as they can, without control characters.
const HOSTILE: &str = r#"
[experiment]
name = "hostile"

[axes]
label = ["a\u202e", "b\u200b"]

[stages.bad]
kind = "command"
over = ["label"]
argv = [
  "sh", "-c",
  """printf '\\033]52;c;cHJpbnRlZA==\\007\\033[2Jgone \\342\\200\\256 \\302\\233 \\033[8m\\n' >&2; \
     echo > $2/x; [ $1 = b ] || exit 1""",
  "sh", "{params.n}", "{out}"
]
params = { n = 1 }
"#;

/// A full disk.
const FULL: &str = "/dev/full";

fn is_plain(text: &str) -> bool {
    let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{200b}".contains(c);
    !text.contains(acts)
}

#[test]
fn text_of_others_is_escaped_wherever_it_is_shown() {
    let sandbox = Sandbox::with_spec(HOSTILE);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.err.contains("\\u{1b}]52;c;cHJpbnRlZA==\\u{7}\\u{1b}[2Jgone \\u{202e} \\u{9b} \\u{1b}[8m"),
        "{}",
        said.err
    );
    assert!(said.err.contains("bad[label=a\\u{202e}] failed"), "{}", said.err);
    let node = "bad[label=b\u{200b}]";
    let log = sandbox.orchestrate(&["logs", node]);
    assert!(log.out.starts_with("\\u{1b}]52;c;cHJpbnRlZA==\\u{7}\\u{1b}[2Jgone"), "{}{}", log.out, log.err);
    let raw = sandbox.orchestrate(&["logs", node, "--raw"]);
    assert!(raw.out.starts_with("\u{1b}]52;c;cHJpbnRlZA==\u{7}\u{1b}[2Jgone"), "{}", raw.out);

    sandbox.edit("spec.toml", "[ $1 = b ] || exit 1", "true");
    assert_eq!(sandbox.run_well(&[]).ran().len(), 2);
    sandbox.write("broken\u{1b}[2J.toml", "[stages.\"\u{9b}\u{202e}\"]\nkind = \"\u{202e}\u{200b}sh\"\n");
    for args in [
        &["plan", "spec.toml", "-v"][..],
        &["plan", "spec.toml", "-v", "--force", node],
        &["explain", "spec.toml", node],
        &["logs", "bad[label=\u{1b}[2J]"],
        &["store", "ls"],
        &["store", "pins"],
        &["store", "show", "\u{1b}[2J"],
        &["store", "unpin", "\u{1b}[2J"],
        &["store", "gc", "--max-size", "\u{1b}[2J"],
        &["run", "\u{1b}[2J.toml"],
        &["run", "broken\u{1b}[2J.toml"],
        &["run", "spec.toml", "--set", "axes.\u{1b}[2J=1"],
        &["run", "spec.toml", "--only", "bad\u{1b}[2J"],
        &["run", "spec.toml", "\u{1b}[2J"],
        &["\u{1b}[2J"],
        &["store", "ls", "--store", "\u{1b}[2J"],
    ] {
        let said = sandbox.orchestrate(args);
        assert!(is_plain(&said.out) && is_plain(&said.err), "{args:?}: {:?}{:?}", said.out, said.err);
        assert!(!said.out.is_empty() || !said.err.is_empty(), "{args:?}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_terminal_gets_no_codes_but_ours() {
    let sandbox = Sandbox::with_spec(HOSTILE);
    // Only longer nodes show progress.
    sandbox.edit("spec.toml", "[ $1 = b ]", "sleep 0.5; [ $1 = b ]");
    let line = format!("{} run spec.toml", env!("CARGO_BIN_EXE_orchestrate"));
    let script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env_remove("ORCHESTRATE_STORE")
        .current_dir(sandbox.path(""))
        .output();
    let Ok(output) = script else {
        eprintln!("skipped: there is no `script` to draw on a terminal with");
        return;
    };
    let drawn = String::from_utf8_lossy(&output.stdout);
    assert!(drawn.contains("\u{1b}[31merror:"), "ours are there: {drawn:?}");
    assert!(drawn.contains("\\u{1b}]52;c;cHJpbnRlZA=="), "{drawn:?}");
    for code in ["\u{1b}]", "\u{1b}[8m", "\u{202e}", "\u{9b}", "\u{7}"] {
        assert!(!drawn.contains(code), "{code:?} in {drawn:?}");
    }
}

/// Runs the program with standard output on a full disk.
fn onto_full_disk(sandbox: &Sandbox, args: &[&str]) -> Said {
    let full = File::options().write(true).open(FULL).unwrap();
    Said::from(sandbox.command(args).stdout(full).output().unwrap(), &sandbox.path(""))
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn output_that_cannot_be_written_is_a_failure() {
    if !Path::new(FULL).exists() {
        eprintln!("skipped: there is no {FULL}");
        return;
    }
    let sandbox = Sandbox::with_spec(LETTERS);
    let said = onto_full_disk(&sandbox, &["run", "spec.toml", "--json"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err, "error: cannot write to standard output: No space left on device (os error 28)\n");
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0], "it was done nevertheless");
    sandbox.orchestrate(&["store", "pin", "spec.toml"]);
    let key = sandbox.run_well(&[]).nodes["all"]["key"].as_str().unwrap().to_owned();
    for args in [
        &["plan", "spec.toml"][..],
        &["plan", "spec.toml", "--json"],
        &["explain", "spec.toml", "all"],
        &["store", "ls"],
        &["store", "show", &key],
        &["store", "verify"],
        &["store", "pins"],
        &["store", "pin", "spec.toml"],
        &["store", "unpin", "letters"],
        &["store", "gc", "--max-size", "1GB"],
        &["store", "repair"],
        &["kinds"],
        &["--help"],
        &["help", "run"],
        &["--version"],
    ] {
        let said = onto_full_disk(&sandbox, args);
        assert_eq!(said.code, Some(1), "{args:?}: {}", said.err);
        assert!(said.err.contains("error: cannot write to standard output: No space left"), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_reader_that_goes_away_hides_no_failure() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let piped = |args: &[&str]| {
        let mut child = sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        Said::from(child.wait_with_output().unwrap(), &sandbox.path(""))
    };
    let well = piped(&["run", "spec.toml", "--json"]);
    assert_eq!((well.code, well.err.as_str()), (Some(0), ""));
    assert_eq!(piped(&["kinds"]).code, Some(0));
    sandbox.edit("spec.toml", "tr a-c A-C", "false");
    assert_eq!(piped(&["run", "spec.toml", "--json"]).code, Some(1));
}

#[test]
fn json_has_the_cause_of_a_failure_and_the_blocked_nodes() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.edit(
        "spec.toml",
        "'tr a-c A-C < \"$1/text\"",
        "'echo broken >&2; [ $(cat $1/text) = b ] && exit 3; cat \"$1/text\"",
    );
    let run = sandbox.run(&[]);
    assert_eq!(run.said.code, Some(1), "{}", run.said.err);
    let failed = &run.nodes["upper[letter=b]"];
    let cause = failed["cause"].as_str().unwrap();
    assert!(cause.contains('3') && cause.contains("broken"), "{cause}");
    let log = failed["log"].as_str().unwrap().replace("DIR/", "");
    assert_eq!(sandbox.read(&log), "broken\n");
    assert_eq!(run.nodes["all"]["by"], "upper[letter=b]");
    assert_eq!(run.nodes["upper[letter=a]"].get("cause"), None);
}

#[test]
fn json_has_the_error_that_ended_a_run() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let messages = |run: Run| -> Vec<String> {
        run.messages.iter().map(|line| format!("{} {} {}", line["reason"], line["message"], line["at"])).collect()
    };
    sandbox.edit("spec.toml", "inputs = { text = \"upper\" }", "inputs = { text = \"uper\" }");
    let run = sandbox.run(&[]);
    assert_eq!(run.said.code, Some(2));
    let expected = r#""error" "stage `repeat` reads `uper`, which is not declared" "spec.toml:23:19""#;
    assert_eq!(messages(run), [expected]);
    sandbox.edit("spec.toml", "uper", "upper");
    sandbox.write("results/text", "a file in the way of a published one");
    let run = sandbox.run(&[]);
    assert_eq!((run.said.code, run.ran().len()), (Some(1), 9));
    let messages = messages(run);
    assert!(messages.iter().any(|line| line.starts_with("\"error\" \"all: ")), "{messages:?}");
    let run = sandbox.run(&["--only", "nothing"]);
    assert_eq!(run.said.code, Some(2));
    assert!(run.messages[0]["message"].as_str().unwrap().contains("nothing"), "{}", run.said.out);
}
