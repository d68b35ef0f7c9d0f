//! The program as a child process: started without a shell, stopped when the run is, and quoted when it fails.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use orchestrate_engine::stage::{Context, Progress, StageError};

use super::environment::Environment;
use super::invocation::Invocation;
use super::leftover::{Children, Leftovers};
use super::lines::{Lines, Stream, listen};
use super::start;

/// Time between two checks of a quiet program.
const TICK: Duration = Duration::from_millis(20);
/// Time for a program to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// Time for leftover processes to end by themselves.
const LEFTOVER: Duration = Duration::from_secs(2);
/// Time to read streams that stay open once all processes have ended.
const DRAIN: Duration = Duration::from_millis(500);
/// Time for a program to print its version.
const VERSION_LIMIT: Duration = Duration::from_secs(60);
/// Most bytes of a version.
const VERSION_MAX: usize = 1 << 16;
/// Lines of standard error that a failure quotes, and characters of each.
const QUOTED_LINES: usize = 20;
const QUOTED_CHARS: usize = 400;

/// Runs a program to its end. Its output goes to `log`, without secrets, flushed whenever the program pauses.
pub(super) fn run(
    context: &Context<'_>,
    invocation: &Invocation<'_>,
    children: Children,
    leftovers: Leftovers,
    log: &mut dyn Write,
) -> Result<(), StageError> {
    let environment = invocation.environment;
    // Errors of the log are ignored: they must not lose the work.
    for name in &environment.short_secrets {
        let _ = writeln!(
            log,
            "orchestrate: the value of {name} is too short to be told from other text, and is not hidden here"
        );
    }
    let mut last_lines = VecDeque::new();
    let end = supervise(invocation, children, context.cancelled, &mut |heard| {
        let Heard::Lines(lines) = heard else {
            let _ = log.flush();
            return;
        };
        let text = printable(&lines, environment);
        let _ = log.write_all(text.as_bytes());
        match lines.stream {
            Stream::Out => text.lines().filter_map(progress).for_each(|progress| (context.progress)(progress)),
            Stream::Err => {
                let mut latest: Vec<_> = text.lines().rev().take(QUOTED_LINES).map(str::to_owned).collect();
                latest.reverse();
                last_lines.extend(latest);
                last_lines.drain(..last_lines.len().saturating_sub(QUOTED_LINES));
            }
        }
    })
    .map_err(|message| StageError::new(environment.redact(&message)))?;
    match end {
        End::Stopped => Err(StageError::Cancelled),
        End::Ended(status) if status.success() => Ok(()),
        End::Ended(status) => Err(StageError::new(failure(invocation, status, &last_lines))),
        End::Left(left) => {
            let left = environment.redact(&left);
            let _ = writeln!(log, "orchestrate: the program ended and left {left} running, which was ended");
            match leftovers {
                Leftovers::End => Ok(()),
                Leftovers::Fail => Err(StageError::new(format!(
                    "the program ended and left {left} running, so its output may be incomplete; wait for it in the \
                     program, or set `leftovers = \"end\"` for a result without it"
                ))),
            }
        }
    }
}

/// Lines in their logged form: without secrets, each with a newline.
fn printable<'a>(lines: &'a Lines, environment: &Environment) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(&lines.bytes);
    match lines.left_out {
        0 => environment.redact(text),
        bytes => {
            let kept = environment.redact_cut(text.trim_end_matches('\n'));
            format!("{kept}… ({bytes} more bytes of this line are left out)\n").into()
        }
    }
}

/// The version that a program prints: standard output, then standard error, trimmed.
pub(super) fn version(argv: &[String], environment: &Environment) -> Result<String, String> {
    let program = argv.join(" ");
    let started = Instant::now();
    let (mut out, mut err) = (String::new(), String::new());
    let said = Cell::new(0);
    let stop = || started.elapsed() > VERSION_LIMIT || said.get() > VERSION_MAX;
    let invocation = Invocation { argv, dir: Path::new("/"), environment };
    let end = supervise(&invocation, Children::Mixed, &stop, &mut |heard| {
        let Heard::Lines(lines) = heard else { return };
        said.set(said.get() + lines.bytes.len());
        if said.get() <= VERSION_MAX {
            let text = if lines.stream == Stream::Out { &mut out } else { &mut err };
            text.push_str(&String::from_utf8_lossy(&lines.bytes));
        }
    })
    .map_err(|message| format!("version: {message}"))?;
    match end {
        _ if said.get() > VERSION_MAX => {
            Err(format!("version: `{program}` says more than {} KiB; print less", VERSION_MAX >> 10))
        }
        End::Ended(status) if status.success() => Ok(format!("{out}{err}").trim().to_owned()),
        End::Ended(status) => Err(format!("version: `{program}` {}: {}", describe(status), err.trim())),
        End::Stopped | End::Left(_) => {
            Err(format!("version: `{program}` did not end within {} s", VERSION_LIMIT.as_secs()))
        }
    }
}

