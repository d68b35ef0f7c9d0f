//! Checks that promised results survived.

use std::fmt;
use std::time::Duration;

use crate::project::{Expected, Project};
use crate::result::Results;

/// The counts and failures of all checks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Number of killed processes.
    pub(crate) kills: u64,
    /// Number of promised results that were checked.
    pub(crate) promised: u64,
    /// Sentences about results that were lost, partial or wrong, and processes that failed.
    pub(crate) faults: Vec<String>,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.promised += other.promised;
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, promised, faults } = self;
        write!(f, "{kills:>6} kills  {promised:>8} promises looked for  {:>4} broken", faults.len())
    }
}

/// Opens the store in a new process: promised results exist and verify, and no result is partial or wrong.
pub(crate) fn check(project: &Project, promised: &Results, expected: &Expected) -> Verdict {
    let mut said = project.call("check", &[]);
    for _ in 0..20 {
        // A worker needs a moment to notice that its engine was killed; the next sweep removes its files.
        if !said.lines("problem").any(|problem| problem.ends_with("is left by a dead session")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        said = project.call("check", &[]);
    }
    let mut verdict = Verdict { promised: promised.len() as u64, ..Verdict::default() };
    if !said.status.success() {
        verdict.faults.push(format!("the store cannot be opened: {}{}", said.out, said.err));
        return verdict;
    }
    let found = said.results();
    for (key, outputs) in promised {
        match found.iter().find(|ended| ended.key == *key) {
            Some(ended) if ended.status == "hit" && ended.outputs == *outputs => {}
            Some(ended) => verdict.faults.push(format!("{} was promised and is {}", ended.node, ended.status)),
            None => verdict.faults.push(format!("the result of key {} was promised and is lost", key.0)),
        }
    }
    for ended in found.iter().filter(|ended| !ended.node.starts_with("litter")) {
        if ended.status == "half" {
            verdict.faults.push(format!("{} is half and was a hit", ended.node));
        } else if expected.results.get(&ended.key) != Some(&ended.outputs) {
            verdict.faults.push(format!("{} has other outputs than undisturbed", ended.node));
        }
    }
    verdict.faults.extend(said.lines("problem").map(|problem| format!("verify: {problem}")));
    verdict
}

/// Runs the study to its end undisturbed: it must give the expected results.
pub(crate) fn finish(project: &Project, promised: &Results, expected: &Expected) -> Verdict {
    let mut verdict = check(project, promised, expected);
    let run = project.call("run", &[]);
    if !run.status.success() {
        verdict.faults.push(format!("the next run does not finish: {}{}", run.out, run.err));
        return verdict;
    }
    for ended in run.results() {
        if ended.status == "ran" && promised.contains_key(&ended.key) {
            verdict.faults.push(format!("{} was promised and ran again", ended.node));
        }
    }
    let published = project.published();
    for (path, bytes) in &expected.published {
        if published.get(path) != Some(bytes) {
            verdict.faults.push(format!("{} is published with other bytes", path.display()));
        }
    }
    if let Some(path) = published.keys().find(|path| !expected.published.contains_key(*path)) {
        verdict.faults.push(format!("{} is left where the study is published", path.display()));
    }
    verdict.faults.extend(check(project, &expected.results, expected).faults);
    verdict
}
