//! Many rounds of eight engines from two projects with overlapping specs on one store. In some rounds engines are
//! killed, and garbage collection runs all the time.
//!
//! `just crowd N` plays N rounds; the suite plays a few.
#![expect(clippy::print_stderr, reason = "how each round went is what people wait for")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use orchestrate_cache::{Access, ActionKey, Digest, Store};
use serde_json::Value;

use crate::sandbox::Sandbox;

const ENGINES: usize = 8;

/// Light stages and worker processes; each engine chooses `letter` and `seed`.
const SPEC: &str = r#"
[experiment]
name = "crowd"

[axes]
letter = ["a"]
times = [1, 2]
seed = [1]

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
shuffle = true

[stages.source]
kind = "command"
over = ["letter"]
argv = ["sh", "-c", 'printf "$1%070000d" 0 > "$2/text"', "sh", "{params.letter}", "{out}"]

[stages.repeat]
kind = "command"
over = ["letter", "times"]
inputs = { text = "source" }
argv = [
  "sh", "-c", 'for i in $(seq "$3"); do cat "$1/text"; done > "$2/text"', "sh", "{in.text}", "{out}", "{params.times}"
]

[stages.all]
kind = "command"
inputs = { texts = "repeat", splits = "split.split" }
argv = ["sh", "-c", 'cat "$1"/*/text | cksum > "$2/text"', "sh", "{in.texts}", "{out}"]
"#;

