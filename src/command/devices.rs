//! `orchestrate devices`: lists the devices that networks can be computed on.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use orchestrate_engine::resources::display_size;
use orchestrate_engine::run::processor;
use orchestrate_engine::schedule::machine_memory;
use orchestrate_engine::stage::StageError;
use orchestrate_networks::device::{self, Backend, CPU, GPU_SUPPORT, Gpu};
use orchestrate_networks::model::Precision;
use orchestrate_networks::speed::{Load, Network};
use serde::{Deserialize, Serialize};

use super::cluster::this_program;
use crate::device::automatic;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// The time for which each rate is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// Arguments of `devices`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  orchestrate devices\n  orchestrate devices cpu --benchmark tiny")]
pub(crate) struct DevicesArgs {
    /// Only this device, such as cpu or wgpu:0
    device: Option<String>,
    /// Measure a network on each device, training and maps: a model of `train`, or unet-vgg16 [default: squeezenet1_1]
    #[arg(long, value_name = "NETWORK", num_args = 0..=1, default_missing_value = "squeezenet1_1")]
    benchmark: Option<String>,
    /// The type of the numbers in the benchmark: f32, bf16 or f16
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision, requires = "benchmark")]
    precision: Precision,
    /// One JSON object a device and line instead of text
    #[arg(long)]
    json: bool,
}

fn precision(text: &str) -> Result<Precision, String> {
    let found = Precision::ALL.into_iter().find(|precision| precision.to_string() == text);
    found.ok_or_else(|| "use f32, bf16 or f16".to_owned())
}

/// A device, as a line of `--json` has it.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    device: String,
    name: Option<String>,
    kind: String,
    api: Option<String>,
    driver: Option<String>,
    memory_bytes: Option<u64>,
    precisions: Vec<Precision>,
    /// The reason why the device cannot be opened.
    error: Option<String>,
    benchmark: Option<Rates>,
}

/// The rates of a network on a device.
#[derive(Debug, Serialize, Deserialize)]
struct Rates {
    network: String,
    precision: Precision,
    pixels: usize,
    batch: usize,
    trained_images_per_second: f64,
    mapped_images_per_second: f64,
}

pub(crate) fn devices(args: &DevicesArgs) -> anyhow::Result<Outcome> {
    let load = |name| Network::new(name).map(|network| Load { precision: args.precision, ..Load::usual(network) });
    let load = args.benchmark.as_deref().map(load).transpose().map_err(UsageError)?;
    let bench = args.benchmark.as_deref().zip(load);
    let is_cpu_alone = args.device.as_deref() == Some(CPU);
    let backends = Backend::ALL.into_iter().filter(|_| !is_cpu_alone);
    let gpus: Vec<Gpu> = backends.flat_map(Backend::gpus).collect();
    let names: Vec<&str> = [CPU].into_iter().chain(gpus.iter().map(|gpu| gpu.name.as_str())).collect();
    let listed = match &args.device {
        Some(name) if !names.contains(&name.as_str()) => {
            let built = if GPU_SUPPORT { "" } else { "\nhelp: this program was built without GPU support" };
            return Err(UsageError(format!("there is no device `{name}`; there is {}{built}", names.join(", "))).into());
        }
        Some(name) => vec![of(name, &gpus, bench)?],
        None if gpus.is_empty() => vec![of(CPU, &gpus, bench)?],
        // A driver may bring down its process, and its memory is free again afterwards.
        None => names.iter().map(|name| in_a_process(name, bench, &gpus)).collect::<Result<_, _>>()?,
    };
    let text = if args.json {
        listed.iter().map(|device| serde_json::to_string(device).map(|line| line + "\n")).collect::<Result<_, _>>()?
    } else {
        shown(&listed, args.device.is_none().then(|| automatic(|backend| of_backend(&gpus, backend))))
    };
    let is_well = listed.iter().all(|device| device.error.is_none());
    (if is_well { Outcome::Done } else { Outcome::Failed }).after_saying(terminal::say_as_is(&text))
}

fn of_backend(gpus: &[Gpu], backend: Backend) -> Vec<Gpu> {
    let prefix = format!("{backend}:");
    gpus.iter().filter(|gpu| gpu.name.starts_with(&prefix)).cloned().collect()
}

