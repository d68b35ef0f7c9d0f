//! Stories of a keeper and a queueing system that does what a test says. Time runs faster: see `SPEED`.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use orchestrate_cache::{ActionKey, Encoder, Preimage};

use super::{Keeper, Message};
use crate::cluster::executor::Setting;
use crate::cluster::folder::JobFolder;
use crate::cluster::outcome::{BatchOutcome, Outcome};
use crate::cluster::queue::{NoAnswer, NotSubmitted, Queue, Seen, Sightings, Submission};
use crate::cluster::state;
use crate::executor::{Failure, Finished, OnCluster, Report, Request, report_channel};
use crate::fake::KINDS;
use crate::schedule::BatchId;
use crate::spec::{Cluster, cluster};
use crate::stage::Action;
use crate::usage::Asked;

/// A queueing system.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Facts>>);

#[derive(Default)]
struct Facts {
    submitted: Vec<Submission>,
    /// Answers to the next submissions, each with whether the job is submitted; then all are confirmed.
    answers: VecDeque<(NotSubmitted, bool)>,
    states: Sightings,
    cancelled: Vec<String>,
    is_silent: bool,
}

impl World {
    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    /// Waits until so many jobs are submitted, and returns the latest.
    fn submitted(&self, count: usize) -> Submission {
        wait_for(|| self.facts().submitted.get(count - 1).cloned())
    }

    fn set(&self, job: usize, task: usize, word: &str, node: &str) {
        let seen = Seen {
            state: state::of_word(word),
            word: word.to_owned(),
            reason: String::new(),
            node: node.to_owned(),
            peak_bytes: None,
        };
        self.facts().states.insert((job.to_string(), task), seen);
    }

    fn count(&self) -> usize {
        self.facts().submitted.len()
    }
}

impl Queue for World {
    fn submit(&self, submission: &Submission) -> Result<String, NotSubmitted> {
        let answer = self.facts().answers.pop_front();
        if answer.as_ref().is_some_and(|(_, is_submitted)| !is_submitted) {
            return Err(answer.unwrap().0);
        }
        self.facts().submitted.push(submission.clone());
        let id = self.count();
        (0..submission.tasks).for_each(|task| self.set(id, task, "PENDING", ""));
        answer.map_or(Ok(id.to_string()), |(not, _)| Err(not))
    }

    fn find(&self, name: &str) -> Result<Option<String>, NoAnswer> {
        let facts = self.facts();
        Ok(facts.submitted.iter().position(|job| job.name == name).map(|index| (index + 1).to_string()))
    }

    fn look(&self, _jobs: &[(String, usize)]) -> Result<Sightings, NoAnswer> {
        let facts = self.facts();
        if facts.is_silent { Err(NoAnswer("no answer".to_owned())) } else { Ok(facts.states.clone()) }
    }

    fn look_back(&self, _jobs: &[String]) -> Sightings {
        Sightings::new()
    }

    fn cancel(&self, job: &str) -> Result<(), NoAnswer> {
        self.facts().cancelled.push(job.to_owned());
        Ok(())
    }

    fn max_array(&self) -> usize {
        4
    }

    fn index_variable(&self) -> (&str, usize) {
        ("INDEX", 0)
    }
}

/// A head: a keeper in a thread, as of a run of some name.
struct Head {
    messages: Sender<Message>,
    reports: Receiver<Report>,
    keeper: Option<JoinHandle<()>>,
}

impl Head {
    fn new(dir: &std::path::Path, world: &World, run: &str, text: &str, cancels: bool) -> Self {
        let (messages, received) = channel();
        let (send, reports) = report_channel();
        let setting = Setting {
            cluster: declared(dir, text),
            run: run.to_owned(),
            root: dir.to_owned(),
            jobs_dir: dir.join("jobs"),
            program: "/bin/orchestrate".into(),
            is_to_cancel: Arc::new(move |_| cancels),
        };
        let queue = Box::new(world.clone());
        let keeper = std::thread::spawn(move || Keeper::new(setting, queue, send).keep(&received));
        Self { messages, reports, keeper: Some(keeper) }
    }

