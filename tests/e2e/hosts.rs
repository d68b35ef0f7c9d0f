//! Hosts whose kernel locks do not reach each other share a store: some are stopped for longer than a claim lasts, some
//! are killed, and their clocks are hours apart.
//!
//! A host is a FUSE mount of the store (bindfs keeps locks within a mount, as sshfs does), with a name, a machine id
//! and a start of its own. Its heart beats every 0.25 s, so that two minutes last two seconds. `HOSTS_ROUNDS=N` plays N
//! rounds of 8 runs; the suite plays a few. Needs root, `unshare`, `bindfs` and `faketime`.
#![expect(clippy::print_stderr, reason = "how each round went is what people wait for")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::crash::signal;
use crate::crowd::{drawn, nodes};
use crate::sandbox::Sandbox;

const ENGINES: usize = 8;
const BEAT_MS: u64 = 250;
/// Longer than a claim lasts, shorter than the notes of a session.
const STOPPED: Duration = Duration::from_millis(BEAT_MS * 14);
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Heavy stages with other bytes each time they run, long enough that no engine ends before some are stopped, and light
/// ones.
const SPEC: &str = r#"
[experiment]
name = "hosts"

[axes]
k = "1..=3"
seed = [0]

[stages.draw]
kind = "command"
over = ["k", "seed"]
argv = ["sh", "-c", 'sleep 0.8; head -c 90000 /dev/urandom > "$1/big"', "sh", "{out}"]

[stages.all]
kind = "command"
over = ["seed"]
inputs = { drawn = "draw" }
argv = ["sh", "-c", 'cat "$1"/*/big | cksum > "$2/text"', "sh", "{in.drawn}", "{out}"]

[stages.images]
kind = "dataset"
over = ["seed"]
format = "phantom"
count = 12
size = 16

[stages.split]
kind = "split"
over = ["seed"]
inputs = { labels = "images" }
folds = 2
"#;

/// A host: its mount of the store, and what tells it from others.
struct Host {
    name: &'static str,
    store: PathBuf,
    boot: PathBuf,
    machine: PathBuf,
    /// Its clock is ahead by this.
    ahead: &'static str,
}

impl Host {
    fn new(shared: &Sandbox, name: &'static str, ahead: &'static str) -> Self {
        let path = |what: &str| shared.path(&format!("{name}-{what}"));
        let host = Self { name, store: path("store"), boot: path("boot"), machine: path("machine"), ahead };
        fs::create_dir(&host.store).expect("tests can make folders");
        fs::write(&host.boot, format!("{name}-boot\n")).expect("tests can write");
        fs::write(&host.machine, format!("{name}-machine\n")).expect("tests can write");
        let mounted = Command::new("bindfs").arg(shared.path("store")).arg(&host.store).status();
        assert!(mounted.is_ok_and(|status| status.success()), "bindfs mounts a folder");
        host
    }

    /// The program on this host; its process becomes the engine.
    fn command(&self, sandbox: &Sandbox, args: &[&str]) -> Command {
        let binds = r#"hostname "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id || exit 99
            [ ! -e /etc/machine-id ] || mount --bind "$3" /etc/machine-id || exit 99; shift 3; exec "$@""#;
        let plain = sandbox.command(args);
        let mut command = Command::new("unshare");
        command.args(["--uts", "--mount", "env", "LD_PRELOAD=", "sh", "-c", binds, "sh", self.name]);
        command.arg(&self.boot).arg(&self.machine).args(["env", &format!("LD_PRELOAD={FAKETIME}")]);
        command.arg(plain.get_program()).args(args).arg("--store").arg(&self.store).current_dir(sandbox.path(""));
        command.env_remove("ORCHESTRATE_STORE").env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
        command.env("FAKETIME", self.ahead).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        command.env("ORCHESTRATE_HEARTBEAT_MS", BEAT_MS.to_string());
        command
    }

    fn run(&self, sandbox: &Sandbox, round: usize) -> Command {
        let seed = format!("axes.seed=[{round}]");
        self.command(sandbox, &["run", "spec.toml", "--json", "--jobs", "2", "--set", &seed])
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.store).status();
    }
}

/// Failures of a round.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Engines that were not killed and did not succeed, with their nodes.
    failed: usize,
    /// Results that were reported, and are gone.
    lost: usize,
    /// Keys with several outputs.
    several: usize,
}

/// Why this machine cannot play hosts; `None` if it can.
fn missing() -> Option<String> {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if fs::metadata("/proc/self").map_or(1, |process| process.uid()) != 0 {
        return Some("it needs root".to_owned());
    }
    let programs = ["unshare", "bindfs"].into_iter().find(|program| !has(program));
    let file = [FAKETIME, "/dev/fuse"].into_iter().find(|path| !Path::new(path).exists());
    programs.or(file).map(|what| format!("there is no {what}"))
}

