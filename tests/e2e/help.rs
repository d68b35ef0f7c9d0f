//! Help that is true: examples run, the shell gets names from the spec, and manual pages have the text of `--help`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{Said, Sandbox};

/// The quickstart, with fewer images and epochs.
fn quickstart() -> Sandbox {
    let sandbox = Sandbox::new();
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/quickstart.toml");
    sandbox.write("experiments/quickstart.toml", fs::read(spec).expect("it is part of the project"));
    sandbox.edit("experiments/quickstart.toml", "count = 300", "count = 60");
    sandbox.edit("experiments/quickstart.toml", "epochs = 12", "epochs = 1");
    sandbox
}

/// The candidates in bash for the last of some words.
fn candidates(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let mut command = sandbox.command(&["--", "orchestrate"]);
    command.args(words).env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let said = Said::from(command.output().expect("the program starts"), &sandbox.path("."));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}");
    said.out.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn the_shell_completes_specs_stages_nodes_axes_params_and_kinds() {
    let sandbox = quickstart();
    let spec = "experiments/quickstart.toml";
    assert_eq!(candidates(&sandbox, &["pl"]), ["plan"]);
    assert_eq!(candidates(&sandbox, &["run", "experiments/q"]), [spec]);
    assert_eq!(candidates(&sandbox, &["run", spec, "--only", "sc"]), ["score", "score[model="]);
    assert_eq!(candidates(&sandbox, &["run", spec, "--until", "cl"]), ["classify", "classification"]);
    // Bash passes `=` as a word, and replaces what follows it.
    let labels = candidates(&sandbox, &["explain", spec, "cam[model", "=", "tiny-"]);
    assert_eq!(labels, ["tiny-modified]", "tiny-modified,fold="]);
    let axes = candidates(&sandbox, &["explain", spec, "score[model", "=", "tiny,"]);
    assert_eq!(axes, ["tiny,fold=", "tiny,threshold="]);
    assert_eq!(candidates(&sandbox, &["sweep", spec, "th"]), ["threshold="]);
    assert_eq!(candidates(&sandbox, &["plan", spec, "--set", "stages.train.ep"]), ["stages.train.epochs="]);
    assert_eq!(candidates(&sandbox, &["plan", spec, "--set", "axes.f"]), ["axes.fold="]);
}

#[test]
fn a_spec_with_errors_gives_no_candidates_and_no_message() {
    let sandbox = Sandbox::with_spec("[stages.a]\nkind = \"no such kind\"\n");
    assert!(candidates(&sandbox, &["run", "spec.toml", "--only", ""]).iter().all(|name| name.starts_with("--")));
    // The first label would act on the terminal.
    let hostile = r#"
[experiment]
name = "hostile"

[axes]
l = ["a\u202e", "b"]

[stages.a]
kind = "command"
over = ["l"]
argv = ["sh", "{params.l}", "{out}"]
params = { l = "" }
"#;
    sandbox.write("spec.toml", hostile);
    assert_eq!(candidates(&sandbox, &["run", "spec.toml", "--only", "a[l="]), ["a[l=b]"]);
}

#[test]
fn manual_pages_exist_for_every_command() {
    let sandbox = Sandbox::new();
    let said = sandbox.orchestrate(&["man", "--to", "man"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let (run, pin) = (sandbox.read("man/orchestrate-run.1"), sandbox.read("man/orchestrate-store-pin.1"));
    assert!(run.contains(".TH orchestrate-run 1") && run.contains("Override a value"), "{run}");
    assert!(pin.contains("orchestrate store pin experiments/quickstart.toml"), "{pin}");
}

#[test]
fn examples_of_every_help_run() {
    let sandbox = quickstart();
    let sh = |line: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_orchestrate")).parent().expect("it lies in a folder");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(sandbox.path(".")).env("PATH", path).env("NO_COLOR", "1");
        shell.env("HOME", sandbox.path("home")).env_remove("XDG_CONFIG_HOME").env_remove("ORCHESTRATE_STORE");
        Said::from(shell.output().expect("every machine has sh"), &sandbox.path("."))
    };
    sandbox.write("home/.config/fish/config.fish", "");
    let remote = format!("url = \"file://{}\"\nmode = \"read-write\"\n", sandbox.path("bucket").display());
    sandbox.write("orchestrate.toml", format!("[cluster]\nkind = \"slurm\"\n[store.remote]\n{remote}"));
    std::fs::create_dir(sandbox.path("bucket")).expect("the sandbox is writable");
    let mut examples = Vec::new();
    collect(&sandbox, &mut Vec::new(), &mut examples);
    assert!(examples.len() > 40, "{examples:?}");
    assert_eq!(sh("orchestrate run experiments/quickstart.toml").code, Some(0));

    let run = newest(&sandbox.path(".orchestrate/runs"));
    let table = sandbox.orchestrate(&["store", "ls", "--sort", "node"]);
    let key = table.out.split_whitespace().find(|word| word.len() > 7 && word.chars().all(|c| c.is_ascii_hexdigit()));
    let key = key.unwrap_or_else(|| panic!("{}", table.out));
    let mut seen = HashSet::new();
    for example in examples.iter().filter(|example| seen.insert(example.as_str())) {
        // These need the network, data of one's own or a cluster, or compute the whole study again.
        if ["brain-tumor", "store forget", "verify-results", "orchestrate attach", "orchestrate cancel"]
            .iter()
            .any(|part| example.contains(part))
        {
            continue;
        }
        let line = example.replace("/data/lab/store", ".orchestrate").replace("3f9ac2", key);
        let line = line.replace("20260131-174502-318-9f02ac", &run).replace("9f02ac", &run[20..]);
        let said = sh(&line);
        assert_eq!(said.code, Some(0), "{line}\n{}\n{}", said.out, said.err);
    }
}

/// Collects the examples of a command and of the commands below it.
fn collect(sandbox: &Sandbox, command: &mut Vec<String>, examples: &mut Vec<String>) {
    let args: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = sandbox.orchestrate(&args).out;
    let (text, own) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command:?}: {help}"));
    examples.extend(own.lines().filter(|line| !line.is_empty()).map(|line| line.trim().to_owned()));
    let Some((_, commands)) = text.split_once("\nCommands:\n") else { return };
    let names = commands.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        command.push(name.to_owned());
        collect(sandbox, command, examples);
        command.pop();
    }
}

fn newest(dir: &Path) -> String {
    let entries = fs::read_dir(dir).expect("a run was recorded");
    let names = entries.map(|entry| entry.expect("it can be listed").file_name().into_string().expect("plain names"));
    names.max().expect("a run was recorded")
}
