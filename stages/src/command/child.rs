//! The program as a child process: started without a shell, listened to, stopped when the run is, and heard out when it fails.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use orchestrate_engine::stage::{Context, Progress, StageError};

use super::environment::Environment;

/// How often a quiet program is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long the output of what a program left running is listened to.
const LEFTOVER: Duration = Duration::from_millis(500);
/// How long a program may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(60);
/// Most bytes of a line; the rest is left out, so that a program that never ends its line does not fill the memory.
const LINE_MAX: usize = 1 << 20;
/// Most bytes that a program may say of its version.
const VERSION_MAX: usize = 1 << 16;
/// Lines of standard error that a failure quotes, and characters of each.
const QUOTED_LINES: usize = 20;
const QUOTED_CHARS: usize = 400;

/// What is started, and where.
pub(super) struct Invocation<'a> {
    pub(super) argv: &'a [String],
    pub(super) dir: &'a Path,
    pub(super) environment: &'a Environment,
}

/// Runs a program to its end; what it prints goes to `log`, line by line, without secrets.
pub(super) fn run(context: &Context<'_>, invocation: &Invocation<'_>, log: &mut dyn Write) -> Result<(), StageError> {
    let mut last_lines = VecDeque::new();
    let end = supervise(invocation, context.cancelled, &mut |stream, line| {
        let text = String::from_utf8_lossy(&line.bytes);
        let line = match line.left_out {
            0 => invocation.environment.redact(&text),
            bytes => {
                let kept = invocation.environment.redact_cut(&text);
                format!("{kept}… ({bytes} more bytes of this line are left out)")
            }
        };
        // A log that cannot be written is no reason to lose the work.
        let _ = writeln!(log, "{line}");
        match stream {
            Stream::Out => {
                if let Some(progress) = progress(&line) {
                    (context.progress)(progress);
                }
            }
            Stream::Err => {
                last_lines.push_back(line);
                if last_lines.len() > QUOTED_LINES {
                    last_lines.pop_front();
                }
            }
        }
    })
    .map_err(StageError::new)?;
    match end {
        End::Stopped => Err(StageError::Cancelled),
        End::Ended(status) if status.success() => Ok(()),
        End::Ended(status) => Err(StageError::new(failure(invocation, status, &last_lines))),
    }
}

/// What a program says of its version: standard output, then standard error, without blanks at the ends.
pub(super) fn version(argv: &[String], environment: &Environment) -> Result<String, String> {
    let program = argv.join(" ");
    let started = Instant::now();
    let (mut out, mut err) = (String::new(), String::new());
    let said = Cell::new(0);
    let stop = || started.elapsed() > VERSION_LIMIT || said.get() > VERSION_MAX;
    let invocation = Invocation { argv, dir: Path::new("/"), environment };
    let end = supervise(&invocation, &stop, &mut |stream, line| {
        said.set(said.get() + line.bytes.len() + 1);
        if said.get() <= VERSION_MAX {
            let text = if stream == Stream::Out { &mut out } else { &mut err };
            text.push_str(&String::from_utf8_lossy(&line.bytes));
            text.push('\n');
        }
    })
    .map_err(|message| format!("version: {message}"))?;
    match end {
        _ if said.get() > VERSION_MAX => {
            Err(format!("version: `{program}` says more than {} KiB; print less", VERSION_MAX >> 10))
        }
        End::Ended(status) if status.success() => Ok(format!("{out}{err}").trim().to_owned()),
        End::Ended(status) => Err(format!("version: `{program}` {}: {}", describe(status), err.trim())),
        End::Stopped => Err(format!("version: `{program}` did not end within {} s", VERSION_LIMIT.as_secs())),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Out,
    Err,
}

/// A line without its end.
#[derive(Debug, Default, PartialEq)]
struct Line {
    bytes: Vec<u8>,
    /// Bytes after the first [`LINE_MAX`].
    left_out: usize,
}

enum End {
    Ended(ExitStatus),
    Stopped,
}

/// Starts a program and hands over its lines until it has ended. Once `stop` says so, it gets SIGTERM, then SIGKILL.
///
/// The program stays in the process group of its worker, so whoever kills the group reaches what the program started too.
fn supervise(
    invocation: &Invocation<'_>,
    stop: &dyn Fn() -> bool,
    take: &mut dyn FnMut(Stream, &Line),
) -> Result<End, String> {
    let mut child = spawn(invocation)?;
    let failed = |error: io::Error| format!("cannot wait for `{}`: {error}", invocation.argv[0]);
    let lines = listen(child.stdout.take(), child.stderr.take());
    let mut stopped_at: Option<Instant> = None;
    let mut open = true;
    let status = loop {
        if open {
            match lines.recv_timeout(TICK) {
                Ok((stream, line)) => take(stream, &line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        }
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        match stopped_at {
            None if stop() => {
                stopped_at = Some(Instant::now());
                // It may have ended in between, which the next look will tell.
                let _ = i32::try_from(child.id()).map(|pid| signal::kill(Pid::from_raw(pid), Signal::SIGTERM));
            }
            Some(at) if at.elapsed() > GRACE => {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                return Ok(End::Stopped);
            }
            _ => {}
        }
        if !open {
            thread::sleep(TICK / 10);
        }
    };
    let deadline = Instant::now() + LEFTOVER;
    while let Ok((stream, line)) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        take(stream, &line);
    }
    Ok(if stopped_at.is_some() { End::Stopped } else { End::Ended(status) })
}

fn spawn(invocation: &Invocation<'_>) -> Result<std::process::Child, String> {
    let [program, arguments @ ..] = invocation.argv else { return Err("`argv` names no program".to_owned()) };
    // A relative path means the folder in which the program starts, not that of this process.
    let path = if program.contains('/') { invocation.dir.join(program) } else { program.into() };
    let mut command = Command::new(path);
    command
        .arg0(program)
        .args(arguments)
        .current_dir(invocation.dir)
        .env_clear()
        .envs(invocation.environment.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = Instant::now();
    loop {
        match command.spawn() {
            // A code file that was just written is busy while another thread's child still holds it open.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && started.elapsed() < GRACE => {
                thread::sleep(TICK);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!(
                    "cannot start `{program}`: no such program on PATH; one that lies beside the spec goes into `code` and is \
                     started by `{{code}}`, and the interpreter that its first line names must exist"
                ));
            }
            spawned => return spawned.map_err(|error| format!("cannot start `{program}`: {error}")),
        }
    }
}

/// Lines of both streams as they come; the channel closes when both have ended.
fn listen<O: Read + Send + 'static, E: Read + Send + 'static>(
    stdout: Option<O>,
    stderr: Option<E>,
) -> Receiver<(Stream, Line)> {
    let (sender, lines) = sync_channel(1024);
    if let Some(stdout) = stdout {
        let sender = sender.clone();
        thread::spawn(move || send_lines(stdout, Stream::Out, &sender));
    }
    if let Some(stderr) = stderr {
        thread::spawn(move || send_lines(stderr, Stream::Err, &sender));
    }
    lines
}

/// Progress bars end their lines with a carriage return, so that ends a line too; empty lines between the two are left out.
fn send_lines(stream: impl Read, kind: Stream, sender: &SyncSender<(Stream, Line)>) {
    let mut reader = BufReader::new(stream);
    let mut line = Line::default();
    let mut after_return = false;
    loop {
        let bytes = match reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => &[],
        };
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let (kept, rest) = part.split_at(part.len().min(LINE_MAX - line.bytes.len()));
        line.bytes.extend_from_slice(kept);
        line.left_out += rest.len();
        let (ended, terminator) = (bytes.is_empty(), end.map(|end| bytes[end]));
        let used = end.map_or(bytes.len(), |end| end + 1);
        reader.consume(used);
        let skip = line.bytes.is_empty() && (ended || (after_return && terminator == Some(b'\n')));
        if (terminator.is_some() || ended) && !skip && sender.send((kind, std::mem::take(&mut line))).is_err() {
            return;
        }
        if ended {
            return;
        }
        after_return = terminator == Some(b'\r');
    }
}