/// One round: engines of both hosts want the same new nodes.
fn round(number: usize, sandbox: &Sandbox, hosts: &[Host; 2]) -> (Tally, usize) {
    let began = Instant::now();
    let mut killed = BTreeSet::new();
    let mut engines = Vec::new();
    for engine in 0..ENGINES {
        std::thread::sleep(Duration::from_millis(drawn(number, &format!("start {engine}"), 60)));
        let mut command = hosts[engine % 2].run(sandbox, number);
        engines.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts"));
    }
    std::thread::sleep(Duration::from_millis(150 + drawn(number, "stop", 300)));
    // The first ones are the likeliest to hold claims.
    let stopped = [0, 1, drawn(number, "stopped", ENGINES as u64) as usize];
    stopped.iter().for_each(|engine| signal(engines[*engine].id(), "-STOP"));
    if number % 2 == 1 {
        let engine = 2 + drawn(number, "kill", ENGINES as u64 - 2) as usize;
        signal(engines[engine].id(), "-KILL");
        killed.insert(engine);
    }
    // It may wait for an engine of its own host that was stopped during a lookup. Once all have ended it may collect
    // all.
    let mut collection = hosts[0].command(sandbox, &["store", "gc", "--max-size", "1B"]);
    let mut collection = collection.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(STOPPED);
    let _ = collection.kill();
    stopped.iter().for_each(|engine| signal(engines[*engine].id(), "-CONT"));
    let collect = collection.wait_with_output().expect("it ends");
    let outs: Vec<_> = engines.into_iter().map(|engine| engine.wait_with_output().expect("it ends")).collect();

    let mut tally = Tally::default();
    let mut outputs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut ran, mut hits, mut told, mut taken_over) = (0, 0, 0, 0);
    for (engine, out) in outs.iter().enumerate() {
        let text = String::from_utf8_lossy(&out.stdout);
        taken_over += text.matches("ran here, but another host").count();
        told += usize::from(text.contains("locks do not reach"));
        for (key, node) in nodes(&text) {
            match node["status"].as_str() {
                Some("ran") => ran += 1,
                Some("hit") => hits += 1,
                _ => tally.failed += 1,
            }
            outputs.entry(key).or_default().insert(node["output"].to_string());
        }
        if !killed.contains(&engine) && out.status.code() != Some(0) {
            tally.failed += 1;
            eprintln!("engine {engine}: {text}{}", String::from_utf8_lossy(&out.stderr));
        }
    }
    for host in hosts {
        let again = host.run(sandbox, number).output().expect("the program starts");
        let again: Vec<(String, Value)> = nodes(&String::from_utf8_lossy(&again.stdout));
        tally.lost += again.iter().filter(|(_, node)| node["status"] != "hit").count();
        tally.lost += usize::from(again.len() != outputs.len());
        for (key, node) in again {
            outputs.entry(key).or_default().insert(node["output"].to_string());
        }
    }
    tally.several = outputs.values().filter(|outputs| outputs.len() > 1).count();
    eprintln!(
        "round {number}: {ENGINES} engines, {} keys, {ran} ran, {hits} hits, {taken_over} taken over, {} killed, \
         {told} told of locks, a collection said `{}`, in {:.1} s: {tally:?}",
        outputs.len(),
        killed.len(),
        String::from_utf8_lossy(&collect.stderr).lines().next().unwrap_or_default(),
        began.elapsed().as_secs_f64(),
    );
    (tally, told)
}

#[test]
fn hosts_without_common_locks_lose_nothing_and_agree_on_each_key() {
    if let Some(reason) = missing() {
        eprintln!("skipped: two hosts: {reason}");
        return;
    }
    let rounds = std::env::var("HOSTS_ROUNDS").ok().map_or(4, |rounds| rounds.parse().expect("a number of rounds"));
    let (shared, sandbox) = (Sandbox::new(), Sandbox::with_spec(SPEC));
    fs::create_dir(shared.path("store")).expect("tests can make folders");
    let hosts = [Host::new(&shared, "left", "+3h"), Host::new(&shared, "right", "-26h")];
    let (mut all, mut told) = (Tally::default(), 0);
    for number in 0..rounds {
        let (tally, warned) = round(number, &sandbox, &hosts);
        let Tally { failed, lost, several } = tally;
        all = Tally { failed: all.failed + failed, lost: all.lost + lost, several: all.several + several };
        told += warned;
    }
    let verified = hosts[1].command(&sandbox, &["store", "verify"]).output().expect("the program starts");
    eprintln!("{}", String::from_utf8_lossy(&verified.stdout));
    eprintln!("failed {}, lost {}, several {} of {rounds} rounds", all.failed, all.lost, all.several);
    assert_eq!(all, Tally::default());
    let said = String::from_utf8_lossy(&verified.stdout);
    // Times of last use only rank; appending them needs a common lock.
    let problems: Vec<_> = said.lines().filter(|line| line.contains("damaged") && !line.contains("last-use")).collect();
    assert!(problems.is_empty() && !said.contains("different outputs"), "{said}");
    assert!(told > 0, "no run was told that locks do not reach the other host");
}
