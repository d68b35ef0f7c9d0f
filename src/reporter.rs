//! Listeners of a run without a terminal: plain lines, or one JSON object a line.

use std::io::{self, Write};

use orchestrate_engine::diagnostic::{Diagnostic, Severity, SpecError};
use orchestrate_engine::event::{Event, Hits, Reporter, TimedEvent, message_line};
use orchestrate_engine::source::SourceMap;

use crate::estimate::{Estimate, ended};
use crate::outcome::{Outcome, sentence};
use crate::terminal;

/// The shortest duration of a node that gets a line; a sweep has thousands of shorter ones.
const SHOWN_MS: u64 = 200;

/// One line for each node that ran for a while, waits, failed or was retried; and the state at the start, after each
/// tenth of the nodes, and at the end.
pub(crate) struct Plain<'a> {
    estimate: Estimate<'a>,
    /// Nodes of the run, and how many of them have ended.
    nodes: usize,
    ended: usize,
    /// Tenths of the nodes that were told of. `None` until something has to run: a run of hits tells nothing.
    told: Option<usize>,
}

impl<'a> Plain<'a> {
    pub(crate) fn new(estimate: Estimate<'a>) -> Self {
        Self { estimate, nodes: 0, ended: 0, told: None }
    }

    fn end(&mut self, nodes: usize) {
        self.ended += nodes;
        let Some(told) = self.told else { return };
        let tenths = (self.ended * 10).checked_div(self.nodes).unwrap_or(10);
        if tenths > told {
            self.told = Some(tenths);
            self.state();
        }
    }

    fn state(&self) {
        let left = self.estimate.rest().map_or_else(String::new, |rest| format!(", {rest}"));
        let state = format!("{}/{}", self.ended, self.nodes);
        terminal::complain(&format!("{state:>9}  nodes{left}\n"));
    }
}

impl Reporter for Plain<'_> {
    fn report(&mut self, event: &TimedEvent) {
        tell(&event.event);
        self.estimate.report(&event.event);
        match &event.event {
            Event::RunStarted(started) => self.nodes = started.nodes,
            Event::NodeStarted { .. } if self.told.is_none() => {
                self.told = Some((self.ended * 10).checked_div(self.nodes).unwrap_or(10));
                self.state();
            }
            event if ended(event).is_some() => self.end(1),
            _ => {}
        }
    }

    fn hits(&mut self, hits: &Hits<'_>) {
        self.estimate.hits(hits);
        self.end(hits.nodes.len());
    }
}

/// Returns the line for an event; most events have none.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::NodeRan { node, elapsed_ms, .. } if *elapsed_ms >= SHOWN_MS => {
            format!("{:>9}  {node}", terminal::duration(*elapsed_ms))
        }
        Event::NodeDeferred { node, with: Some(with), .. } => {
            format!("    share  {node}: its result is that of {with}")
        }
        Event::NodeDeferred { node, with: None, .. } => format!("     wait  {node}: another process computes it"),
        event => return problem(event),
    })
}