/// The choices of the engines: several engines share every letter and seed.
const CHOICES: [[&str; 2]; 4] = [
    [r#"axes.letter=["a", "b"]"#, "axes.seed=[1]"],
    [r#"axes.letter=["b", "c"]"#, "axes.seed=[1, 2]"],
    [r#"axes.letter=["a", "c"]"#, "axes.seed=[2]"],
    [r#"axes.letter=["c", "b", "a"]"#, "axes.seed=[2, 1]"],
];

/// Failures of a round.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Keys that several engines computed in one round.
    ran_twice: usize,
    /// Nodes that failed in engines that were not killed, and nodes that the store lost.
    lost: usize,
    /// Nodes with other bytes than in an undisturbed run.
    wrong: usize,
}

/// A pseudo-random number below `below`, the same in every run.
pub(crate) fn drawn(round: usize, what: &str, below: u64) -> u64 {
    let digest = Digest::of(format!("{round} {what}").as_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes")) % below
}

/// Key, status and output of each node of a run; the last line of a killed run may be torn.
pub(crate) fn nodes(out: &str) -> Vec<(String, Value)> {
    let lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let nodes = lines.filter(|line| line["reason"] == "node");
    nodes.map(|line| (line["key"].as_str().unwrap_or_default().to_owned(), line)).collect()
}

fn run(sandbox: &Sandbox, store: &str, engine: usize) -> std::process::Command {
    let [letters, seeds] = CHOICES[engine % CHOICES.len()];
    let mut command = sandbox.command(&["run", "spec.toml", "--json", "--jobs", "2", "--store", store]);
    command.args(["--set", letters, "--set", seeds]);
    command
}

/// Runs every choice, one after the other.
fn run_all(sandbox: &Sandbox, store: &str) -> Vec<(String, Value)> {
    let output = |engine| run(sandbox, store, engine).output().expect("the program starts");
    (0..CHOICES.len()).flat_map(|engine| nodes(&String::from_utf8_lossy(&output(engine).stdout))).collect()
}

/// One round on a store of its own.
fn round(number: usize, projects: &[Sandbox; 2], expected: &BTreeMap<String, Value>) -> Tally {
    let began = Instant::now();
    let shared = Sandbox::new();
    let store = shared.path("store").display().to_string();
    let (kills, collects) = (number % 2 == 1, number % 4 != 2);
    // Results stay as long as a session needs them: in some rounds one needs all, in others each engine its own.
    let keeps = !collects || number % 3 != 1;
    if collects {
        // Old results: the engines need some of them, and garbage collection deletes the others.
        run(&projects[0], &store, 0).args(["--set", r#"axes.letter=["a", "z"]"#]).output().expect("the program starts");
    }
    let open = Store::open(&shared.path("store"), Access::ReadWrite).expect("the store opens");
    if keeps {
        let keys: Vec<_> = expected.keys().map(|key| ActionKey(key.parse().expect("a digest"))).collect();
        open.using().and_then(|using| using.note(&keys)).expect("the store is writable");
    }
    let ended = AtomicBool::new(false);
    let collections = AtomicUsize::new(0);
    let mut engines: Vec<Child> = Vec::new();
    let mut killed = BTreeSet::new();
    let outs = std::thread::scope(|scope| {
        if collects {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    let said = shared.orchestrate(&["store", "gc", "--max-size", "1B", "--store", &store]);
                    assert_eq!(said.code, Some(0), "{}", said.err);
                    collections.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for engine in 0..ENGINES {
            std::thread::sleep(Duration::from_millis(drawn(number, &format!("start {engine}"), 20)));
            let mut command = run(&projects[engine % 2], &store, engine);
            engines.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts"));
        }
        if kills {
            for kill in 0..3 {
                std::thread::sleep(Duration::from_millis(drawn(number, &format!("wait {kill}"), 150)));
                let engine = drawn(number, &format!("kill {kill}"), ENGINES as u64) as usize;
                // An engine that has already ended cannot be killed.
                if engines[engine].try_wait().expect("it can be waited for").is_none() {
                    engines[engine].kill().expect("it can be killed");
                    killed.insert(engine);
                }
            }
        }
        let outs: Vec<_> = engines.drain(..).map(|engine| engine.wait_with_output().expect("it ends")).collect();
        ended.store(true, Ordering::SeqCst);
        outs
    });
    let mut tally = Tally::default();
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    let mut promised = BTreeSet::new();
    for (engine, out) in outs.iter().enumerate() {
        let nodes = nodes(&String::from_utf8_lossy(&out.stdout));
        // An engine that needs its own results computes none of them twice.
        tally.ran_twice += nodes.len() - nodes.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len();
        for (key, node) in &nodes {
            match node["status"].as_str() {
                Some("ran") => *ran.entry(key.clone()).or_default() += 1,
                // A hit that only a killed engine has found may be collected after its death.
                Some("hit") if killed.contains(&engine) => continue,
                Some("hit") => {}
                _ => tally.lost += 1,
            }
            promised.insert(key.clone());
            tally.wrong += usize::from(expected.get(key).is_none_or(|output| *output != node["output"]));
        }
        if !killed.contains(&engine) && out.status.code() != Some(0) {
            tally.lost += 1;
            eprintln!("engine {engine}: {}", String::from_utf8_lossy(&out.stderr));
        }
    }
    tally.ran_twice += if keeps { ran.values().filter(|times| **times > 1).count() } else { 0 };
    drop(open);
    let afterwards = run_all(&projects[1], &store);
    // A node is not lost if both engines with that choice were killed before it: it is computed now.
    let promised = |key: &String| keeps && (killed.is_empty() || promised.contains(key));
    tally.lost += afterwards.iter().filter(|(key, node)| node["status"] != "hit" && promised(key)).count();
    tally.wrong += afterwards.iter().filter(|(key, node)| expected.get(key) != Some(&node["output"])).count();
    let verified = shared.orchestrate(&["store", "verify", "--store", &store]);
    if verified.code != Some(0) {
        tally.wrong += 1;
        eprintln!("{}{}", verified.out, verified.err);
    }
    eprintln!(
        "round {number}: {} keys ran in {ENGINES} engines in {:.1} s, {} killed, {} collections beside them: {tally:?}",
        ran.len(),
        began.elapsed().as_secs_f64(),
        killed.len(),
        collections.load(Ordering::SeqCst)
    );
    tally
}

#[test]
fn a_crowd_computes_each_node_once_and_loses_nothing() {
    let rounds = std::env::var("CROWD_ROUNDS").ok().map_or(2, |rounds| rounds.parse().expect("a number of rounds"));
    let projects = [Sandbox::with_spec(SPEC), Sandbox::with_spec(SPEC)];
    let undisturbed = run_all(&projects[0], &projects[0].path("undisturbed").display().to_string());
    let expected: BTreeMap<_, _> = undisturbed.into_iter().map(|(key, node)| (key, node["output"].clone())).collect();
    assert_eq!(expected.len(), 2 + 2 + 3 + 6 + 4, "every node of every choice once");
    let mut all = Tally::default();
    for number in 0..rounds {
        let Tally { ran_twice, lost, wrong } = round(number, &projects, &expected);
        all = Tally { ran_twice: all.ran_twice + ran_twice, lost: all.lost + lost, wrong: all.wrong + wrong };
    }
    eprintln!("ran twice {}, lost {}, wrong {} of {rounds} rounds", all.ran_twice, all.lost, all.wrong);
    assert_eq!(all, Tally::default());
}
