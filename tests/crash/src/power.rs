//! Power cuts: two engines on one store, which lies on a filesystem in a file.
//!
//! Both ask before each change of the disk (`FAILPOINT=ask`), so one can be paused before it syncs, or killed there,
//! while the other goes on. A copy of the file has the bytes that a power cut at that step would leave: unsynced bytes
//! are only in the memory of the kernel. A new process mounts and checks each copy: every result that an engine had
//! reported before the copy must be a hit with the right bytes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::child::SET;
use crate::judge::{self, Verdict};
use crate::kill::workers;
use crate::project::{Expected, Project};
use crate::result::{Ended, Results};

/// The specs of the two engines.
const SCENARIOS: [&str; 3] = ["the same study", "studies with equal bytes", "one engine after the other was killed"];

/// Set in the process with a mount namespace of its own.
const OWN_MOUNTS: &str = "CRASH_OWN_MOUNTS";

/// An engine that is silent for this long waits for the other one.
const QUIET: Duration = Duration::from_millis(300);

/// Longer than any study takes, unless it hangs.
const TRIAL: Duration = Duration::from_secs(120);

/// Restarts this program in its own mount namespace, whose mounts vanish with it; `None` if it is in one. Errors: a
/// missing tool or right.
pub(crate) fn with_own_mounts(arguments: &[&str]) -> Result<Option<ExitCode>, String> {
    if std::env::var_os(OWN_MOUNTS).is_some() {
        return Ok(None);
    }
    drop(Disk::new()?);
    let program = std::env::current_exe().expect("a program knows where it lies");
    let mut own = Command::new("unshare");
    own.arg("--mount").arg("--").arg(program).args(arguments).env(OWN_MOUNTS, "1");
    let status = own.status().map_err(|error| format!("unshare: {error}"))?;
    Ok(Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(1) }))
}

/// Cuts the power that many times, and returns the losses.
pub(crate) fn power(cuts: u64, seed: u64, tell: impl Fn(&str)) -> Result<Verdict, String> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let expected = expected();
    let mut by_scenario: Vec<Verdict> = SCENARIOS.iter().map(|_| Verdict::default()).collect();
    for scenario in (0..SCENARIOS.len()).cycle() {
        let done: u64 = by_scenario.iter().map(|verdict| verdict.kills).sum();
        if done >= cuts {
            break;
        }
        let share = (cuts - done).min(cuts.div_ceil(SCENARIOS.len() as u64));
        let verdict = Trial::new(scenario, share, &expected, draw.next_u64())?.run()?;
        verdict.faults.iter().for_each(|fault| tell(&format!("{}: {fault}", SCENARIOS[scenario])));
        by_scenario[scenario].add(verdict);
    }
    let mut all = Verdict::default();
    for (name, verdict) in SCENARIOS.iter().zip(by_scenario) {
        let Verdict { kills, promised, faults } = &verdict;
        tell(&format!("{name:40} {kills:>6} cuts  {promised:>8} reports looked for  {:>4} lost", faults.len()));
        all.add(verdict);
    }
    Ok(all)
}

/// A setting that changes all keys of the study.
fn other_study() -> (&'static str, String) {
    (SET, "experiment.seed=8".to_owned())
}

/// The results of undisturbed runs of both studies.
fn expected() -> Expected {
    let mut expected = Project::new().expect_with(&[]);
    expected.results.extend(Project::new().expect_with(&[other_study()]).results);
    expected
}

/// An empty filesystem in a file, mounted.
struct Disk {
    /// Dropped first: it must be unmounted before the folder is removed.
    live: Mounted,
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, live) = (dir.path().join("image"), dir.path().join("live"));
        let file = fs::File::create(&image).and_then(|file| file.set_len(32 << 20));
        file.and_then(|()| fs::create_dir(&live)).map_err(|error| error.to_string())?;
        call(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let live = Mounted::new(&image, live)?;
        Ok(Self { live, dir })
    }

    /// Mounts a copy with the bytes that a power cut would leave now.
    fn cut(&self) -> Result<Mounted, String> {
        let (image, copy, cut) =
            (self.dir.path().join("image"), self.dir.path().join("copy"), self.dir.path().join("cut"));
        call(Command::new("cp").arg("--sparse=always").arg(image).arg(&copy))?;
        fs::create_dir_all(&cut).map_err(|error| error.to_string())?;
        Mounted::new(&copy, cut)
    }
}

/// A mounted filesystem; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: PathBuf) -> Result<Self, String> {
        // The kernel's own sync comes long after the test.
        call(Command::new("mount").args(["-o", "loop,commit=600"]).arg(image).arg(&at))?;
        Ok(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A worker may need a moment to notice that its engine was killed.
        if call(Command::new("umount").arg(&self.0)).is_err() {
            let _ = call(Command::new("umount").arg("--lazy").arg(&self.0));
        }
    }
}

fn call(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let why = || format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(why)
}

/// An engine, and its pending question.
struct Engine {
    child: Child,
    state: State,
}

enum State {
    /// The time of the question.
    Runs(Instant),
    /// The change that it asks about.
    Waits(String),
    Ended,
}

impl Engine {
    fn start(number: usize, project: &Project, env: &[(&str, String)], said: &Sender<(usize, Option<String>)>) -> Self {
        let mut env = env.to_vec();
        env.push(("FAILPOINT", "ask".to_owned()));
        let mut command = project.command("run", &env);
        let mut child =
            command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("this program can be started");
        let (out, said) = (child.stdout.take().expect("it is a pipe"), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = said.send((number, Some(line)));
            }
            said.send((number, None))
        });
        Self { child, state: State::Runs(Instant::now()) }
    }

    fn go(&mut self) {
        // A killed engine gets no answer.
        let _ = self.child.stdin.as_mut().expect("it is a pipe").write_all(b"\n");
        self.state = State::Runs(Instant::now());
    }

    fn waits_to(&self, change: &str) -> bool {
        matches!(&self.state, State::Waits(step) if step.starts_with(change))
    }

    fn signal(&self, signal: Signal) {
        if matches!(self.state, State::Ended) {
            return;
        }
        for worker in workers(&self.child) {
            let _ = killpg(worker, signal);
        }
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }
}

