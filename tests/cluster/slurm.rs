//! A throw-away cluster of three nodes, which ends with the process of the tests, however that ends.
#![expect(clippy::print_stderr, reason = "tests that are skipped say so")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The script that starts and watches the daemons.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/slurm.sh");
const DAEMONS: [&str; 5] = ["munged", "slurmctld", "slurmd", "sbatch", "sinfo"];
const ACCOUNTING: [&str; 3] = ["slurmdbd", "mariadbd", "mariadb-install-db"];
/// Ports that the script uses, from the first one.
const PORTS: u16 = 8;

/// A running cluster: nodes `n1`, `n2` with two GPUs each, and `n3`.
pub(crate) struct Cluster {
    dir: PathBuf,
    /// Its standard input is the life line of the daemons.
    _script: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// A task of a job, as `squeue` lists it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) job: String,
    pub(crate) index: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) node: String,
    pub(crate) partition: String,
    /// Working folder.
    pub(crate) dir: String,
    pub(crate) cpus: String,
    pub(crate) memory: String,
}

impl Cluster {
    /// The cluster that tests share which do it no harm. It has no accounting, as on many sites.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| Self::new("", "")).as_ref()
    }

    /// A cluster of a test's own, with more lines in `slurm.conf`.
    pub(crate) fn own(lines: &str) -> Option<Self> {
        Self::new("", lines)
    }

    /// A cluster of a test's own, with accounting.
    pub(crate) fn own_accounted(lines: &str) -> Option<Self> {
        Self::new("accounting", lines)
    }

    /// A cluster that limits memory as sites do, by cgroups; one at a time.
    pub(crate) fn with_memory_limits() -> Option<Self> {
        let (cgroups, mine) = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/slurm_n1");
        // Version 2 needs systemd.
        let is_ours = fs::create_dir(mine).is_ok() || Path::new(mine).exists();
        if !is_ours || !Path::new(cgroups).join("memory.limit_in_bytes").exists() {
            skip(&format!("no cgroups can be made in {cgroups} (version 1, as root), so nothing limits memory"));
            return None;
        }
        Self::new("", "TaskPlugin=task/cgroup")
    }

    /// Starts a cluster; `None` if that needs something which this machine lacks.
    fn new(accounting: &str, lines: &str) -> Option<Self> {
        let needed = DAEMONS.iter().chain(ACCOUNTING.iter().filter(|_| !accounting.is_empty()));
        if let Some(missing) = needed.copied().find(|program| !is_installed(program)) {
            skip(&format!("there is no {missing}, so no Slurm cluster can be started (Debian: slurmd, slurmctld)"));
            return None;
        }
        // Sockets have short paths, so the folder of the target is no place for them.
        let dir = tempfile::Builder::new().prefix("slurm-").tempdir().expect("tests have a temporary folder").keep();
        if !lines.is_empty() {
            fs::write(dir.join("more.conf"), format!("{lines}\n")).expect("tests can write");
        }
        let mut command = Command::new("setsid");
        command.args(["bash", SCRIPT]).arg(&dir).arg(free_ports().to_string()).arg(accounting);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("there is a `setsid`");
        let stdin = script.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(script.stdout.take().expect("it is a pipe"));
        let cluster = Self { dir, _script: script, talk: Mutex::new((stdin, stdout)) };
        cluster.expect_line("ready");
        Some(cluster)
    }

    /// The configuration, for `SLURM_CONF`.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("slurm.conf")
    }

    /// Starts a daemon, such as `slurmdbd` or `slurmd-n2`.
    pub(crate) fn start(&self, daemon: &str) {
        self.tell(&format!("start {daemon}"));
    }

    /// Stops a daemon.
    pub(crate) fn stop(&self, daemon: &str) {
        self.tell(&format!("stop {daemon}"));
    }

    fn tell(&self, line: &str) {
        let mut talk = self.talk.lock().expect("no test panicked meanwhile");
        writeln!(talk.0, "{line}").expect("the script lives");
        drop(talk);
        self.expect_line(line);
    }

    fn expect_line(&self, expected: &str) {
        let mut line = String::new();
        let read = self.talk.lock().expect("no test panicked meanwhile").1.read_line(&mut line);
        assert!(read.is_ok() && line.trim() == expected, "the cluster said `{line}` in place of `{expected}`");
    }

    /// Runs a command of Slurm; returns whether it succeeded, and its two outputs.
    fn answer(&self, line: &[&str]) -> (bool, String, String) {
        let output = Command::new(line[0]).args(&line[1..]).env("SLURM_CONF", self.config()).output();
        let output = output.expect("it is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs a command of Slurm, which must succeed.
    pub(crate) fn ask(&self, line: &[&str]) -> String {
        let (is_success, stdout, stderr) = self.answer(line);
        assert!(is_success, "{line:?}: {stdout}{stderr}");
        stdout
    }

    /// Runs a command of Slurm, which must fail; returns what it said.
    pub(crate) fn fails(&self, line: &[&str]) -> String {
        let (is_success, stdout, stderr) = self.answer(line);
        assert!(!is_success, "{line:?}: {stdout}{stderr}");
        stdout + &stderr
    }

    /// Whether the controller answers.
    pub(crate) fn answers(&self) -> bool {
        self.answer(&["scontrol", "ping"]).0
    }

    /// The states of all tasks with a working folder below `dir`, by the accounting; none if that is down.
    pub(crate) fn accounted_states(&self, dir: &Path) -> Vec<String> {
        let (_, list, _) = self.answer(&["sacct", "-X", "-n", "-P", "-o", "WorkDir,State"]);
        let state = |line: &str| line.split_once('|').map(|(dir, state)| (dir.to_owned(), state.to_owned()));
        let of_dir = |(place, _): &(String, String)| Path::new(place).starts_with(dir);
        list.lines().filter_map(state).filter(of_dir).map(|(_, state)| state).collect()
    }

    /// All tasks with a working folder below `dir`, ended ones included.
    pub(crate) fn tasks(&self, dir: &Path) -> Vec<Task> {
        let list = self.ask(&["squeue", "-h", "-r", "-t", "all", "-o", "%F|%K|%j|%T|%N|%P|%Z|%C|%m"]);
        let task = |line: &str| {
            let fields: Vec<_> = line.split('|').map(str::to_owned).collect();
            let [job, index, name, state, node, partition, dir, cpus, memory] =
                fields.try_into().expect("a line has nine fields");
            Task { job, index, name, state, node, partition, dir, cpus, memory }
        };
        let tasks = list.lines().map(task);
        let mut tasks: Vec<_> = tasks.filter(|task| Path::new(&task.dir).starts_with(dir)).collect();
        tasks.sort_by_key(|task| (task.job.parse::<u64>().ok(), task.index.parse::<u64>().ok()));
        tasks
    }

    /// Waits until a task fulfils a condition, and returns it.
    pub(crate) fn wait(&self, dir: &Path, what: &str, is_it: impl Fn(&Task) -> bool) -> Task {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let tasks = self.tasks(dir);
            if let Some(task) = tasks.iter().find(|task| is_it(task)) {
                return task.clone();
            }
            assert!(Instant::now() < deadline, "waited too long for {what}: {tasks:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Task {
    /// The id that `scontrol` takes.
    pub(crate) fn id(&self) -> String {
        if self.index == "N/A" { self.job.clone() } else { format!("{}_{}", self.job, self.index) }
    }
}

/// Says why a test is skipped.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

pub(crate) fn is_installed(program: &str) -> bool {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&dirs).any(|dir| dir.join(program).exists())
}

/// Finds free ports in a row.
pub(crate) fn free_ports() -> u16 {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().expect("nothing panics meanwhile");
    // Ports below 32768 are given to no client, and processes of tests start at different ones.
    let first = 20_000 + u16::try_from(std::process::id() * 37 % 600).expect("it is small") * PORTS;
    let mut port = if *next == 0 { first } else { *next };
    while !(port..port + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
        port = if port > 32_000 { 20_000 } else { port + PORTS };
    }
    *next = port + PORTS;
    port
}
