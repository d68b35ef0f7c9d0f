//! Any other queueing system, by command templates from `orchestrate.toml`.
//!
//! `submit` prints the id of the job: the first run of digits counts, as in `Your job-array 5.1-3:1 …` of Grid Engine,
//! `Job <123> is submitted …` of LSF, or `123[].server` of PBS. `status` lists the jobs of the user: a job whose id is
//! in no word of its output has ended. How it ended is not asked: the outcome of each task says it, and a task without
//! one has vanished.

use std::path::Path;

use super::command;
use super::queue::{NoAnswer, NotSubmitted, Queue, Seen, Sightings, Submission};
use super::state::State;
use crate::shell::single_quoted;
use crate::spec::{Cluster, Commands, fill};

/// The largest array without a limit of the cluster's own.
const MAX_ARRAY: usize = 1000;

/// A queueing system by command templates.
pub(super) struct Templates {
    cluster: Cluster,
    commands: Commands,
}

impl Templates {
    pub(super) fn new(cluster: &Cluster, commands: &Commands) -> Self {
        Self { cluster: cluster.clone(), commands: commands.clone() }
    }
}

impl Queue for Templates {
    fn submit(&self, submission: &Submission) -> Result<String, NotSubmitted> {
        let Submission { name, tasks, at_once, asked, folder, script, .. } = submission;
        // For commands that read no script from their input.
        let path = folder.join("script");
        let script = &self.with_output(script, folder);
        orchestrate_cache::disk::write(&path, script.as_bytes())
            .map_err(|error| NotSubmitted::Refused(error.to_string()))?;
        let minutes = asked.time_ms.div_ceil(60_000).max(1);
        let gpu = asked.gpu.iter().flat_map(|gpu| self.cluster.gpu_flags(gpu)).collect::<Vec<_>>();
        let values = [
            ("name", name.clone()),
            ("tasks", tasks.to_string()),
            ("last", (self.commands.first_index + tasks - 1).to_string()),
            ("first", self.commands.first_index.to_string()),
            ("at_once", at_once.unwrap_or(*tasks).to_string()),
            ("script", path.display().to_string()),
            ("output", folder.join("out").display().to_string()),
            ("threads", asked.threads.to_string()),
            ("memory_mb", asked.memory_bytes.div_ceil(1 << 20).to_string()),
            ("minutes", minutes.to_string()),
            ("hours", format!("{}:{:02}:00", minutes / 60, minutes % 60)),
        ];
        let words =
            self.commands.submit.iter().flat_map(|word| if word == "{gpu}" { gpu.clone() } else { vec![word.clone()] });
        let argv = filled(&words.collect::<Vec<_>>(), &values);
        match command::run(&argv, script) {
            Ok(answer) if answer.is_success => id_in(&answer.stdout)
                .ok_or_else(|| NotSubmitted::Unsure(format!("the id of the job is not in: {}", answer.said))),
            Ok(answer) => Err(NotSubmitted::Refused(answer.said)),
            Err(error) => Err(command::not_submitted(&error)),
        }
    }

    fn find(&self, name: &str) -> Result<Option<String>, NoAnswer> {
        let list = self.list()?;
        Ok(id_of_name(&list, name))
    }

    fn look(&self, jobs: &[(String, usize)]) -> Result<Sightings, NoAnswer> {
        let list = self.list()?;
        let listed = |job: &&(String, usize)| list.split(is_between_words).any(|word| is_id(word, &job.0));
        let here = Seen {
            state: State::Running,
            word: "in the queue".to_owned(),
            reason: String::new(),
            node: String::new(),
            peak_bytes: None,
        };
        let of_job = |(job, tasks): &(String, usize)| {
            (0..*tasks).map(|index| ((job.clone(), index), here.clone())).collect::<Vec<_>>()
        };
        Ok(jobs.iter().filter(listed).flat_map(of_job).collect())
    }

    fn look_back(&self, _jobs: &[String]) -> Sightings {
        Sightings::new()
    }

    fn cancel(&self, job: &str) -> Result<(), NoAnswer> {
        let argv = filled(&self.commands.cancel, &[("job", job.to_owned())]);
        command::answered(command::run(&argv, "")).map(drop)
    }

    fn max_array(&self) -> usize {
        // A template without `{tasks}` or `{last}` submits one task at a time.
        let is_array = self.commands.submit.iter().any(|word| word.contains("{tasks}") || word.contains("{last}"));
        if is_array { MAX_ARRAY } else { 1 }
    }

    fn index_variable(&self) -> (&str, usize) {
        (&self.commands.index, self.commands.first_index)
    }
}

