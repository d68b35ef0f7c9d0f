//! Threads and worker processes, with stages that sleep, break, die and leave children behind.
//!
//! The worker is this very program: the harness runs the one test `act_as_worker`, which tests nothing. The harness
//! prints foreign output before that, and executors must tolerate it anyway.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use orchestrate_cache::{ActionKey, Digest};
use orchestrate_engine::executor::worker::worker_main;
use orchestrate_engine::executor::{
    Executor, Failure, Finished, ProcessExecutor, Report, Request, ScratchRoot, ThreadExecutor, Verdict, WorkerCommand,
    report_channel,
};
use orchestrate_engine::params::{ParamTable, ParamsError};
use orchestrate_engine::schedule::BatchId;
use orchestrate_engine::stage::{Action, Content, Context, DeviceUse, Facts, Output, Progress, Stage, StageError};
use serde_json::{Value, json};
use tempfile::TempDir;

static FAKE: Fake = Fake;
static FACTS: Facts = Facts {
    device: Some(DeviceUse { environment, describe, driver, refuses: |_, _| None }),
    ..Facts::new("fake", 1, "Does what its param `do` says.")
};
const KINDS: &[&dyn Stage] = &[&FAKE];
const GRACE: Duration = Duration::from_millis(300);

/// A stage that acts as its param `do` demands.
struct Fake;

impl Stage for Fake {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn outputs(&self, params: &Value) -> Vec<String> {
        assert_ne!(params["do"], "panic in outputs", "the outputs are unknown");
        vec!["out".to_owned()]
    }

    fn check(&self, _params: &ParamTable) -> Result<Value, ParamsError> {
        Ok(Value::Null)
    }

    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        batch
            .iter()
            .map(|action| act(context, action).map(|bytes| vec![Output::file("out", "out.txt", bytes)]))
            .collect()
    }
}

fn driver(device: &str) -> Option<String> {
    (device != "cpu").then(|| format!("{device} (driver 1.2)"))
}

fn environment(device: &str) -> Vec<(&'static str, String)> {
    assert_ne!(device, "broken", "the driver is gone");
    vec![("FAKE_DEVICE", format!("only {device}"))]
}

fn describe(device: &str) -> String {
    assert_ne!(device, "mute", "the driver says nothing");
    if device == "cpu" { device.to_owned() } else { format!("{device} (a fake one)") }
}

