//! Kills: at every change of the disk in turn, and at random.

use std::collections::BTreeSet;
use std::fs;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::judge::{self, Verdict};
use crate::project::{Expected, Project, Said, said};
use crate::result::Results;

/// The process that is run and killed.
const SCENARIOS: [&str; 7] = [
    "engine at a random time",
    "engine at a random change",
    "worker at a random change",
    "engine and workers at once",
    "engine beside another engine",
    "collection at a random change",
    "collection beside a run",
];

/// Kills that many processes, and returns the losses.
pub(crate) fn random(kills: u64, seed: u64, tell: impl Fn(&str)) -> Verdict {
    let mut random = Random { draw: ChaCha8Rng::seed_from_u64(seed), sizes: Sizes::measure() };
    let mut by_scenario: Vec<Verdict> = SCENARIOS.iter().map(|_| Verdict::default()).collect();
    let count = |verdicts: &[Verdict]| verdicts.iter().map(|verdict| verdict.kills).sum::<u64>();
    while count(&by_scenario) < kills {
        let scenario = random.below(SCENARIOS.len() as u64) as usize;
        let verdict = random.trial(scenario);
        verdict.faults.iter().for_each(|fault| tell(&format!("{}: {fault}", SCENARIOS[scenario])));
        by_scenario[scenario].add(verdict);
    }
    let mut all = Verdict::default();
    for (name, verdict) in SCENARIOS.iter().zip(by_scenario) {
        tell(&format!("{name:32} {verdict}"));
        all.add(verdict);
    }
    all
}

/// Durations of the processes, so that kills are spread over them.
struct Sizes {
    expected: Expected,
    engine_steps: u64,
    worker_steps: u64,
    gc_steps: u64,
}

impl Sizes {
    fn measure() -> Self {
        let expected = Project::new().expect();
        let project = Project::new();
        let trace = project.trace("run");
        let workers = trace.iter().filter(|line| line.starts_with("worker")).count() as u64;
        project.call("litter", &[]);
        Self {
            expected,
            engine_steps: trace.len() as u64 - workers,
            worker_steps: workers / 4,
            gc_steps: project.trace("gc").len() as u64,
        }
    }
}

struct Random {
    draw: ChaCha8Rng,
    sizes: Sizes,
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.draw.next_u64() % bound
    }

    /// Disturbs one store once or a few times in a row, then runs the study to its end.
    fn trial(&mut self, scenario: usize) -> Verdict {
        let project = Project::new();
        let mut promised = Results::new();
        let mut kills = 0;
        for _ in 0..=self.below(3) {
            let all = match scenario {
                0 => vec![self.kill_in_time(&project, false)],
                1 => vec![self.at_change(&project, "run", "FAILPOINT", self.sizes.engine_steps)],
                2 => vec![self.at_change(&project, "run", "FAILPOINT_WORKER", self.sizes.worker_steps)],
                3 => vec![self.kill_in_time(&project, true)],
                4 => {
                    let beside = project.start("run", &[]);
                    let killed = self.kill_in_time(&project, false);
                    vec![killed, said(beside)]
                }
                5 => {
                    let run = self.at_change(&project, "run", "FAILPOINT", 2 * self.sizes.engine_steps);
                    project.call("litter", &[]);
                    vec![run, self.at_change(&project, "gc", "FAILPOINT", self.sizes.gc_steps)]
                }
                _ => {
                    project.call("litter", &[]);
                    let beside = project.start("run", &[]);
                    let killed = self.at_change(&project, "gc", "FAILPOINT", self.sizes.gc_steps);
                    vec![killed, said(beside)]
                }
            };
            kills += all.iter().filter(|said| said.was_killed()).count() as u64;
            if scenario == 2 {
                kills += all[0].lines("failed").count() as u64;
            }
            promised.extend(all.iter().flat_map(Said::results).map(|ended| (ended.key, ended.outputs)));
        }
        let mut verdict = judge::finish(&project, &promised, &self.sizes.expected);
        verdict.kills = kills;
        verdict
    }

    fn at_change(&mut self, project: &Project, command: &str, variable: &str, steps: u64) -> Said {
        let (step, percent) = (self.below(steps), self.below(101));
        project.call(command, &[(variable, format!("kill={step}:{percent}"))])
    }

    fn kill_in_time(&mut self, project: &Project, workers_too: bool) -> Said {
        let child = project.start("run", &[]);
        let micros = self.below(self.sizes.expected.elapsed.as_micros() as u64 * 11 / 10);
        std::thread::sleep(Duration::from_micros(micros));
        if workers_too {
            for worker in workers(&child) {
                let _ = killpg(worker, Signal::SIGKILL);
            }
        }
        // The process may have ended.
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        said(child)
    }
}

