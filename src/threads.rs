//! Threads of parallel loops, and the error message if the system starts no more of them.

use std::error::Error;
use std::panic;
use std::process;

use orchestrate_engine::schedule::cores;

use crate::outcome::Outcome;
use crate::terminal;

const HELP: &str = "a limit of processes and threads is reached: this user's (`ulimit -u`) or that of the control \
                    group (`pids.max`)\nhelp: raise it, end other programs, or use fewer threads with `--jobs`";

/// Starts rayon's global pool with the requested number of threads, at most one a core. Parallel loops of the store and
/// of light stages run there. By default the first of them starts the pool, with one thread a core or
/// `RAYON_NUM_THREADS`.
pub(crate) fn bound(jobs: Option<u16>) -> anyhow::Result<()> {
    let by_environment = || std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok().filter(|number| *number > 0);
    let Some(requested) = jobs.map(usize::from).or_else(by_environment) else { return Ok(()) };
    let number = requested.min(cores());
    match rayon::ThreadPoolBuilder::new().num_threads(number).build_global() {
        // The error without a cause means that a pool exists already, which is fine.
        Err(error) if error.source().is_some() => {
            anyhow::bail!("cannot start {} ({error}): {HELP}", terminal::count(number, "thread"))
        }
        _ => Ok(()),
    }
}

/// Explains a thread that could not be started, where a library only panics, and ends the program. Recorded results
/// stay.
pub(crate) fn explain_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let message = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        if message.is_some_and(is_lack_of_threads) {
            terminal::complain(&format!("error: cannot start a thread: {HELP}\n"));
            process::exit(i32::from(Outcome::Failed.code()));
        }
        usual(info);
    }));
}

fn is_lack_of_threads(message: &str) -> bool {
    message.contains("failed to spawn thread") || message.contains("ThreadPoolBuildError")
}

#[cfg(test)]
mod tests {
    use super::is_lack_of_threads;

    #[test]
    fn panics_of_the_standard_library_and_of_rayon_are_known() {
        let rayon = "The global thread pool has not been initialized.: \
                     ThreadPoolBuildError { kind: IOError(Os { code: 11, … }) }";
        assert!(is_lack_of_threads(rayon));
        assert!(is_lack_of_threads("failed to spawn thread: Os { code: 11, kind: WouldBlock, … }"));
        assert!(!is_lack_of_threads("index out of bounds"));
    }
}
