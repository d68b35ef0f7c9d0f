//! Shows the progress of a fetch: a bar a file on a terminal, elsewhere a line now and then.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use orchestrate_engine::resources::display_size;
use orchestrate_fetch::Progress;

use crate::terminal;

/// Longest time without a line in a log while bytes arrive.
const SILENCE: Duration = Duration::from_secs(10);

/// Redraws one bar in place.
#[derive(Default)]
pub(crate) struct Bars {
    bar: Option<ProgressBar>,
}

impl Bars {
    pub(crate) fn show(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Started { name, done, total } => {
                let bar =
                    self.start(total, "{msg}  {bar:24.cyan/dim} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
                bar.set_message(terminal::visible_line(name));
                // Bytes of earlier runs do not count for the speed of this one.
                bar.set_position(done);
                bar.reset_eta();
            }
            Progress::Received { done, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Progress::Unpacking { name, done, total } => {
                if done == 1 || self.bar.is_none() {
                    let bar = self.start(total as u64, "{msg}  {bar:24.cyan/dim} {pos}/{len}");
                    bar.set_message(terminal::visible_line(&format!("unpacking {name}")));
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(done as u64);
                }
            }
            other => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                if let Some(line) = line(&other) {
                    terminal::complain(&(line + "\n"));
                }
            }
        }
    }

    fn start(&mut self, total: u64, template: &str) -> &ProgressBar {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let style = ProgressStyle::with_template(template).expect("templates are written here");
        self.bar.insert(ProgressBar::new(total).with_style(style))
    }
}

/// Lines for logs.
#[derive(Default)]
pub(crate) struct Plain {
    spoke: Option<Instant>,
}

impl Plain {
    pub(crate) fn show(&mut self, progress: Progress<'_>) {
        let text = match progress {
            Progress::Received { name, done, total } if self.spoke.is_none_or(|spoke| spoke.elapsed() > SILENCE) => {
                Some(format!("{name}: {} of {}", display_size(done), display_size(total)))
            }
            other => line(&other),
        };
        if let Some(text) = text {
            self.spoke = Some(Instant::now());
            terminal::complain(&(text + "\n"));
        }
    }
}

/// The line of a step in a log; `None` for steps that only move a bar.
fn line(progress: &Progress<'_>) -> Option<String> {
    Some(match progress {
        Progress::Waiting { dir } => {
            let holder = orchestrate_cache::lock_holder(&dir.join(".lock"));
            format!("another fetch fills {}; waiting for it: {holder}", dir.display())
        }
        Progress::Damaged { name } => format!("{name} is gone or was changed; it is fetched again"),
        Progress::Needed { files, bytes } => {
            format!("fetching {}, {}", terminal::count(*files, "file"), display_size(*bytes))
        }
        Progress::Started { name, done: 0, total } => format!("{name}: {}", display_size(*total)),
        Progress::Started { name, done, total } => {
            format!("{name}: going on after {} of {}", display_size(*done), display_size(*total))
        }
        Progress::Retry { name, problem, delay } => {
            format!("{name}: {problem}; next try in {}", terminal::duration(delay.as_millis() as u64))
        }
        Progress::Fetched { name, bytes } => format!("{name}: {} fetched, checksums are right", display_size(*bytes)),
        Progress::Unpacked { name, files } => format!("{name}: {} unpacked", terminal::count(*files, "file")),
        Progress::Checking { files } => format!("checking {}", terminal::count(*files, "file")),
        Progress::Received { .. } | Progress::Unpacking { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_goes_on_says_from_where() {
        let started = |done| line(&Progress::Started { name: "a.zip", done, total: 2_000_000 }).unwrap();
        assert_eq!(started(0), format!("a.zip: {}", display_size(2_000_000)));
        assert_eq!(
            started(1_000_000),
            format!("a.zip: going on after {} of {}", display_size(1_000_000), display_size(2_000_000))
        );
        let retry =
            Progress::Retry { name: "a.zip", problem: "the connection broke off", delay: Duration::from_secs(2) };
        assert_eq!(line(&retry).unwrap(), "a.zip: the connection broke off; next try in 2.00 s");
    }
}