    fn start(&self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| self.messages.send(Message::Start(Box::new(request(number)))).unwrap());
    }

    /// Waits for the next end of a batch.
    fn finished(&self) -> Finished {
        wait_for(|| match self.reports.try_recv() {
            Ok(Report::Finished(finished)) => Some(finished),
            _ => None,
        })
    }

    fn failure(&self) -> String {
        self.finished().results[0].as_ref().unwrap_err().to_string()
    }

    /// Dies without a word.
    fn die(mut self) {
        self.messages.send(Message::Leave).unwrap();
        self.keeper.take().unwrap().join().unwrap();
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Leave);
        self.keeper.take().map(JoinHandle::join);
    }
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "it is waited for in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn declared(dir: &std::path::Path, text: &str) -> Cluster {
    std::fs::write(dir.join("orchestrate.toml"), format!("[cluster]\nkind = \"slurm\"\n{text}")).unwrap();
    cluster(dir).unwrap().unwrap()
}

fn request(number: u64) -> Request {
    let mut encoder = Encoder::default();
    encoder.text(&number.to_string());
    let preimage = Preimage::from(encoder);
    let action = Action {
        key: ActionKey(preimage.digest()),
        node: format!("train[{number}]"),
        params: serde_json::Value::Null,
        inputs: vec![],
        files: vec![],
        env: vec![],
        probes: vec![],
    };
    let asked = Asked { threads: 1, memory_bytes: 1 << 30, time_ms: 3_600_000, gpu: None };
    let estimate = (number >= 100).then_some(Duration::from_secs(20));
    Request {
        batch: BatchId(number),
        stage: *KINDS.iter().find(|kind| kind.facts().kind == "train").unwrap(),
        actions: vec![action],
        threads: 1,
        device: "cpu".to_owned(),
        memory_limit_bytes: None,
        timeout: None,
        checkpoint_dir: None,
        checkpoint_stamp: None,
        log: None,
        log_max_bytes: 0,
        cluster: Some(OnCluster { preimages: vec![preimage], forced: vec![], asked, estimate }),
    }
}

fn end(submission: &Submission, task: usize, batches: usize, result: &Result<(), Failure>) {
    let batch = BatchOutcome { results: vec![result.clone()], device: "cpu".to_owned(), elapsed_ms: 7, used: None };
    let outcome = Outcome { node: "n1".to_owned(), batches: vec![batch; batches], is_done: true, ..Outcome::default() };
    JobFolder::new(&submission.folder).set_outcome(task, &outcome).unwrap();
}

fn world() -> (tempfile::TempDir, World) {
    (tempfile::tempdir().unwrap(), World::default())
}

#[test]
fn batches_that_are_ready_together_are_tasks_of_one_job_up_to_the_largest_array() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start(1..=6);
    let (first, second) = (world.submitted(1), world.submitted(2));
    assert_eq!((first.name.as_str(), first.tasks, second.name.as_str(), second.tasks), ("run-0", 4, "run-1", 2));
    assert!(first.script.ends_with("/jobs/run-0' \"${INDEX:-0}\" --first 0\n"), "{}", first.script);
    (0..4).for_each(|task| end(&first, task, 1, &Ok(())));
    (0..2).for_each(|task| end(&second, task, 1, &Ok(())));
    let mut ended: Vec<_> = (0..6).map(|_| head.finished()).inspect(|end| assert!(end.results[0].is_ok())).collect();
    ended.sort_by_key(|end| end.batch);
    assert_eq!(ended.iter().map(|end| end.batch.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    wait_for(|| (!first.folder.exists()).then_some(()));
}

#[test]
fn short_batches_share_a_task() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start(101..=105);
    let job = world.submitted(1);
    assert_eq!(job.tasks, 2, "three of 20 s make a minute");
    end(&job, 0, 3, &Ok(()));
    (0..3).for_each(|_| assert!(head.finished().results[0].is_ok()));
    end(&job, 1, 2, &Err(Failure::Cancelled));
    (0..2).for_each(|_| assert!(head.finished().results[0].is_err(), "a failure of the stage is reported"));
}

#[test]
fn submission_without_an_answer_is_found_by_its_name_and_not_repeated() {
    let (dir, world) = world();
    world.facts().answers.push_back((NotSubmitted::Unsure("timed out".to_owned()), true));
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1]);
    let job = world.submitted(1);
    wait_for(|| JobFolder::new(&job.folder).id());
    end(&job, 0, 1, &Ok(()));
    assert!(head.finished().results[0].is_ok());
    assert_eq!(world.count(), 1);
}

