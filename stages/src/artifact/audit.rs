//! The table of what a data set holds and what is odd about it.

use std::fmt::{self, Write};

use orchestrate_engine::stage::{ArtifactFacts, Content, Output, StageError};

use super::{Columns, Rows, Table, described};

/// Findings about a data set, in the order of a report.
///
/// Columns: `level` (`note` or `warning`), `topic` (a word such as `masks`), `count` (images, files or pairs),
/// `message` (one sentence), `names` (the first ones with commas between, and `…` if there are more; may be empty).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The findings.
    pub findings: Vec<Finding>,
}

/// A finding about a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// True if people should look at it.
    pub is_warning: bool,
    /// The topic, such as `masks`.
    pub topic: String,
    /// Number of images, files, patients or pairs that it is about.
    pub count: usize,
    /// One sentence that holds the number.
    pub message: String,
    /// The first few names, and `…` if there are more.
    pub names: String,
}

const NOTE: &str = "note";
const WARNING: &str = "warning";

impl Audit {
    /// Adds what is to be known.
    pub fn note(&mut self, topic: &str, count: usize, message: impl Into<String>) {
        self.add(false, topic, count, message.into(), String::new());
    }

    /// Adds what people should look at, with its first names; nothing if the count is 0.
    pub fn warn(&mut self, topic: &str, count: usize, message: impl Into<String>, names: Vec<String>) {
        if count > 0 {
            let more = if names.is_empty() || names.len() >= count { "" } else { ", …" };
            self.add(true, topic, count, message.into(), names.join(", ") + more);
        }
    }

    fn add(&mut self, is_warning: bool, topic: &str, count: usize, message: String, names: String) {
        self.findings.push(Finding { is_warning, topic: topic.to_owned(), count, message, names });
    }

    /// Returns the findings that people should look at.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_warning)
    }

    /// Describes the data set, one line a finding, notes first.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in self.findings.iter().filter(|finding| !finding.is_warning) {
            let _ = writeln!(text, "{finding}");
        }
        for finding in self.warnings() {
            let _ = writeln!(text, "warning: {finding}");
        }
        text
    }

    /// Returns the output, with a text that every run prints.
    pub fn reported(&self) -> Result<Output, StageError> {
        let mut output = self.output()?;
        output.files.push(("table.txt".to_owned(), Content::Bytes(self.text().into_bytes())));
        Ok(output)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.names.is_empty() { "" } else { ": " };
        write!(formatter, "{}{separator}{}", self.message, self.names)
    }
}

impl Table for Audit {
    const FACTS: &'static ArtifactFacts = &described::AUDIT;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let findings = || self.findings.iter();
        Ok(Columns::new()
            .words("level", findings().map(|finding| if finding.is_warning { WARNING } else { NOTE }))
            .text("topic", findings().map(|finding| &finding.topic))
            .integer("count", findings().map(|finding| finding.count as i64))
            .text("message", findings().map(|finding| &finding.message))
            .text("names", findings().map(|finding| &finding.names)))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let (levels, topics, counts) = (rows.text("level")?, rows.text("topic")?, rows.unsigned::<usize>("count")?);
        let (messages, names) = (rows.text("message")?, rows.text("names")?);
        let texts = topics.into_iter().zip(messages).zip(names);
        let finding = |((level, count), ((topic, message), names)): ((String, usize), ((String, String), String))| {
            Finding { is_warning: level == WARNING, topic, count, message, names }
        };
        Ok(Self { findings: levels.into_iter().zip(counts).zip(texts).map(finding).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_is_read_as_it_was_written_and_told_notes_first() {
        let mut audit = Audit::default();
        audit.warn("masks", 3, "3 images have no mask", vec!["a, b.png".to_owned(), "c.png".to_owned()]);
        audit.note("images", 9, "9 images");
        audit.warn("sizes", 0, "0 images are odd", vec![]);
        assert_eq!(Audit::decode(&audit.encode().unwrap()).unwrap(), audit);
        assert_eq!(audit.text(), "9 images\nwarning: 3 images have no mask: a, b.png, c.png, …\n");
    }
}
