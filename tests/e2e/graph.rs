//! Graphs of specs: what they show, without their data too, and what other programs make of them.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::sandbox::Sandbox;

/// Three stages over two axes, with names that every format must escape.
const SPEC: &str = r#"
[experiment]
name = "a <b> & \"c\""

[axes]
letter = ["größe|", "<y>", "\"z\""]
number = [1, 2]

[stages.make]
kind = "command"
over = ["letter", "number"]
argv = ["sh", "-ec", 'echo "$0" > "$1/file"', "{params.letter}", "{out}"]
params = { letter = "", number = 0 }

[stages.join]
kind = "command"
over = ["letter"]
inputs = { parts = "make" }
argv = ["sh", "-ec", 'cat "$1"/*/file > "$2/file"; echo "$0"', "{params.letter}", "{in.parts}", "{out}"]
params = { letter = "" }
"#;

fn graph(sandbox: &Sandbox, args: &[&str]) -> String {
    let said = sandbox.orchestrate(&[&["graph", "spec.toml"], args].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

#[test]
fn graph_counts_what_plan_counts_and_marks_gathered_axes() {
    let sandbox = Sandbox::with_spec(SPEC);
    let before = graph(&sandbox, &[]);
    assert!(before.contains("over letter, number<br>6 nodes: 6 miss"), "{before}");
    assert!(
        before.contains("3 nodes: 3 unknown") && before.contains("n0 ==>|\"parts (out)<br>all of number\"| n1"),
        "{before}"
    );
    sandbox.run_well(&["--only", "make"]);
    let after = graph(&sandbox, &["--format", "dot"]);
    assert!(after.contains("6 nodes: 6 hit") && after.contains("3 nodes: 3 miss"), "{after}");
    let nodes = graph(&sandbox, &["--nodes", "--only", "join[letter=<y>]"]);
    assert!(nodes.contains("letter=#60;y#62;<br>number=2<br>hit\"]:::hit"), "{nodes}");
    assert_eq!(nodes.lines().filter(|line| line.contains("<b>")).count(), 3, "{nodes}");
    // Nothing is written by drawing.
    assert_eq!(graph(&sandbox, &[]), graph(&sandbox, &[]));
}

#[test]
fn drawing_goes_to_a_file_of_the_format_that_its_ending_tells() {
    let sandbox = Sandbox::with_spec(SPEC);
    for (file, start) in [("g.svg", "<svg "), ("g.MMD", "flowchart TD"), ("g.dot", "digraph ")] {
        graph(&sandbox, &["--to", file]);
        let first = sandbox.read(file);
        assert!(first.starts_with(start), "{first}");
        graph(&sandbox, &["--to", file]);
        assert_eq!(sandbox.read(file), first);
    }
    let svg = sandbox.read("g.svg");
    assert!(svg.contains("a &lt;b&gt; &amp; &quot;c&quot;") && svg.contains(">join<") && svg.contains("all of number"));
    for (args, expected) in [
        (["--to", "g.png"], "the ending of g.png tells no format"),
        (["--only", "mkae"], "make"),
        (["--to", "nowhere/g.svg"], "cannot write nowhere/g.svg"),
    ] {
        let said = sandbox.orchestrate(&[&["graph", "spec.toml"], &args[..]].concat());
        assert_ne!(said.code, Some(0));
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let said = sandbox.orchestrate(&["graph", "spec.toml", "--to", "g.svg", "--format", "dot"]);
    assert_eq!((said.code, said.err.contains("differ")), (Some(2), true), "{}", said.err);
}

#[test]
fn too_many_nodes_are_not_drawn_but_their_stages_are() {
    let sandbox = Sandbox::with_spec(&SPEC.replace("number = [1, 2]", "number = [\"1..=200\"]"));
    let said = sandbox.orchestrate(&["graph", "spec.toml", "--nodes"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("603 nodes are too many to draw, at most 300\nhelp: select some, such as"),
        "{}",
        said.err
    );
    assert!(graph(&sandbox, &[]).contains("600 nodes"));
    let most = graph(&sandbox, &["--nodes", "--only", "join[letter=<y>]", "--format", "svg"]);
    assert!(most.matches("<rect class=\"graph-miss\"").count() >= 200);
}

#[test]
fn stages_are_drawn_without_the_data_but_not_with_errors_in_the_spec() {
    let spec = "[experiment]\nname = \"far\"\n\n[stages.images]\nkind = \"dataset\"\nformat = \"folders\"\n\
                path = \"nowhere\"\n\n[stages.split]\nkind = \"split\"\nfolds = 2\ninputs = { labels = \"images\" }\n";
    let sandbox = Sandbox::with_spec(spec);
    let said = sandbox.orchestrate(&["graph", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.starts_with("warning: hits and misses are unknown: stage `images`: "), "{}", said.err);
    assert!(said.out.contains("<b>split</b><br>1 node\"]:::plain") && said.out.contains("nowhere"), "{}", said.out);
    sandbox.edit("spec.toml", "folds = 2", "folds = 1");
    let said = sandbox.orchestrate(&["graph", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("`folds` must be at least 2"), "{}", said.err);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn graphviz_reads_the_drawing() {
    let sandbox = Sandbox::with_spec(SPEC);
    let text = graph(&sandbox, &["--format", "dot"]);
    let dot = Command::new("dot").args(["-Tplain"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut dot) = dot else {
        eprintln!("skipped: there is no dot of Graphviz");
        return;
    };
    dot.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("dot reads");
    let output = dot.wait_with_output().expect("dot ends");
    assert!(output.status.success());
    let plain = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(plain.lines().any(|line| line.starts_with("edge n0 n1")), "{plain}");
}