#[test]
fn submission_without_a_trace_is_repeated_under_its_name() {
    let (dir, world) = world();
    world.facts().answers.push_back((NotSubmitted::Unsure("timed out".to_owned()), false));
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1]);
    assert_eq!(world.submitted(1).name, "run-0");
}

#[test]
fn submission_beyond_a_limit_comes_later_and_a_refused_one_fails_its_nodes() {
    let (dir, world) = world();
    let later = (NotSubmitted::Later("job submit limit".to_owned()), false);
    world.facts().answers.extend([later, (NotSubmitted::Refused("invalid account".to_owned()), false)]);
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1]);
    let failure = head.failure();
    let expected = "it could not be started: the queueing system refuses its job: invalid account (partition, ";
    assert!(failure.starts_with(expected), "{failure}");
    assert_eq!(JobFolder::list(&dir.path().join("jobs")), []);
}

#[test]
fn lost_task_is_submitted_again_and_a_node_that_breaks_tasks_gets_no_more() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1]);
    world.submitted(1);
    world.set(1, 0, "NODE_FAIL", "n1");
    assert!(world.submitted(2).excluded.is_empty(), "a node that fails comes back");
    world.set(2, 0, "FAILED", "n2");
    world.submitted(3);
    world.set(3, 0, "FAILED", "n2");
    let fourth = world.submitted(4);
    assert_eq!(fourth.excluded, ["n2"]);
    end(&fourth, 0, 1, &Ok(()));
    assert!(head.finished().results[0].is_ok());
}

#[test]
fn task_that_breaks_everywhere_fails_with_all_that_is_known() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1]);
    for job in 1..=3 {
        let submission = world.submitted(job);
        std::fs::write(submission.folder.join("0.out"), "exec: not found\n").unwrap();
        world.set(job, 0, "FAILED", &format!("n{job}"));
    }
    assert_eq!(head.failure(), "its task 3_0 ended (FAILED), on node n3; its last lines:\nexec: not found");
}

#[test]
fn more_memory_and_time_are_asked_for_up_to_the_limit() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "max_memory = \"3 GB\"\nmax_time = \"90m\"\n", false);
    head.start([1]);
    world.submitted(1);
    world.set(1, 0, "OUT_OF_MEMORY", "n1");
    assert_eq!(world.submitted(2).asked.memory_bytes, 2 << 30);
    world.set(2, 0, "TIMEOUT", "n1");
    let third = world.submitted(3).asked;
    assert_eq!((third.memory_bytes, third.time_ms), (2 << 30, 5_400_000));
    world.set(3, 0, "OUT_OF_MEMORY", "n1");
    assert_eq!(world.submitted(4).asked.memory_bytes, 3_000_000_000);
    // Control groups kill the worker, and the task lives.
    end(&world.submitted(4), 0, 1, &Err(Failure::OutOfMemory { limit_bytes: None, stderr: String::new() }));
    let failure = head.failure();
    assert!(
        failure.contains("3 GB of memory were too little, and `max_memory` of `[cluster]` allows no more"),
        "{failure}"
    );
}

#[test]
fn no_answer_fails_nothing_and_outcomes_count_as_before() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1, 2]);
    let job = world.submitted(1);
    world.facts().is_silent = true;
    world.facts().states.clear();
    std::thread::sleep(Duration::from_secs(1));
    assert!(head.reports.try_iter().all(|report| !matches!(report, Report::Finished(_))));
    end(&job, 0, 1, &Ok(()));
    assert_eq!(head.finished().batch, BatchId(1));
    // From here on the system answers, and does not know the other task.
    world.facts().is_silent = false;
    assert_eq!(world.submitted(2).tasks, 1);
}

#[test]
fn next_head_adopts_what_is_submitted() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "first", "", false);
    head.start([1, 2]);
    let job = world.submitted(1);
    head.die();
    let head = Head::new(dir.path(), &world, "second", "", false);
    head.start([1, 2, 3]);
    assert_eq!(world.submitted(2).tasks, 1, "the third alone");
    end(&job, 0, 1, &Ok(()));
    assert_eq!(head.finished().batch, BatchId(1));
    end(&job, 1, 1, &Ok(()));
    assert_eq!(head.finished().batch, BatchId(2));
}