fn act(context: &Context<'_>, action: &Action) -> Result<Vec<u8>, StageError> {
    let with = || action.params["with"].as_str().unwrap_or_default();
    match action.params["do"].as_str().unwrap_or_default() {
        "echo" => Ok(with().as_bytes().to_vec()),
        "fail" => Err(StageError::new(with())),
        "panic" => panic!("{}", with()),
        "panic in outputs" => Ok(vec![]),
        "panic when dropped" => {
            let _dropped = PanicsWhenDropped(with());
            Ok(vec![])
        }
        "panic in a helper" => {
            let helped = thread::scope(|scope| scope.spawn(|| -> Vec<u8> { panic!("{}", with()) }).join());
            Ok(helped.unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
        }
        "abort" => std::process::abort(),
        "exit" => std::process::exit(7),
        "kill itself" => {
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
            unreachable("SIGKILL")
        }
        "fault" => {
            // The way a driver ends a process whose GPU is gone.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)\n");
            std::process::exit(134)
        }
        "flood" => {
            // The descriptor of the messages, which no stage should know: endless bytes, broken messages, then silence.
            let pipe = messages();
            let mut garbage: Vec<u8> =
                (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            garbage.extend(b"\n\x1e{\"Results\":[{\"Ok\":[]},{\"Ok\":[]}]}\n\x1e{\"Results\":\n\x1e[[[[\n");
            for _ in 0..with().parse().unwrap_or(1) {
                fs::write(&pipe, &garbage).map_err(|error| StageError::new(error.to_string()))?;
            }
            Ok(b"still heard".to_vec())
        }
        "print" => {
            #[expect(clippy::print_stdout, reason = "stages are not to print, and some will")]
            {
                println!("half a line, then\nanother {}", with());
            }
            Ok(vec![])
        }
        // Without this use an optimised build would never allocate the memory.
        "allocate" => Ok(std::hint::black_box(vec![1; 3 << 30]).split_off((3 << 30) - 1)),
        "device" => Ok(env::var("FAKE_DEVICE").unwrap_or_default().into_bytes()),
        "where" => {
            let threads = env::var("RAYON_NUM_THREADS").unwrap_or_default();
            let text = format!("{} {} {threads} {}", context.device, context.threads, std::process::id());
            fs::write(context.scratch_dir.join("left behind"), "")
                .map_err(|error| StageError::new(error.to_string()))?;
            Ok(text.into_bytes())
        }
        "progress" => {
            for done in 1..=3 {
                (context.progress)(Progress { done, total: 3, message: format!("loss 0.{done}") });
            }
            Ok(vec![])
        }
        "wait" => {
            tell_pid(with());
            while !(context.cancelled)() {
                thread::sleep(Duration::from_millis(5));
            }
            Err(StageError::Cancelled)
        }
        "wait for a file" => {
            while !Path::new(with()).exists() {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(b"done".to_vec())
        }
        "hang" => {
            tell_pid(with());
            thread::sleep(Duration::from_secs(600));
            Ok(vec![])
        }
        "hang with a child" => {
            let child = Command::new("sleep").arg("600").spawn();
            let child = child.map_err(|error| StageError::new(error.to_string()))?;
            fs::write(with(), child.id().to_string()).map_err(|error| StageError::new(error.to_string()))?;
            thread::sleep(Duration::from_secs(600));
            Ok(vec![])
        }
        "leave a child" => {
            let child = Command::new("sleep").arg("600").spawn();
            let child = child.map_err(|error| StageError::new(error.to_string()))?;
            Ok(child.id().to_string().into_bytes())
        }
        other => Err(StageError::new(format!("no such act: {other}"))),
    }
}

struct PanicsWhenDropped<'a>(&'a str);

impl Drop for PanicsWhenDropped<'_> {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// Returns the file that receives the messages of this process: the only write pipe that is neither output nor error.
fn messages() -> PathBuf {
    let is_for_writing = |number: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        info.lines().any(|line| line.starts_with("flags:") && line.trim_end().ends_with(['1', '2']))
    };
    let open = fs::read_dir("/proc/self/fd").expect("there is /proc").flatten();
    let pipe = open.map(|entry| entry.path()).find(|path| {
        let number = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let target = fs::read_link(path).unwrap_or_default();
        number.parse::<u32>().is_ok_and(|number| number > 2)
            && target.to_string_lossy().starts_with("pipe:")
            && is_for_writing(number)
    });
    pipe.expect("a worker has such a pipe")
}

fn unreachable(what: &str) -> Result<Vec<u8>, StageError> {
    Err(StageError::new(format!("it survived {what}")))
}

fn tell_pid(file: &str) {
    if !file.is_empty() {
        fs::write(file, std::process::id().to_string()).expect("the test's folder is writable");
    }
}

#[test]
fn act_as_worker() {
    // Only in a worker is this test run alone, by its name.
    if env::args().any(|arg| arg == "act_as_worker") {
        let code = worker_main(KINDS);
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

#[test]
fn act_as_engine() {
    if let Some(dir) = env::args().skip_while(|arg| arg != "act_as_engine").nth(4) {
        let bench = Bench::new();
        let pid_file = Path::new(&dir).join("pid");
        bench.processes.start(bench.request(0, [("hang with a child", pid_file.to_str().expect("a plain path"))]));
        thread::sleep(Duration::from_secs(600));
    }
}

fn harness_args(test: &str) -> Vec<String> {
    [test, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

/// Both executors with their reports.
struct Bench {
    threads: ThreadExecutor,
    processes: ProcessExecutor,
    reports: Receiver<Report>,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let scratch = ScratchRoot::new(dir.path().join("scratch"));
        let (send, reports) = report_channel();
        let command = WorkerCommand::this_program(harness_args("act_as_worker"));
        let threads = ThreadExecutor::new(2, scratch.clone(), send.clone());
        let processes = ProcessExecutor::new(command, scratch, send, GRACE);
        Self { threads, processes, reports, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).to_str().expect("temporary folders have plain names").to_owned()
    }

    fn request<'a>(&self, batch: u64, acts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Request {
        let action = |(act, with): (&str, &str)| Action {
            key: ActionKey(Digest::of(with.as_bytes())),
            node: format!("fake[do={act}]"),
            params: json!({"do": act, "with": with}),
            inputs: vec![],
            files: vec![],
            env: vec![],
            probes: vec![],
        };
        Request {
            batch: BatchId(batch),
            stage: &FAKE,
            actions: acts.into_iter().map(action).collect(),
            threads: 1,
            device: "cpu".to_owned(),
            memory_limit_bytes: None,
            timeout: None,
            checkpoint_dir: None,
            checkpoint_stamp: None,
            log: Some(self.file("logs/fake.log")),
            log_max_bytes: u64::MAX,
            cluster: None,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("logs/fake.log")).unwrap_or_default()
    }

    /// Returns all reports before the end of the next batch, and that end.
    fn finish(&self) -> (Vec<Report>, Finished) {
        let mut before = Vec::new();
        loop {
            match self.reports.recv_timeout(Duration::from_secs(20)).expect("the batch ends") {
                Report::Finished(finished) => return (before, finished),
                report => before.push(report),
            }
        }
    }

    fn in_worker(&self, act: &str, with: &str) -> Finished {
        self.processes.start(self.request(0, [(act, with)]));
        self.finish().1
    }
}

fn bytes(result: &Result<Vec<Output>, Failure>) -> Vec<u8> {
    let outputs = result.as_ref().expect("it succeeds");
    assert_eq!((outputs.len(), outputs[0].files[0].0.as_str()), (1, "out.txt"));
    match &outputs[0].files[0].1 {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(path) => fs::read(path).expect("the scratch folder lasts as long as its reports"),
    }
}

fn only_failure(finished: Finished) -> Failure {
    assert_eq!(finished.results.len(), 1);
    finished.results.into_iter().next().expect("there is one").expect_err("it fails")
}

fn is_alive(pid: &str) -> bool {
    // A process that ended stays listed as a zombie, state Z, until its parent waits for it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn wait_for_text(path: &Path) -> String {
    eventually("the file is written", || fs::read_to_string(path).is_ok_and(|text| !text.is_empty()));
    fs::read_to_string(path).expect("it was just read")
}

#[test]
fn both_executors_give_one_result_for_each_member_in_order() {
    let bench = Bench::new();
    let executors: [&dyn Executor; 2] = [&bench.threads, &bench.processes];
    for (batch, executor) in (0..).zip(executors) {
        executor.start(bench.request(batch, [("echo", "a"), ("fail", "no such column"), ("echo", "c")]));
        let (before, finished) = bench.finish();
        assert!(before.is_empty());
        assert_eq!((finished.batch, finished.results.len()), (BatchId(batch), 3));
        assert_eq!(bytes(&finished.results[0]), b"a");
        let error = finished.results[1].as_ref().expect_err("it fails");
        assert_eq!((error.to_string().as_str(), error.is_of_whole_batch()), ("no such column", false));
        assert_eq!(bytes(&finished.results[2]), b"c");
    }
}

#[test]
fn worker_has_its_threads_device_and_an_own_scratch_folder() {
    let bench = Bench::new();
    let request = Request { threads: 3, device: "cuda:1".to_owned(), ..bench.request(0, [("where", "")]) };
    bench.processes.start(request);
    let (_, finished) = bench.finish();
    let text = String::from_utf8(bytes(&finished.results[0])).expect("it is text");
    let (rest, pid) = text.rsplit_once(' ').expect("four words");
    assert_eq!(rest, "cuda:1 3 3");
    assert_ne!(pid, std::process::id().to_string());
    let scratch = finished.scratch.as_ref().expect("it ran").path().to_owned();
    assert!(scratch.starts_with(bench.dir.path()) && scratch.exists());
    drop(finished);
    assert!(!scratch.exists());
}

#[test]
fn worker_starts_with_the_environment_of_its_device_and_describes_it() {
    let bench = Bench::new();
    let device = || "cuda:1".to_owned();
    bench.processes.start(Request { device: device(), ..bench.request(0, [("device", "")]) });
    let (before, finished) = bench.finish();
    assert_eq!(bytes(&finished.results[0]), b"only cuda:1");
    let told = before.iter().find_map(|report| match report {
        Report::Device { batch: BatchId(0), description } => Some(description.as_str()),
        _ => None,
    });
    assert_eq!(told, Some("cuda:1 (a fake one)"));

    bench.processes.start(Request { device: device(), ..bench.request(1, [("fail", "")]) });
    let (before, _) = bench.finish();
    assert!(!before.iter().any(|report| matches!(report, Report::Device { .. })), "nothing was computed");
}

#[test]
fn progress_arrives_in_order_from_both_executors() {
    let bench = Bench::new();
    for executor in [&bench.threads as &dyn Executor, &bench.processes] {
        executor.start(bench.request(0, [("progress", "")]));
        let told = bench.finish().0.into_iter().filter_map(|report| match report {
            Report::Progress { progress, .. } => Some((progress.done, progress.message)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told.first(), Some(&(1, "loss 0.1".to_owned())));
        assert_eq!(told.last(), Some(&(3, "loss 0.3".to_owned())));
    }
}

#[test]
fn panic_is_a_failure_with_its_message_and_leaves_the_engine_alone() {
    let bench = Bench::new();
    for executor in [&bench.threads as &dyn Executor, &bench.processes] {
        executor.start(bench.request(0, [("echo", ""), ("panic", "row 7 is empty")]));
        let (_, finished) = bench.finish();
        for result in &finished.results {
            let Err(failure @ Failure::Panicked { message }) = result else { panic!("{result:?}") };
            assert!(message.starts_with("row 7 is empty (at ") && message.contains("executor.rs:"), "{message}");
            assert_eq!(failure.verdict(2, 1, 0), Verdict::RetryAlone);
        }
        executor.start(bench.request(1, [("echo", "still there")]));
        assert_eq!(bytes(&bench.finish().1.results[0]), b"still there");
    }
    assert!(bench.log().contains("row 7 is empty"), "{}", bench.log());
}

#[test]
fn panic_in_an_odd_place_is_a_failure_and_the_next_batch_runs() {
    let bench = Bench::new();
    let executors: [&dyn Executor; 2] = [&bench.threads, &bench.processes];
    for executor in executors {
        // More batches than threads: if a thread ended for good, the last batch would get no report.
        for act in
            ["panic when dropped", "panic in a helper", "panic in outputs", "panic in outputs", "panic in outputs"]
        {
            executor.start(bench.request(0, [(act, "no row is left")]));
            let text = only_failure(bench.finish().1).to_string();
            let cause = if act == "panic in outputs" { "the outputs are unknown" } else { "no row is left" };
            assert!(text.contains(cause), "{act}: {text}");
        }
        executor.start(bench.request(1, [("echo", "fine")]));
        assert_eq!(bytes(&bench.finish().1.results[0]), b"fine");
    }
}

#[test]
fn panic_in_the_description_of_a_device_costs_its_batch_or_nothing() {
    let bench = Bench::new();
    bench.processes.start(Request { device: "broken".to_owned(), ..bench.request(0, [("echo", "a")]) });
    let failure = only_failure(bench.finish().1);
    assert!(matches!(&failure, Failure::Panicked { message } if message.contains("the driver is gone")), "{failure}");
    bench.processes.start(Request { device: "mute".to_owned(), ..bench.request(1, [("echo", "a")]) });
    assert_eq!(bytes(&bench.finish().1.results[0]), b"a");
}

#[test]
fn folders_whose_names_are_not_utf_8_reach_the_worker() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"x\xff\xfe"));
    let (send, reports) = report_channel();
    let command = WorkerCommand::this_program(harness_args("act_as_worker"));
    let processes = ProcessExecutor::new(command, ScratchRoot::new(odd.join("scratch")), send, GRACE);
    let bench = Bench { processes, reports, ..Bench::new() };
    let checkpoint_dir = Some(odd.join("checkpoints"));
    bench.processes.start(Request { checkpoint_dir, ..bench.request(0, [("echo", "a")]) });
    let finished = bench.finish().1;
    assert_eq!(bytes(&finished.results[0]), b"a");
    assert!(odd.join("checkpoints").is_dir());
}

#[test]
fn worker_that_dies_costs_its_batch_and_each_end_has_its_failure() {
    let bench = Bench::new();
    let failure = only_failure(bench.in_worker("abort", ""));
    assert!(matches!(&failure, Failure::Killed { signal, .. } if signal == "SIGABRT"), "{failure}");
    bench.processes.start(Request { device: "cuda:1".to_owned(), ..bench.request(1, [("abort", "")]) });
    let said = only_failure(bench.finish().1).to_string();
    let on = "the worker was killed by SIGABRT while it computed on cuda:1 (driver 1.2); the driver may be to blame";
    assert!(said.starts_with(on), "{said}");
    let failure = only_failure(bench.in_worker("exit", ""));
    assert!(failure.to_string().starts_with("the worker ended without a result (exit status: 7)"), "{failure}");
    let failure = only_failure(bench.in_worker("kill itself", ""));
    assert!(matches!(failure, Failure::OutOfMemory { limit_bytes: None, .. }), "{failure}");
    assert!(failure.to_string().contains("most likely by the system because memory ran out"), "{failure}");
}

#[test]
fn fault_of_a_gpu_is_reported_with_advice_and_the_next_batch_runs() {
    let bench = Bench::new();
    let message = only_failure(bench.in_worker("fault", "")).to_string();
    assert!(
        message.starts_with("the worker ended without a result (exit status: 134); the GPU reported a fault"),
        "{message}"
    );
    assert!(message.contains("; its last lines:\n"), "{message}");
    assert!(message.contains("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)"), "{message}");
    assert_eq!(bytes(&bench.in_worker("echo", "fine").results[0]), b"fine");
}

/// Results for two nodes instead of one are no results either.
#[test]
fn garbage_among_the_messages_ends_in_the_log_and_disturbs_nothing() {
    let bench = Bench::new();
    let finished = bench.in_worker("flood", "3");
    assert_eq!(bytes(&finished.results[0]), b"still heard");
    let log = fs::read(bench.file("logs/fake.log")).expect("there is a log");
    assert!(log.len() > 3 << 20, "{}", log.len());
}

#[test]
fn worker_that_dies_disturbs_no_other_batch() {
    let bench = Bench::new();
    let file = bench.text("pid");
    bench.processes.start(bench.request(0, [("wait for a file", file.as_str())]));
    for (batch, act) in (1..).zip(["abort", "exit", "kill itself", "panic", "fault"]) {
        bench.processes.start(bench.request(batch, [(act, "")]));
        let (_, finished) = bench.finish();
        assert_eq!(finished.batch, BatchId(batch), "{act}");
        only_failure(finished);
    }
    fs::write(&file, "go").expect("the folder is writable");
    let (_, finished) = bench.finish();
    assert_eq!((finished.batch, bytes(&finished.results[0])), (BatchId(0), b"done".to_vec()));
}

#[test]
fn memory_limit_fails_the_node_that_exceeds_it_with_that_reason() {
    let bench = Bench::new();
    let limit = Some(1_000_000_000);
    bench.processes.start(Request { memory_limit_bytes: limit, ..bench.request(0, [("allocate", "")]) });
    let failure = only_failure(bench.finish().1);
    assert!(matches!(&failure, Failure::OutOfMemory { limit_bytes, .. } if *limit_bytes == limit), "{failure:?}");
    assert!(failure.to_string().starts_with("the worker ran out of the 1 GB of memory that it may use"), "{failure}");
}

#[test]
fn worker_says_what_it_used_even_if_the_stage_failed_and_one_that_dies_does_not() {
    let bench = Bench::new();
    let used = bench.in_worker("echo", "x").used.expect("it ended by itself");
    assert!(used.peak_bytes > 1 << 20 && used.peak_bytes < 1 << 30, "{used:?}");
    assert!(bench.in_worker("fail", "x").used.is_some());
    assert_eq!(bench.in_worker("kill itself", "").used, None);
}

#[test]
fn output_of_a_stage_goes_to_the_log_of_the_node() {
    let bench = Bench::new();
    assert!(bench.in_worker("print", "one").results[0].is_ok());
    assert!(bench.in_worker("print", "two").results[0].is_ok());
    let log = bench.log();
    assert!(log.contains("half a line, then\nanother one\n") && log.contains("another two\n"), "{log}");
    // The harness printed this before the worker started, among the messages.
    assert!(log.contains("running 1 test"), "{log}");
}

#[test]
fn log_that_cannot_be_written_stops_nothing() {
    let bench = Bench::new();
    fs::write(bench.file("logs"), "a file, not a folder").expect("the folder is writable");
    assert_eq!(bytes(&bench.in_worker("echo", "fine").results[0]), b"fine");
}

#[test]
fn timeout_kills_the_worker_and_its_children() {
    let bench = Bench::new();
    let timeout = Some(Duration::from_millis(800));
    let file = bench.text("pid");
    bench.processes.start(Request { timeout, ..bench.request(0, [("hang with a child", file.as_str())]) });
    let (_, finished) = bench.finish();
    assert!(finished.elapsed < Duration::from_secs(10));
    let failure = only_failure(finished);
    assert!(failure.to_string().starts_with("it ran longer than its timeout of 800 ms; "), "{failure}");
    let child = wait_for_text(&bench.file("pid"));
    eventually("the child is dead", || !is_alive(&child));
}

#[test]
fn timeout_of_a_batch_is_that_of_all_its_members() {
    let bench = Bench::new();
    let timeout = Some(Duration::from_millis(300));
    bench.threads.start(Request { timeout, ..bench.request(0, [("wait", ""), ("echo", "")]) });
    let (_, finished) = bench.finish();
    assert!(finished.elapsed >= Duration::from_millis(600));
    let limit = Duration::from_millis(600);
    assert_eq!(finished.results[0].as_ref().expect_err("it fails"), &Failure::TimedOut { limit });
    assert!(finished.results[1].is_ok());
}

#[test]
fn stopped_worker_that_listens_ends_by_itself() {
    let bench = Bench::new();
    let file = bench.text("pid");
    bench.processes.start(bench.request(0, [("wait", file.as_str())]));
    wait_for_text(&bench.file("pid"));
    bench.processes.stop();
    let (_, finished) = bench.finish();
    assert!(finished.scratch.is_some());
    assert_eq!(only_failure(finished), Failure::Cancelled);
    assert_eq!(only_failure(bench.in_worker("echo", "after the stop")), Failure::Cancelled);
}

#[test]
fn stopped_worker_that_does_not_listen_is_killed_after_the_grace() {
    let bench = Bench::new();
    let file = bench.text("pid");
    bench.processes.start(bench.request(0, [("hang", file.as_str())]));
    let pid = wait_for_text(&bench.file("pid"));
    let stopped = Instant::now();
    bench.processes.stop();
    assert_eq!(only_failure(bench.finish().1), Failure::Cancelled);
    assert!((Duration::from_millis(300)..Duration::from_secs(10)).contains(&stopped.elapsed()));
    assert!(!is_alive(&pid));
}

#[test]
fn kill_ends_workers_at_once_and_so_does_dropping_the_executor() {
    let bench = Bench::new();
    let file = bench.text("pid");
    bench.processes.start(bench.request(0, [("hang", file.as_str())]));
    let pid = wait_for_text(&bench.file("pid"));
    bench.processes.kill();
    assert_eq!(only_failure(bench.finish().1), Failure::Cancelled);
    assert!(!is_alive(&pid));

    let bench = Bench::new();
    let file = bench.text("pid");
    bench.processes.start(bench.request(0, [("hang", file.as_str())]));
    let pid = wait_for_text(&bench.file("pid"));
    let Bench { processes, reports, .. } = bench;
    drop(processes);
    assert!(!is_alive(&pid));
    assert!(reports.try_iter().any(|report| matches!(report, Report::Finished(_))));
}

#[test]
fn children_left_behind_by_a_worker_are_killed() {
    let bench = Bench::new();
    let finished = bench.in_worker("leave a child", "");
    let child = String::from_utf8(bytes(&finished.results[0])).expect("it is a number");
    eventually("the child is dead", || !is_alive(&child));
}

#[test]
fn worker_and_its_children_die_with_the_engine() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut engine = Command::new(env::current_exe().expect("this program has a file"))
        .args(harness_args("act_as_engine"))
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program can be run");
    let child = wait_for_text(&dir.path().join("pid"));
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).expect("the child lives");
    let worker = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).expect("its parent");
    let worker = worker.to_owned();
    assert!(is_alive(&worker) && is_alive(&child));
    engine.kill().expect("the engine lives");
    engine.wait().expect("the engine is a child of this process");
    eventually("the worker is dead", || !is_alive(&worker));
    eventually("its child is dead", || !is_alive(&child));
}