enum End {
    Ended(ExitStatus),
    Stopped,
    /// The program succeeded and left these processes running, which were then ended.
    Left(String),
}

/// Output of a program, or a pause of it.
enum Heard {
    Lines(Lines),
    /// Nothing is waiting just now.
    Silence,
}

/// Starts a program and hands over what it prints until it has ended, and all that it started. Once `stop` says so, it
/// gets SIGTERM, then SIGKILL.
///
/// The program stays in the process group of its worker, so whoever kills the group reaches what the program started
/// too.
fn supervise(
    invocation: &Invocation<'_>,
    children: Children,
    stop: &dyn Fn() -> bool,
    hear: &mut dyn FnMut(Heard),
) -> Result<End, String> {
    let mut child = start::spawn(invocation)?;
    let failed = |error: io::Error| format!("cannot wait for `{}`: {error}", invocation.argv[0]);
    let mut ear = Ear { lines: listen(child.stdout.take(), child.stderr.take()), open: true, hear };
    let mut stopped_at: Option<Instant> = None;
    let status = loop {
        ear.listen(TICK);
        if let Some(status) = children.try_wait(&mut child).map_err(failed)? {
            break status;
        }
        match stopped_at {
            None if stop() => {
                stopped_at = Some(Instant::now());
                // Fails if the program has just ended, which the next check finds.
                let _ = i32::try_from(child.id()).map(|pid| signal::kill(Pid::from_raw(pid), Signal::SIGTERM));
            }
            Some(at) if at.elapsed() > GRACE => {
                child.kill().map_err(failed)?;
                break child.wait().map_err(failed)?;
            }
            _ => {}
        }
    };
    let ended_at = Instant::now();
    let is_well = stopped_at.is_none() && status.success();
    while is_well && children.remain() && ended_at.elapsed() < LEFTOVER && !stop() {
        ear.listen(TICK / 10);
    }
    let left = children.remain().then(|| children.name());
    children
        .end()
        .map_err(|left| format!("`{}` ended and left {left} running, which cannot be killed", invocation.argv[0]))?;
    ear.listen_to_the_end();
    Ok(match left {
        _ if stopped_at.is_some() => End::Stopped,
        Some(_) if is_well && stop() => End::Stopped,
        Some(left) if is_well => End::Left(left),
        _ => End::Ended(status),
    })
}

/// Receives the output of a program.
struct Ear<'a> {
    lines: Receiver<Lines>,
    open: bool,
    hear: &'a mut dyn FnMut(Heard),
}

impl Ear<'_> {
    /// Passes on the next lines, for which it waits so long.
    fn listen(&mut self, wait: Duration) {
        if !self.open {
            return thread::sleep(wait.min(TICK / 10));
        }
        let lines = self.lines.try_recv().or_else(|error| match error {
            TryRecvError::Empty => {
                (self.hear)(Heard::Silence);
                self.lines.recv_timeout(wait)
            }
            TryRecvError::Disconnected => Err(RecvTimeoutError::Disconnected),
        });
        match lines {
            Ok(lines) => (self.hear)(Heard::Lines(lines)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.open = false,
        }
    }

    /// Passes on the rest. A stream ends with the last process that holds it, which the program may not have started.
    fn listen_to_the_end(&mut self) {
        let deadline = Instant::now() + DRAIN;
        while let Ok(lines) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            (self.hear)(Heard::Lines(lines));
        }
        (self.hear)(Heard::Silence);
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
    if let Some(advice) = start::advice(invocation) {
        message.push_str("; ");
        message.push_str(&advice);
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