#[test]
fn failed_task_of_a_dead_head_is_tried_again() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "first", "", false);
    head.start([1, 2]);
    let job = world.submitted(1);
    head.die();
    end(&job, 0, 1, &Err(Failure::Cancelled));
    let head = Head::new(dir.path(), &world, "second", "", false);
    head.start([1, 2]);
    assert_eq!((world.submitted(2).tasks, world.count()), (1, 2), "the first alone, as its failure is an old one");
}

#[test]
fn batch_that_is_to_run_anew_is_not_left_to_an_earlier_head() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "first", "", false);
    head.start([1]);
    world.submitted(1);
    head.die();
    let head = Head::new(dir.path(), &world, "second", "", false);
    let mut forced = request(1);
    let key = forced.actions[0].key;
    forced.cluster.as_mut().unwrap().forced.push(key);
    head.messages.send(Message::Start(Box::new(forced))).unwrap();
    assert_eq!(world.submitted(2).tasks, 1);
}

#[test]
fn job_that_a_dead_head_did_not_submit_is_submitted_by_the_next() {
    let (dir, world) = world();
    world.facts().answers.push_back((NotSubmitted::Unsure("killed".to_owned()), false));
    let head = Head::new(dir.path(), &world, "first", "", false);
    head.start([1]);
    wait_for(|| JobFolder::list(&dir.path().join("jobs")).pop());
    head.die();
    assert_eq!(world.count(), 0);
    let head = Head::new(dir.path(), &world, "second", "", false);
    head.start([1]);
    let job = world.submitted(1);
    assert_eq!(job.name, "second-0");
    end(&job, 0, 1, &Ok(()));
    assert!(head.finished().results[0].is_ok());
}

#[test]
fn tasks_at_once_are_limited_over_all_jobs() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "max_jobs = 3\n", false);
    head.start(1..=6);
    let first = world.submitted(1);
    assert_eq!((first.tasks, first.at_once), (4, Some(3)));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.count(), 1, "the rest waits");
    (0..2).for_each(|task| end(&first, task, 1, &Ok(())));
    let second = world.submitted(2);
    assert_eq!((second.tasks, second.at_once), (2, Some(1)));
}

#[test]
fn job_that_waits_for_somebody_is_told_of_once() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "run", "", false);
    head.start([1]);
    world.submitted(1);
    world.facts().states.get_mut(&("1".to_owned(), 0)).unwrap().reason = "JobHeldUser".to_owned();
    let warning = wait_for(|| match head.reports.try_recv() {
        Ok(Report::Warning { message }) => Some(message),
        _ => None,
    });
    assert_eq!(warning, "job 1 waits, and will not start by itself: JobHeldUser");
    std::thread::sleep(Duration::from_millis(300));
    assert!(head.reports.try_iter().all(|report| !matches!(report, Report::Warning { .. })));
}

#[test]
fn folder_that_others_may_write_to_is_no_job() {
    let (dir, world) = world();
    let head = Head::new(dir.path(), &world, "first", "", false);
    head.start([1]);
    let job = world.submitted(1);
    head.die();
    std::fs::set_permissions(&job.folder, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert_eq!(JobFolder::list(&dir.path().join("jobs")), []);
    // Nor is a folder taken over that somebody has made before.
    std::fs::create_dir(dir.path().join("jobs/second-0")).unwrap();
    let head = Head::new(dir.path(), &world, "second", "", false);
    head.start([2]);
    let failure = head.failure();
    assert!(failure.starts_with("it could not be started: its job cannot be written: "), "{failure}");
}

#[test]
fn stopped_run_leaves_its_jobs_or_cancels_them() {
    for cancels in [false, true] {
        let (dir, world) = world();
        let head = Head::new(dir.path(), &world, "run", "", cancels);
        head.start([1]);
        let job = world.submitted(1);
        head.messages.send(Message::Stop).unwrap();
        assert_eq!(head.failure(), "cancelled");
        assert_eq!((world.facts().cancelled.len() == 1, job.folder.exists()), (cancels, !cancels));
    }
}
