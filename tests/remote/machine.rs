//! Machines of a lab: each with a home, a project and a store of its own, and the same spec.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::server::{BUCKET, KEY};

/// Three results of 300 kB each that differ, and one of all of them.
pub(crate) const SPEC: &str = r#"
experiment = { name = "shared" }
axes = { k = [1, 2, 3] }

[stages.draw]
kind = "command"
over = ["k"]
params = { k = 0, seed = 0 }
argv = [
  "sh", "-ec", 'yes "$1 $2" | head -c 300000 > $3/big; echo $1 > $3/small',
  "sh", "{params.k}", "{params.seed}", "{out}",
]

[stages.all]
kind = "command"
inputs = { drawn = "draw" }
argv = ["sh", "-ec", 'cat $1/*/big | cksum > $2/sum', "sh", "{in.drawn}", "{out}"]
"#;

/// A machine.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    port: u16,
}

/// The exit code and output of the program.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A run of the spec.
pub(crate) struct Run {
    pub(crate) ran: usize,
    pub(crate) hit: usize,
    /// The counts of the remote; null if it was not asked.
    pub(crate) remote: Value,
    pub(crate) warnings: Vec<String>,
    /// The digests of all outputs.
    pub(crate) outputs: Vec<String>,
}

impl Machine {
    /// Sets up a machine whose project has the bucket behind this port of the host as its remote.
    pub(crate) fn new(port: u16) -> Self {
        let machine = Self { dir: tempfile::tempdir().expect("tests have a temporary folder"), port };
        machine.write("project/spec.toml", SPEC);
        machine.settings("mode = \"read-write\"\n");
        machine
    }

    /// Writes the project's file with these lines about the remote, and perhaps other sections.
    pub(crate) fn settings(&self, lines: &str) {
        let port = self.port;
        let text = format!(
            "[store.remote]\nurl = \"s3://{BUCKET}/tier\"\nendpoint = \"http://127.0.0.1:{port}\"\ntimeout = \"3 s\"\n"
        );
        self.write("project/orchestrate.toml", &(text + lines));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("tests can make folders");
        fs::write(path, text).expect("tests can write");
    }

    /// The program, ready to run in the project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrate"));
        self.prepare(command.args(args));
        command
    }

    /// Gives a command the home and the credentials of the machine.
    pub(crate) fn prepare(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.current_dir(self.path("project")).env("HOME", self.dir.path()).env("NO_COLOR", "1");
        command.env("AWS_ACCESS_KEY_ID", KEY.0).env("AWS_SECRET_ACCESS_KEY", KEY.1);
        command.env("ORCHESTRATE_KEY", self.path("key")).env_remove("ORCHESTRATE_STORE").env_remove("RUST_LOG");
        command.stdin(Stdio::null());
    }

    pub(crate) fn orchestrate(&self, args: &[&str]) -> Said {
        self.command(args).output().expect("the program starts").into()
    }

    /// Runs the spec, which must succeed whatever the remote does.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let said = self.orchestrate(&[&["run", "spec.toml", "--json"], args].concat());
        assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
        assert!(!said.err.contains(KEY.1) && !said.out.contains(KEY.1), "a secret is shown");
        let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of = |reason: &'static str| lines.iter().filter(move |line| line["reason"] == reason);
        let summary = of("summary").next_back().expect("a run ends");
        let count = |name: &str| summary[name].as_u64().expect("a count") as usize;
        Run {
            ran: count("ran"),
            hit: count("hit"),
            remote: summary["remote"].clone(),
            warnings: of("warning").map(|line| line["message"].as_str().expect("a text").to_owned()).collect(),
            outputs: of("node").map(|line| line["output"].to_string()).collect(),
        }
    }

    /// Checks that the store is sound.
    pub(crate) fn verify(&self) {
        let said = self.orchestrate(&["store", "verify"]);
        assert!(said.code == Some(0) && said.out.contains("all is well"), "{}{}", said.out, said.err);
    }

    pub(crate) fn store(&self) -> PathBuf {
        Path::new(&self.path("project")).join(".orchestrate")
    }
}

impl Run {
    /// A count of the remote.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.remote[name].as_u64().unwrap_or_default()
    }
}
