//! Commands of a queueing system: without a shell, with a deadline, in a clean environment.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::queue::{NoAnswer, NotSubmitted};

/// The longest wait for an answer. A busy controller takes a minute before it gives up itself.
const DEADLINE: Duration = Duration::from_secs(90);
/// The interval at which a running command is looked at.
const TICK: Duration = Duration::from_millis(5);
/// The largest output that is read.
const OUTPUT_MAX: u64 = 64 << 20;

/// The answer of a command that ended in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) is_success: bool,
    pub(super) stdout: String,
    /// Both outputs in short, for messages.
    pub(super) said: String,
}

/// Runs a command with an input, and waits for its end.
///
/// Errors: it cannot be started, or does not end in time; then it is killed, though what it asked for may be done.
pub(super) fn run(argv: &[String], input: &str) -> io::Result<Answer> {
    run_within(argv, input, DEADLINE)
}

/// Takes a failure of a question for no answer.
pub(super) fn answered(answer: io::Result<Answer>) -> Result<Answer, NoAnswer> {
    match answer {
        Ok(answer) if answer.is_success => Ok(answer),
        Ok(answer) => Err(NoAnswer(answer.said)),
        Err(error) => Err(NoAnswer(error.to_string())),
    }
}

/// Sorts the failure of a submission that did not end by itself: one without an answer may be done.
pub(super) fn not_submitted(error: &io::Error) -> NotSubmitted {
    match error.kind() {
        io::ErrorKind::TimedOut => NotSubmitted::Unsure(error.to_string()),
        _ => NotSubmitted::Refused(error.to_string()),
    }
}

fn run_within(argv: &[String], input: &str, deadline: Duration) -> io::Result<Answer> {
    let [program, args @ ..] = argv else { return Err(io::Error::other("the command is empty")) };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C in a terminal reaches the whole group of the head; a submission on its way must not be cut off.
    command.process_group(0);
    // Slurm's commands fail in a working folder that was deleted meanwhile, and need none.
    if std::env::current_dir().is_err() {
        command.current_dir("/");
    }
    for name in inherited().iter().filter(|name| is_of_a_job(name)) {
        command.env_remove(name);
    }
    let mut child = command
        .env("LC_ALL", "C")
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot run {program}: {error}")))?;
    let mut stdin = child.stdin.take().expect("it is a pipe");
    // The scripts are far smaller than a pipe; one that does not read has its reasons, and says them.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let Some(is_success) = wait(&mut child, deadline)? else {
        let _ = child.kill();
        let _ = child.wait();
        let seconds = deadline.as_secs();
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program} gave no answer in {seconds} s")));
    };
    let (stdout, stderr) = (collected(stdout), collected(stderr));
    let said = [stderr.trim(), stdout.trim()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    let said = said.join("; ").chars().take(1000).collect();
    Ok(Answer { is_success, stdout, said })
}

/// Returns the names of the environment variables of this process.
fn inherited() -> Vec<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// Returns whether a variable belongs to a job of Slurm. A head that runs in a job would hand them on: the binding to
/// its CPUs (three times slower), and options that it never asked for.
fn is_of_a_job(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SALLOC_"];
    name != "SLURM_CONF" && PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<bool>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if started.elapsed() >= deadline {
            return Ok(None);
        }
        thread::sleep(TICK);
    }
}

/// Reads an output in a thread, so that a full pipe stops nobody.
fn reader(output: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let output = output?;
    thread::Builder::new()
        .spawn(move || {
            let mut bytes = Vec::new();
            let _ = output.take(OUTPUT_MAX).read_to_end(&mut bytes);
            bytes
        })
        .ok()
}

fn collected(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn answer_has_the_output_and_both_texts_in_short() {
        let answer = run(&sh("read line; echo \"got $line\"; echo oh >&2; exit 3"), "x\n").unwrap();
        assert_eq!((answer.is_success, answer.stdout.as_str()), (false, "got x\n"));
        assert_eq!(answer.said, "oh; got x");
    }

    #[test]
    fn command_that_hangs_is_no_answer() {
        let error = run_within(&sh("sleep 100"), "", Duration::from_millis(50)).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::TimedOut, "sh gave no answer in 0 s"));
        let error = run(&["/nowhere/sbatch".to_owned()], "").unwrap_err();
        assert!(error.to_string().starts_with("cannot run /nowhere/sbatch: "), "{error}");
    }

    #[test]
    fn variables_of_a_job_are_not_handed_on_and_the_place_of_the_configuration_is() {
        assert!(["SLURM_CPU_BIND", "SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "SRUN_DEBUG"].into_iter().all(is_of_a_job));
        assert!(["SLURM_CONF", "PATH", "SLURMISH"].into_iter().all(|name| !is_of_a_job(name)));
    }
}