/// One filesystem with its engines.
struct Trial<'a> {
    scenario: usize,
    /// Number of cuts left.
    cuts: u64,
    expected: &'a Expected,
    draw: ChaCha8Rng,
    project: Project,
    disk: Disk,
    engines: Vec<Engine>,
    /// The engine whose turn it is, and its number of changes.
    turn: (usize, u64),
    promised: Results,
    /// True if a result was reported since the last cut.
    fresh: bool,
    verdict: Verdict,
}

impl<'a> Trial<'a> {
    fn new(scenario: usize, cuts: u64, expected: &'a Expected, seed: u64) -> Result<Self, String> {
        let disk = Disk::new()?;
        let dir = disk.live.0.join("project");
        fs::create_dir(&dir).map_err(|error| error.to_string())?;
        let project = Project::at(&dir);
        call(Command::new("sync").arg("--file-system").arg(&dir))?;
        let (draw, turn) = (ChaCha8Rng::seed_from_u64(seed), (0, 0));
        let (engines, promised, verdict) = Default::default();
        Ok(Self { scenario, cuts, expected, draw, project, disk, engines, turn, promised, fresh: false, verdict })
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.draw.next_u64().is_multiple_of(chances)
    }

    fn run(mut self) -> Result<Verdict, String> {
        let (tell, said) = mpsc::channel();
        let began = Instant::now();
        loop {
            while self.engines.len() < 2 && self.starts_next() {
                let number = self.engines.len();
                let env = if self.scenario == 1 && number == 1 { vec![other_study()] } else { Vec::new() };
                self.engines.push(Engine::start(number, &self.project, &env, &tell));
            }
            self.listen(&said);
            let ended = self.engines.iter().filter(|engine| matches!(engine.state, State::Ended)).count();
            let done = ended == 2;
            if done || began.elapsed() > TRIAL {
                if !done {
                    self.verdict.faults.push("the engines wait for ever".to_owned());
                }
                break;
            }
            let Some(next) = self.next() else { continue };
            if self.fresh || self.one_in(40) {
                self.cut()?;
            }
            if self.cuts == 0 {
                break;
            }
            let syncs_pack = matches!(&self.engines[0].state, State::Waits(step) if step.ends_with(".pack"));
            let killed = self.scenario == 2
                && next == 0
                && syncs_pack
                && self.engines[0].waits_to("step Sync")
                && self.one_in(4);
            if killed { self.engines[0].signal(Signal::SIGKILL) } else { self.engines[next].go() }
        }
        if self.cuts > 0 {
            self.cut()?;
        }
        self.engines.iter().for_each(|engine| engine.signal(Signal::SIGKILL));
        while self.engines.iter().any(|engine| !matches!(engine.state, State::Ended)) {
            self.listen(&said);
        }
        Ok(self.verdict)
    }

    /// Returns true if it is time for another engine.
    fn starts_next(&self) -> bool {
        self.scenario != 2 || self.engines.iter().all(|engine| matches!(engine.state, State::Ended))
    }

    /// Reads the messages of the engines.
    fn listen(&mut self, said: &Receiver<(usize, Option<String>)>) {
        let Ok((who, line)) = said.recv_timeout(QUIET) else { return };
        match line {
            Some(step) if step.starts_with("step ") => self.engines[who].state = State::Waits(step),
            Some(line) => {
                if let Some(ended) = Ended::parse(&format!("{line}\n")) {
                    self.promised.insert(ended.key, ended.outputs);
                    self.fresh = true;
                }
            }
            None => {
                self.engines[who].state = State::Ended;
                let status = self.engines[who].child.wait().expect("a child can be waited for");
                if status.code().is_some_and(|code| code != 0) {
                    self.verdict.faults.push(format!("an engine ends with {status}"));
                }
            }
        }
    }

    /// The engine that may go on; `None` while one still works.
    fn next(&mut self) -> Option<usize> {
        let works = |engine: &Engine| matches!(engine.state, State::Runs(since) if since.elapsed() < QUIET);
        if self.engines.iter().any(works) {
            return None;
        }
        let waiting = |engine: &Engine| engine.waits_to("step ");
        let (turn, left) = self.turn;
        // If one engine is about to sync, the other may make many changes first.
        if left > 0 && waiting(&self.engines[turn]) && !(self.engines[turn].waits_to("step Sync") && self.one_in(2)) {
            self.turn.1 -= 1;
            return Some(turn);
        }
        let first = usize::from(left > 0 && turn == 0 || left == 0 && self.one_in(2)) % self.engines.len();
        let next = [first, self.engines.len() - 1 - first].into_iter().find(|who| waiting(&self.engines[*who]))?;
        self.turn = (next, self.draw.next_u64() % 120);
        Some(next)
    }

    /// Checks the reported results after a power cut at this moment.
    fn cut(&mut self) -> Result<(), String> {
        self.fresh = false;
        self.cuts -= 1;
        self.engines.iter().for_each(|engine| engine.signal(Signal::SIGSTOP));
        let cut = self.disk.cut();
        self.engines.iter().for_each(|engine| engine.signal(Signal::SIGCONT));
        let cut = cut?;
        let mut verdict = judge::check(&Project::at(&cut.0.join("project")), &self.promised, self.expected);
        verdict.kills = 1;
        self.verdict.add(verdict);
        Ok(())
    }
}
