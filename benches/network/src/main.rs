//! Times steps of training, or class activation maps, with random weights on random images. See `benches/README.md`.
//!
//! `orchestrate-network train|cam MODEL SIZE BATCH THREADS STEPS` prints the milliseconds of each step after the first,
//! and last the peak memory of the process in MB.

#![expect(clippy::print_stdout, reason = "the output is the result")]

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use orchestrate_engine::stage::StageError;
use orchestrate_networks::device::{CPU, device, environment};
use orchestrate_networks::speed::{Load, Network};
use orchestrate_stages::threads::with_threads;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let variables = environment(CPU);
    if variables.iter().any(|(name, _)| std::env::var_os(name).is_none()) {
        // Workers start with these variables, so this process restarts itself with them.
        let mut again = Command::new(std::env::current_exe()?);
        let status = again.args(&arguments).envs(variables).status().context("the program cannot start itself")?;
        std::process::exit(status.code().unwrap_or(1));
    }
    let [mode, network, size, batch, threads, steps] = arguments.as_slice() else {
        bail!("usage: orchestrate-network train|cam MODEL SIZE BATCH THREADS STEPS");
    };
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("`{text}` is no number"));
    let network = Network::new(network).map_err(anyhow::Error::msg)?;
    let load = Load { size: number(size)?, batch: number(batch)?, ..Load::usual(network) };
    let (threads, steps) = (number(threads)?, number(steps)?);
    let times = with_threads(threads, || {
        let device = device(CPU)?;
        let mut step = match mode.as_str() {
            "train" => load.training(&device)?,
            "cam" => load.inference(&device)?,
            other => return Err(StageError::new(format!("`{other}` is neither `train` nor `cam`"))),
        };
        let timed = |_| {
            let began = Instant::now();
            let result = step()?;
            assert!(result.is_finite(), "the network gave {result}");
            Ok(began.elapsed().as_secs_f64() * 1000.0)
        };
        (0..=steps).map(timed).collect::<Result<Vec<f64>, StageError>>()
    })?;
    for time in &times[1..] {
        println!("{time:.3}");
    }
    println!("{:.0}", peak_mb()?);
    Ok(())
}

/// Reads the peak memory of the process from `/proc`.
fn peak_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status cannot be read")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells no peak memory")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1000.0)
}
