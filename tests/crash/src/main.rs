//! `orchestrate-crash`: kills, full disks and damage, for a study whose stages take milliseconds. See CONTRIBUTING.md.
//!
//! The program has all roles: it disturbs and checks (`kill`, `points`, `full`, `power`, `corrupt`), and starts itself
//! as the engine (`run`), its workers, a collection, and a new process that opens the store afterwards (`check`).

mod child;
mod corrupt;
mod full;
mod judge;
mod kill;
mod power;
mod project;
mod result;
mod stages;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use orchestrate_engine::executor::worker::worker_main;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let child = |outcome: Result<ExitCode, Box<dyn std::error::Error>>| {
        outcome.unwrap_or_else(|error| {
            complain(&format!("error: {error}"));
            ExitCode::from(1)
        })
    };
    if matches!(words.as_slice(), ["run" | "check" | "verify" | "repair" | "litter" | "gc" | "forget", _]) {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .init();
    }
    match words.as_slice() {
        ["worker"] => worker_main(stages::STAGES),
        ["run", project] => child(child::run(Path::new(project))),
        ["check", project] => child(child::check(Path::new(project))),
        ["verify", project] => child(child::verify(Path::new(project))),
        ["repair", project] => child(child::repair(Path::new(project))),
        ["litter", project] => child(child::litter(Path::new(project))),
        ["gc", project] => child(child::gc(Path::new(project))),
        ["forget", project] => child(child::forget(Path::new(project))),
        ["kill", count] => kill(count, "1"),
        ["kill", count, seed] => kill(count, seed),
        ["points"] => points("1"),
        ["points", stride] => points(stride),
        ["full"] => full("1"),
        ["full", stride] => full(stride),
        ["power"] => power("100", "1"),
        ["power", cuts] => power(cuts, "1"),
        ["power", cuts, seed] => power(cuts, seed),
        ["corrupt"] => corrupt("0", "1", "1"),
        ["corrupt", start, stride] => corrupt(start, stride, "1"),
        ["corrupt", start, stride, seed] => corrupt(start, stride, seed),
        _ => usage(),
    }
}

fn kill(count: &str, seed: &str) -> ExitCode {
    let (Ok(count), Ok(seed)) = (count.parse(), seed.parse()) else { return usage() };
    let verdict = kill::random(count, seed, tell);
    tell(&format!("lost {} of {}", verdict.faults.len(), verdict.kills));
    ended(verdict.faults.is_empty())
}

fn points(stride: &str) -> ExitCode {
    let Ok(stride) = stride.parse() else { return usage() };
    let verdict = kill::enumerated(stride, tell);
    tell(&format!("lost {} of {}", verdict.faults.len(), verdict.kills));
    ended(verdict.faults.is_empty())
}

fn full(stride: &str) -> ExitCode {
    let Ok(stride) = stride.parse() else { return usage() };
    let verdict = full::full(stride, tell);
    tell(&format!("lost {} of {}", verdict.faults.len(), verdict.kills));
    ended(verdict.faults.is_empty())
}

fn power(cuts: &str, seed: &str) -> ExitCode {
    let (Ok(number), Ok(seed_number)) = (cuts.parse(), seed.parse()) else { return usage() };
    match power::with_own_mounts(&["power", cuts, seed]) {
        Ok(None) => {}
        Ok(Some(code)) => return code,
        Err(missing) => {
            tell(&format!("skipped: a filesystem in a file needs Linux, root, loop devices and mkfs.ext4: {missing}"));
            return ExitCode::SUCCESS;
        }
    }
    match power::power(number, seed_number, tell) {
        Ok(verdict) => {
            tell(&format!("lost {} of {}", verdict.faults.len(), verdict.promised));
            ended(verdict.faults.is_empty())
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(1)
        }
    }
}

fn corrupt(start: &str, stride: &str, seed: &str) -> ExitCode {
    let (Ok(start), Ok(stride), Ok(seed)) = (start.parse(), stride.parse(), seed.parse()) else { return usage() };
    let tally = corrupt::corrupt(start, stride, seed, tell);
    tell(&format!("{} more went wrong", tally.faults.len() as u64 - tally.served));
    tell(&format!("served {} of {}", tally.served, tally.cases));
    ended(tally.faults.is_empty())
}

fn ended(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn usage() -> ExitCode {
    complain(
        "usage: orchestrate-crash kill N [SEED] | points [STRIDE] | full [STRIDE] | power [CUTS [SEED]] | \
         corrupt [START STRIDE [SEED]]",
    );
    ExitCode::from(2)
}

fn tell(line: &str) {
    // A reader that goes away is no error.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