#[test]
fn program_that_is_no_worker_is_a_failure_that_names_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench::new();
    let attempt = |program: &str| {
        let command = WorkerCommand { program: Some(program.into()), args: vec![] };
        let (send, reports) = report_channel();
        let executor = ProcessExecutor::new(command, ScratchRoot::new(dir.path()), send, GRACE);
        executor.start(bench.request(0, [("echo", "")]));
        loop {
            if let Report::Finished(finished) = reports.recv_timeout(Duration::from_secs(20)).expect("it ends") {
                return only_failure(finished).to_string();
            }
        }
    };
    let message = attempt("/nonexistent/orchestrate");
    assert!(message.starts_with("it could not be started: cannot run /nonexistent/orchestrate"), "{message}");
    assert!(attempt("true").starts_with("the worker ended without a result (exit status: 0)"));
}

#[test]
fn threads_are_bounded_and_stop_cancels_waiting_batches() {
    let bench = Bench::new();
    let files: Vec<_> = (0..4).map(|index| bench.text(&format!("pid{index}"))).collect();
    for (batch, file) in files.iter().enumerate() {
        bench.threads.start(bench.request(batch as u64, [("wait", file.as_str())]));
    }
    wait_for_text(Path::new(&files[0]));
    wait_for_text(Path::new(&files[1]));
    bench.threads.stop();
    for _ in 0..4 {
        assert_eq!(only_failure(bench.finish().1), Failure::Cancelled);
    }
    assert!(!Path::new(&files[2]).exists() && !Path::new(&files[3]).exists());
}
