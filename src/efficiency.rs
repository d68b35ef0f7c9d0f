//! Efficiency after a run on a cluster: a table, and the lines of the project file that would have fitted.

use std::fmt::Write;
use std::time::Duration;

use orchestrate_engine::efficiency::{Efficiency, StageEfficiency};
use orchestrate_engine::resources::display_size;
use orchestrate_engine::spec::Ask;
use serde_json::json;

use crate::terminal;

/// Returns the table with what would have fitted; nothing for a run on one machine.
pub(crate) fn text(efficiency: &Efficiency) -> String {
    let rows: Vec<_> = efficiency.stages().map(|(name, stage)| row(name, stage)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["used of asked", "batches", "memory", "longest batch", "CPUs", "GPUs"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let fitting: Vec<_> = efficiency.stages().map(|(name, stage)| section(name, &stage.fitting())).collect();
    let fitting = fitting.into_iter().flatten().collect::<Vec<_>>().join("\n");
    if !fitting.is_empty() {
        let _ = write!(text, "in orchestrate.toml, this would have fitted:\n{fitting}");
    }
    text
}

fn row(name: &str, stage: &StageEfficiency) -> [String; 6] {
    let StageEfficiency { asked, used } = stage;
    let (time, memory) = (terminal::duration, display_size);
    [
        name.to_owned(),
        used.batches.to_string(),
        format!("{} of {}", memory(used.peak_bytes), memory(asked.memory_bytes)),
        format!("{} of {}", time(used.batch_ms), time(asked.time_ms)),
        format!("{:.1} of {}", used.cores(), asked.threads),
        asked.gpu.clone().unwrap_or_else(|| "none".to_owned()),
    ]
}

/// Returns the section for a stage, if anything in it would have fitted better.
fn section(name: &str, fitting: &Ask) -> Option<String> {
    let memory = fitting.memory_bytes.map(|bytes| format!("memory = \"{}\"\n", toml_size(bytes)));
    let time = fitting.time.map(|time| format!("time = \"{}\"\n", toml_time(time)));
    let threads = fitting.threads.map(|threads| format!("threads = {threads}\n"));
    let lines: String = [memory, time, threads].into_iter().flatten().collect();
    (!lines.is_empty()).then(|| format!("[cluster.stages.{name}]\n{lines}"))
}

/// Writes a multiple of 100 MB.
fn toml_size(bytes: u64) -> String {
    match (bytes / 1_000_000_000, bytes / 100_000_000 % 10) {
        (0, _) => format!("{} MB", bytes / 1_000_000),
        (whole, 0) => format!("{whole} GB"),
        (whole, tenths) => format!("{whole}.{tenths} GB"),
    }
}

/// Writes a multiple of minutes.
fn toml_time(time: Duration) -> String {
    match time.as_secs() / 60 {
        minutes if minutes >= 120 && minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}

/// Returns a line of `run --json` for each stage.
pub(crate) fn json_lines(efficiency: &Efficiency) -> Vec<String> {
    let line = |(name, stage): (&str, &StageEfficiency)| {
        let StageEfficiency { asked, used } = stage;
        let Ask { time, memory_bytes, threads, .. } = stage.fitting();
        let fitting = json!({
            "threads": threads, "memory_bytes": memory_bytes,
            "time_ms": time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        });
        json!({ "reason": "efficiency", "stage": name, "asked": asked, "used": used, "fitting": fitting }).to_string()
    };
    efficiency.stages().map(line).collect()
}

#[cfg(test)]
mod tests {
    use orchestrate_engine::event::{Event, TimedEvent};
    use orchestrate_engine::node::{NodeName, Point};
    use orchestrate_engine::usage::{Asked, Usage};

    use super::*;

    #[test]
    fn table_has_what_was_used_of_what_was_asked_for_and_the_lines_that_would_have_fitted() {
        let used = |stage: &str, asked: Asked| {
            let node = NodeName::new(stage, Point::default());
            let used = Usage { cpu_ms: 1_900_000, peak_bytes: 2_000_000_000, wall_ms: 1_000_000 };
            TimedEvent::now(Event::BatchUsed { node, members: 1, used, asked: Some(asked) })
        };
        let wide =
            Asked { threads: 8, memory_bytes: 16_000_000_000, time_ms: 14_400_000, gpu: Some("a100:1".to_owned()) };
        let fit = Asked { threads: 2, memory_bytes: 3_300_000_000, time_ms: 2_000_000, gpu: None };
        let text = text(&Efficiency::of(&[used("train", wide), used("cam", fit)]));
        // 2 × 1000 s + 5 min are 38.3 min.
        assert_eq!(
            text,
            "\
used of asked  batches  memory          longest batch               CPUs      GPUs
train          1        2 GB of 16 GB   16 min 40 s of 4 h 00 min   1.9 of 8  a100:1
cam            1        2 GB of 3.3 GB  16 min 40 s of 33 min 20 s  1.9 of 2  none
in orchestrate.toml, this would have fitted:
[cluster.stages.train]
memory = \"3.3 GB\"
time = \"39 min\"
threads = 2
"
        );
        assert_eq!(super::text(&Efficiency::default()), "");
        let sizes = [300_000_000, 3_000_000_000, 123_400_000_000].map(toml_size);
        assert_eq!(sizes, ["300 MB", "3 GB", "123.4 GB"]);
        assert_eq!([90, 7200, 7260].map(|secs| toml_time(Duration::from_secs(secs))), ["1 min", "2 h", "121 min"]);
    }
}