/// `progress 3/10 loss 0.4`.
fn progress(line: &str) -> Option<Progress> {
    let rest = line.strip_prefix("progress ")?.trim();
    let (counts, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let (done, total) = counts.split_once('/')?;
    Some(Progress { done: done.parse().ok()?, total: total.parse().ok()?, message: message.trim().to_owned() })
}

fn failure(invocation: &Invocation<'_>, status: ExitStatus, last_lines: &VecDeque<String>) -> String {
    let environment = invocation.environment;
    let mut message = format!("`{}` {}", environment.redact(&invocation.argv[0]), describe(status));
    for name in &environment.unset_secrets {
        message.push_str(&format!("; `secret_env` names {name}, which is not set here"));
    }
    if last_lines.is_empty() {
        message.push_str(", and wrote nothing to its standard error");
    } else {
        message.push_str("; the end of its standard error:");
    }
    for line in last_lines {
        let cut: String = line.chars().take(QUOTED_CHARS).collect();
        let more = if cut.len() < line.len() { "…" } else { "" };
        message.push_str(&format!("\n  {cut}{more}"));
    }
    message
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(Signal::SIGKILL) => "was killed by SIGKILL, as happens when memory runs out".to_owned(),
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => format!("ended with {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &'static [u8]) -> Vec<String> {
        let lines = listen(Some(bytes), None::<&[u8]>);
        lines.iter().map(|(_, line)| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
    }

    #[test]
    fn lines_end_with_newline_carriage_return_both_or_the_stream() {
        assert_eq!(lines(b"a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
        assert_eq!(lines(b"a\n\nb\n"), ["a", "", "b"]);
        assert_eq!(lines(b""), [""; 0]);
    }

    #[test]
    fn line_without_end_is_cut() {
        let lines = listen(Some(std::io::repeat(b'x').take(3 * LINE_MAX as u64).chain(&b"\nnext"[..])), None::<&[u8]>);
        let lengths: Vec<_> = lines.iter().map(|(_, line)| (line.bytes.len(), line.left_out)).collect();
        assert_eq!(lengths, [(LINE_MAX, 2 * LINE_MAX), (4, 0)]);
    }

    #[test]
    fn a_version_without_end_is_refused() {
        let environment = Environment::new(&[], &[], |name| std::env::var_os(name));
        let error = version(&["yes".to_owned()], &environment).unwrap_err();
        assert_eq!(error, "version: `yes` says more than 64 KiB; print less");
    }

    #[test]
    fn only_lines_of_the_agreed_form_are_progress() {
        let progress_of = |done, total, message: &str| Some(Progress { done, total, message: message.to_owned() });
        assert_eq!(progress("progress 3/10 loss 0.4"), progress_of(3, 10, "loss 0.4"));
        assert_eq!(progress("progress 3/10"), progress_of(3, 10, ""));
        assert_eq!(progress("progress three of ten"), None);
        assert_eq!(progress("in progress 3/10"), None);
    }
}