/// Returns the line for an event that people should see even beside progress bars.
pub(crate) fn problem(event: &Event) -> Option<String> {
    Some(match event {
        // The cause follows at the end, with the log.
        Event::NodeFailed { node, .. } => format!("   failed  {node}"),
        Event::NodeRetried { node, cause } => {
            let mut lines = cause.lines();
            let first = lines.next().unwrap_or_default();
            let second = lines.next().filter(|_| first.ends_with(':')).map(|line| format!(" {line}"));
            format!("    again  {node}: {first}{}", second.unwrap_or_default())
        }
        Event::JobSubmitted { job, tasks, is_adopted, .. } => {
            let word = if *is_adopted { "attach" } else { "submit" };
            let job = if job.is_empty() { "that is looked for" } else { job };
            format!("{word:>9}  job {job}: {}", terminal::count(*tasks, "task"))
        }
        Event::DevicesFound { devices } if devices.is_empty() => "device: cpu, as no GPU was found".to_owned(),
        Event::DevicesFound { devices } => {
            format!("device: {}; --device cpu keeps all on the CPU", devices.join(", "))
        }
        Event::RunStopping => {
            "stopping: nodes that run here get a few seconds; press Ctrl-C again to stop at once".to_owned()
        }
        Event::Uploading { results } => {
            let results = terminal::count(*results, "result");
            format!("uploading {results} to the remote; press Ctrl-C to leave them for the next run")
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

/// One JSON object a line; the help of `run --json` documents them.
pub(crate) struct Json<W> {
    out: W,
    /// The first failure; no line follows it, and the run goes on for the store.
    written: io::Result<()>,
}

impl<W: Write> Json<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, written: Ok(()) }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) {
        if self.written.is_ok() {
            self.written = writeln!(self.out, "{line}");
        }
    }

    /// Writes a line for an error that is not about a node.
    pub(crate) fn error(&mut self, message: &str) {
        self.line(&message_line("error", message, None));
    }

    /// Writes a line for a text that people see at the end of a run, such as a table.
    pub(crate) fn text(&mut self, node: &str, text: &str) {
        self.line(&serde_json::json!({ "reason": "text", "node": node, "text": text }).to_string());
    }

    /// Writes a line for each finding about a spec.
    pub(crate) fn findings(&mut self, sources: &SourceMap, findings: &[Diagnostic]) {
        let mut places = sources.locator();
        for finding in findings {
            let reason = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let place = finding.span.as_ref().and_then(|span| places.locate(span.start));
            let at = place.map(|place| format!("{}:{}:{}", place.source.name, place.line, place.column));
            self.line(&message_line(reason, &finding.message, at.as_deref()));
        }
    }

    /// Writes the error that ended the command, if one did. Returns the outcome: a failure if lines could not be
    /// written.
    pub(crate) fn end(mut self, ended: anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
        if let Err(error) = &ended {
            match error.downcast_ref::<SpecError>() {
                Some(found) => self.findings(&found.sources, &found.diagnostics),
                None => self.error(&sentence(error)),
            }
        }
        let flushed = self.out.flush();
        let written = terminal::written(self.written.and(flushed));
        match ended {
            Ok(outcome) => outcome.after_saying(written),
            Err(error) => Err(error),
        }
    }
}

impl<W: Write> Reporter for Json<W> {
    fn report(&mut self, event: &TimedEvent) {
        if let Some(line) = event.event.json_line() {
            self.line(&line);
        }
        if let Event::RunStopping | Event::Uploading { .. } | Event::Warning { .. } = event.event {
            tell(&event.event);
        }
    }

    fn tick(&mut self) {
        if self.written.is_ok() {
            self.written = self.out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn end_after_two_lines(out: impl Write, ended: anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
        let mut json = Json::new(out);
        for _ in 0..2 {
            json.error("a line of some thirty bytes");
            json.tick();
        }
        json.end(ended)
    }

    #[test]
    fn a_line_that_cannot_be_written_fails_the_command_when_it_ends() {
        assert_eq!(end_after_two_lines(Full(1000), Ok(Outcome::Done)).unwrap(), Outcome::Done);
        let error = end_after_two_lines(Full(80), Ok(Outcome::Done)).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write to standard output: "), "{error:#}");
        assert_eq!(end_after_two_lines(Full(0), Ok(Outcome::Interrupted)).unwrap(), Outcome::Interrupted);
        let error = end_after_two_lines(Full(0), Err(anyhow::anyhow!("the store fails"))).unwrap_err();
        assert_eq!(error.to_string(), "the store fails");
    }

    #[test]
    fn the_error_that_ended_a_command_is_a_line() {
        let mut out = Vec::new();
        assert!(Json::new(&mut out).end(Err(anyhow::anyhow!("the store fails").context("cannot run"))).is_err());
        let expected = "{\"reason\":\"error\",\"message\":\"cannot run: the store fails\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