impl Templates {
    /// Makes a script append its output to the file of its task, as templates differ in what they can say.
    fn with_output(&self, script: &str, folder: &Path) -> String {
        let (variable, first) = (&self.commands.index, self.commands.first_index);
        let folder = single_quoted(&folder.display().to_string());
        // Without an array some systems leave the variable empty, and Grid Engine writes `undefined`.
        let index = format!("case \"${variable}\" in ''|*[!0-9]*) i=0;; *) i=$((${variable} - {first}));; esac");
        let (first_line, rest) = script.split_once('\n').unwrap_or((script, ""));
        format!("{first_line}\n{index}\nexec >> {folder}/\"$i\".out 2>&1\n{rest}")
    }

    fn list(&self) -> Result<String, NoAnswer> {
        command::answered(command::run(&self.commands.status, "")).map(|answer| answer.stdout)
    }
}

/// Fills in placeholders.
fn filled(template: &[String], values: &[(&str, String)]) -> Vec<String> {
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    // Unknown placeholders are errors of the project file.
    template.iter().map(|word| fill(word, value).unwrap_or_else(|_| word.clone())).collect()
}

/// Returns the first run of digits.
fn id_in(text: &str) -> Option<String> {
    let digits: String = text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    Some(digits).filter(|digits| !digits.is_empty())
}

/// Returns the id of the job of a name in a list: at the start of the line with the name, or of the nearest one above.
///
/// `qstat -r` of Grid Engine and `qstat -f` of PBS print names on lines of their own. A template may put a letter
/// before the name, as Grid Engine demands.
fn id_of_name(list: &str, name: &str) -> Option<String> {
    let mut id = None;
    for line in list.lines() {
        let start = line.trim_start().trim_start_matches("Job Id:").trim_start();
        if start.starts_with(|c: char| c.is_ascii_digit()) && !start.starts_with(name) {
            id = id_in(start);
        }
        if line.split(is_between_words).any(|word| word.ends_with(name)) {
            return id;
        }
    }
    None
}

fn is_between_words(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '|')
}

/// Returns whether a word of a list is the id of a job, alone or with an array or a server behind it: `123[].server`.
fn is_id(word: &str, id: &str) -> bool {
    word.strip_prefix(id).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_the_words_of_other_systems() {
        assert_eq!(id_in("Your job-array 5.1-3:1 (\"x\") has been submitted").as_deref(), Some("5"));
        assert_eq!(id_in("Job <123> is submitted to queue <normal>.").as_deref(), Some("123"));
        assert_eq!(id_in("417[].pbs01\n").as_deref(), Some("417"));
        assert_eq!(id_in("submitted"), None);
        assert!(is_id("417[].pbs01", "417") && is_id("417", "417") && is_id("417.pbs", "417"));
        assert!(!is_id("4170", "417") && !is_id("x417", "417"));
    }

    #[test]
    fn id_of_a_name_stands_before_it_or_above_it() {
        let name = "20260131-174502-318-9f02ac-0";
        assert_eq!(id_of_name(&format!("123 {name} r\n124 other r\n"), name).as_deref(), Some("123"));
        let grid = format!("      1 0.5 2026-11-30 root\n       Full jobname:     o{name}\n      2 0.5 2026-11-30\n");
        assert_eq!(id_of_name(&grid, name).as_deref(), Some("1"));
        let pbs = format!("Job Id: 417[].pbs01\n    Job_Name = {name}\n");
        assert_eq!(id_of_name(&pbs, name).as_deref(), Some("417"));
        assert_eq!(id_of_name(&format!("123 {name}1 r\n"), name), None);
    }

    #[test]
    fn script_writes_to_the_file_of_its_task() {
        let dir = tempfile::tempdir().unwrap();
        let commands =
            Commands { submit: vec![], status: vec![], cancel: vec![], index: "TASK".to_owned(), first_index: 1 };
        std::fs::write(dir.path().join("orchestrate.toml"), "[cluster]\nkind = \"slurm\"\n").unwrap();
        let cluster = crate::spec::cluster(dir.path()).unwrap().unwrap();
        let script = Templates::new(&cluster, &commands).with_output("#!/bin/sh\necho hello\n", dir.path());
        for (task, file) in [("3", "2.out"), ("undefined", "0.out")] {
            let argv = ["env", &format!("TASK={task}"), "sh"].map(str::to_owned);
            assert!(command::run(&argv, &script).unwrap().is_success);
            assert_eq!(std::fs::read_to_string(dir.path().join(file)).unwrap(), "hello\n");
        }
    }

    #[test]
    fn placeholders_are_filled() {
        let template = ["qsub", "-N", "{name}", "-t", "{first}-{last}"].map(str::to_owned);
        let values = [("name", "r-0".to_owned()), ("first", "1".to_owned()), ("last", "9".to_owned())];
        assert_eq!(filled(&template, &values), ["qsub", "-N", "r-0", "-t", "1-9"]);
    }
}
