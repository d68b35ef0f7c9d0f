//! A sandbox: a folder with a spec and a store, in which tests run the built program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A project in a temporary folder.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    /// Makes a project that has only the marker of its root.
    pub(crate) fn new() -> Self {
        let sandbox = Self { dir: tempfile::tempdir().expect("tests have a temporary folder") };
        sandbox.write("orchestrate.toml", "");
        sandbox
    }

    /// Makes a project with `spec.toml`.
    pub(crate) fn with_spec(spec: &str) -> Self {
        let sandbox = Self::new();
        sandbox.write("spec.toml", spec);
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("tests can make folders");
        fs::write(path, text).expect("tests can write");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Replaces a text in a file.
    pub(crate) fn edit(&self, name: &str, was: &str, now: &str) {
        let text = self.read(name);
        assert!(text.contains(was), "{name} has no `{was}`");
        self.write(name, text.replacen(was, now, 1));
    }

    /// The program, ready to run in the project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrate"));
        command.args(args).current_dir(self.dir.path()).env_remove("ORCHESTRATE_STORE").env("NO_COLOR", "1");
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        // Whoever runs the tests may have a key.
        command.env("ORCHESTRATE_KEY", self.path("no key"));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn orchestrate(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).output().expect("the program starts"), self.dir.path())
    }

    /// Runs `spec.toml` and reads the line of each node.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let mut all = vec!["run", "spec.toml", "--json"];
        all.extend(args);
        Run::from(self.orchestrate(&all))
    }

    /// Runs `spec.toml`, which must succeed.
    pub(crate) fn run_well(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.said.code, Some(0), "{}\n{}", run.said.out, run.said.err);
        run
    }
}

/// Waits until something is done, for so long at most.
pub(crate) fn wait_at_most(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(process: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(status.expect("there is a `kill`").success());
}

/// The exit code and output of the program.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Replaces the folder of the test by `DIR`.
    pub(crate) fn from(output: Output, dir: &Path) -> Self {
        let dir = dir.to_str().expect("temporary folders have plain names");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(dir, "DIR");
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A run, node by node.
pub(crate) struct Run {
    /// Status, key and output of each node by name; axes in the order of their names.
    pub(crate) nodes: BTreeMap<String, Value>,
    pub(crate) summary: Value,
    /// Lines of other reasons: `error`, `warning`, `job` and `efficiency`.
    pub(crate) messages: Vec<Value>,
    /// Lines of the reason `text`: tables and audits.
    pub(crate) texts: Vec<Value>,
    pub(crate) said: Said,
}

impl Run {
    pub(crate) fn from(said: Said) -> Self {
        let mut nodes = BTreeMap::new();
        let (mut summary, mut messages, mut texts) = (Value::Null, Vec::new(), Vec::new());
        for line in said.out.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            match line["reason"].as_str() {
                Some("node") => drop(nodes.insert(name(&line), line)),
                Some("summary") => summary = line,
                Some("error" | "warning") => messages.push(line),
                Some("text") => texts.push(line),
                Some("job" | "efficiency") => {}
                other => panic!("a line has the reason {other:?}"),
            }
        }
        Self { nodes, summary, messages, texts, said }
    }

    /// Names of the nodes with a status, sorted.
    pub(crate) fn with(&self, status: &str) -> Vec<&str> {
        self.nodes.iter().filter(|(_, line)| line["status"] == status).map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn ran(&self) -> Vec<&str> {
        self.with("ran")
    }

    /// The output digests of every node.
    pub(crate) fn outputs(&self) -> BTreeMap<&str, &Value> {
        self.nodes.iter().map(|(name, line)| (name.as_str(), &line["output"])).collect()
    }
}

fn name(line: &Value) -> String {
    let stage = line["stage"].as_str().expect("a node has a stage");
    let point = line["point"].as_object().expect("a node has a point");
    let label = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let labels: Vec<_> = point.iter().map(|(axis, value)| format!("{axis}={}", label(value))).collect();
    if labels.is_empty() { stage.to_owned() } else { format!("{stage}[{}]", labels.join(",")) }
}