/// The worker processes of an engine; each leads its own process group.
pub(crate) fn workers(engine: &Child) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", engine.id())).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<_> = children.collect();
    children
        .iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
        .collect()
}

/// A situation, in which a kill hits each change once.
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    /// The preparation, which is not disturbed.
    before: &'static [&'static str],
    pub(crate) command: &'static str,
    pub(crate) variable: &'static str,
}

const SITUATIONS: [Situation; 6] = [
    Situation { name: "first run, engine", before: &[], command: "run", variable: "FAILPOINT" },
    Situation { name: "first run, worker", before: &[], command: "run", variable: "FAILPOINT_WORKER" },
    Situation { name: "run of hits", before: &["run"], command: "run", variable: "FAILPOINT" },
    Situation { name: "run after a kill", before: &["killed", "litter"], command: "run", variable: "FAILPOINT" },
    Situation { name: "collection", before: &["run", "litter"], command: "gc", variable: "FAILPOINT" },
    Situation { name: "forgetting", before: &["run", "litter"], command: "forget", variable: "FAILPOINT" },
];

/// Kills at every `stride`th change of every situation, and prints the kinds of changes.
pub(crate) fn enumerated(stride: u64, tell: impl Fn(&str)) -> Verdict {
    let expected = Project::new().expect();
    let (mut all, mut places) = (Verdict::default(), BTreeSet::new());
    for situation in &SITUATIONS {
        let mut verdict = Verdict::default();
        let trace = situation.trace();
        let steps = situation.steps(&trace);
        places.extend(trace);
        for step in (0..steps).step_by(stride.max(1) as usize) {
            let project = situation.prepare();
            let killed = project.call(situation.command, &[(situation.variable, format!("kill={step}"))]);
            // Collections and forgettings promise nothing, and earlier results stay.
            let mut promised: Results = killed.results().into_iter().map(|ended| (ended.key, ended.outputs)).collect();
            if situation.before.contains(&"run") {
                promised.extend(expected.results.clone());
            }
            let mut one = judge::finish(&project, &promised, &expected);
            if situation.command == "forget" {
                let again = project.call("forget", &[]);
                let lines = again.lines("left").map(|left| format!("{left} is left by the second forgetting"));
                one.faults.extend(lines);
                one.faults.extend((!again.status.success()).then(|| format!("it does not finish: {}", again.err)));
            }
            one.kills = if situation.is_of_workers() {
                killed.lines("failed").count() as u64
            } else {
                u64::from(killed.was_killed())
            };
            one.faults.iter().for_each(|fault| tell(&format!("{} at change {step}: {fault}", situation.name)));
            verdict.add(one);
        }
        tell(&format!("{:32} {verdict}", situation.name));
        all.add(verdict);
    }
    places.iter().for_each(|place| tell(&format!("  {place}")));
    all
}

impl Situation {
    pub(crate) fn all() -> &'static [Self] {
        &SITUATIONS
    }

    fn is_of_workers(&self) -> bool {
        self.variable == "FAILPOINT_WORKER"
    }

    /// The changes of an undisturbed process.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.prepare().trace(self.command)
    }

    /// The number of changes that one disturbed process makes; each of four workers makes the same.
    pub(crate) fn steps(&self, trace: &[String]) -> u64 {
        let steps = trace.iter().filter(|line| line.starts_with("worker") == self.is_of_workers()).count() as u64;
        if self.is_of_workers() { steps / 4 } else { steps }
    }

    pub(crate) fn prepare(&self) -> Project {
        let project = Project::new();
        for step in self.before {
            let said = match *step {
                "killed" => project.call("run", &[("FAILPOINT", "kill=60".to_owned())]),
                command => project.call(command, &[]),
            };
            assert!(said.status.success() || said.was_killed(), "{step} fails: {said:?}");
        }
        project
    }
}
