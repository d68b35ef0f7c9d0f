//! Who listens to a run when no terminal does: plain lines, or one JSON object a line.

use std::io::Write;

use orchestrate_engine::event::{Event, Hits, Record, Reporter};

use crate::terminal;

/// Nodes that ran for less are only counted: a sweep has thousands of them.
const SHOWN_MS: u64 = 200;

/// One line for each node that ran for a while, failed or was tried again; the others are only counted.
pub(crate) struct Plain;

impl Reporter for Plain {
    fn report(&mut self, record: &Record) {
        tell(&record.event);
    }

    fn hits(&mut self, _hits: &Hits<'_>) {}
}

/// The line that tells people of an event; most events have none.
pub(crate) fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::NodeRan { node, elapsed_ms, .. } if *elapsed_ms >= SHOWN_MS => {
            format!("{:>9}  {node}", terminal::duration(*elapsed_ms))
        }
        Event::NodeFailed { node, cause, .. } => format!("   failed  {node}: {}", first_line(cause)),
        Event::NodeRetried { node, cause } => format!("    again  {node}: {}", first_line(cause)),
        Event::NodeDeferred { node, with: Some(with), .. } => {
            format!("    share  {node}: its result is that of {with}")
        }
        Event::NodeDeferred { node, with: None, .. } => format!("     wait  {node}: another process computes it"),
        Event::RunStopping => {
            "stopping: running nodes get a few seconds; press Ctrl-C again to stop at once".to_owned()
        }
        Event::Warning { message } => format!("warning: {message}"),
        _ => return None,
    })
}

fn tell(event: &Event) {
    if let Some(line) = line(event) {
        terminal::complain(&(line + "\n"));
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// One JSON object a line on standard output.
pub(crate) struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Reporter for Json<W> {
    fn report(&mut self, record: &Record) {
        match (&record.event, record.event.json_line()) {
            // A reader that went away wants no more lines; the run goes on for the store.
            (_, Some(line)) => drop(writeln!(self.out, "{line}")),
            (event @ (Event::RunStopping | Event::Warning { .. }), None) => tell(event),
            _ => {}
        }
    }

    fn tick(&mut self) {
        let _ = self.out.flush();
    }
}