/// Describes a device. Opens it.
fn of(name: &str, gpus: &[Gpu], bench: Option<(&str, Load)>) -> anyhow::Result<Listed> {
    let mut listed = unopened(name, gpus);
    if let Some(gpu) = gpus.iter().find(|gpu| gpu.name == name) {
        listed.name = device::model(gpu);
        listed.memory_bytes = device::memory(gpu);
    }
    match device::precisions(name) {
        Ok(precisions) => listed.precisions = precisions,
        Err(error) => listed.error = Some(error.to_string()),
    }
    if let (Some((network, load)), None) = (bench, &listed.error) {
        match rates(network, load, name) {
            Ok(rates) => listed.benchmark = Some(rates),
            Err(error) => listed.error = Some(error.to_string()),
        }
    }
    Ok(listed)
}

fn rates(network: &str, load: Load, name: &str) -> Result<Rates, StageError> {
    let device = device::device(name)?;
    Ok(Rates {
        network: network.to_owned(),
        precision: load.precision,
        pixels: load.size,
        batch: load.batch,
        trained_images_per_second: load.rate(load.training(&device)?, MEASURED)?,
        mapped_images_per_second: load.rate(load.inference(&device)?, MEASURED)?,
    })
}

/// Describes a device by what is known without opening it.
fn unopened(name: &str, gpus: &[Gpu]) -> Listed {
    let gpu = gpus.iter().find(|gpu| gpu.name == name);
    Listed {
        device: name.to_owned(),
        name: gpu.map_or_else(processor, |gpu| gpu.model.clone()),
        kind: gpu.map_or_else(|| CPU.to_owned(), |gpu| gpu.kind.to_string()),
        api: gpu.map(|gpu| gpu.api.clone()),
        driver: gpu.and_then(|gpu| gpu.driver.clone()),
        memory_bytes: machine_memory().filter(|_| gpu.is_none()),
        precisions: Vec::new(),
        error: None,
        benchmark: None,
    }
}

/// Describes a device in a process of its own, with the environment of a worker.
fn in_a_process(name: &str, bench: Option<(&str, Load)>, gpus: &[Gpu]) -> anyhow::Result<Listed> {
    let mut command = Command::new(this_program()?);
    command.args(["devices", name, "--json"]);
    if let Some((network, load)) = bench {
        command.args([format!("--benchmark={network}"), format!("--precision={}", load.precision)]);
    }
    if name == CPU {
        command.envs(device::environment(CPU));
    }
    let output = command.output().context("cannot start this program again")?;
    let line = String::from_utf8_lossy(&output.stdout);
    match serde_json::from_str(line.trim()) {
        Ok(listed) => Ok(listed),
        Err(_) if name == CPU => bail!("the CPU cannot be measured: {}", output.status),
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let error = format!("its driver fails ({}): {last}", output.status);
            Ok(Listed { error: Some(error), ..unopened(name, gpus) })
        }
    }
}

/// Writes a table of the devices, the rates below it, and the choice of `auto`.
fn shown(devices: &[Listed], automatic: Option<Vec<String>>) -> String {
    let heading = ["device", "name", "kind", "API", "driver", "memory", "precisions"].map(str::to_owned);
    let cells = |device: &Listed| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let precisions: Vec<_> = device.precisions.iter().map(Precision::to_string).collect();
        let memory = device.memory_bytes.map_or_else(|| "unknown".to_owned(), display_size);
        let kind = if device.kind == CPU { "processor" } else { &device.kind };
        let precisions = precisions.join(", ");
        let name = device.device.clone();
        [name, text(&device.name), kind.to_owned(), text(&device.api), text(&device.driver), memory, precisions]
    };
    let rows: Vec<[String; 7]> = [heading].into_iter().chain(devices.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let line: Vec<_> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    for device in devices {
        if let Some(error) = &device.error {
            let _ = writeln!(text, "{}: {error}", device.device);
        }
        if let Some(rates) = &device.benchmark {
            let Rates { network, precision, pixels, batch, .. } = rates;
            let (trained, mapped) = (rates.trained_images_per_second, rates.mapped_images_per_second);
            let _ = writeln!(
                text,
                "{}: {network} in {precision}, batches of {batch} at {pixels} px: {trained:.1} images/s trained, \
                 {mapped:.1} mapped",
                device.device
            );
        }
    }
    match automatic {
        Some(_) if !GPU_SUPPORT => text.push_str("this program was built without GPU support\n"),
        Some(names) if names.is_empty() => text.push_str("--device auto takes the CPU, as there is no GPU\n"),
        Some(names) => drop(writeln!(text, "--device auto takes {}", names.join(", "))),
        None => {}
    }
    text
}
