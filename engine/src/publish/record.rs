//! `.orchestrate-published.toml`: whose a published folder is, and every file that we wrote there.
//!
//! While a run publishes, blocks are appended, of which later ones replace earlier ones of the same name; a block is synced
//! before the files that it names get their names. At the end of the run all is written anew at once, and ends in a line that
//! says so. After a kill at any point every file of ours is therefore in the record, perhaps with one that is not there yet,
//! and a last block that is cut is passed over.

use std::fmt::{self, Write};
use std::path::{Component, Path};

use indexmap::IndexMap;
use orchestrate_cache::{ActionKey, Digest, OutputDigest};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Name of the record in the root of a published folder.
pub const RECORD: &str = ".orchestrate-published.toml";

/// Raised when earlier programs could not read it.
const FORMAT: u32 = 1;

const HEAD: &str = "\
# What orchestrate published here: only these files are ever replaced or removed.
# To hand the folder over to another stage, write its owner below.
";

/// The last line of a record that was written at once.
const END: &str = "# end\n";

/// The owner of a published folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the stage.
    pub stage: String,
    /// The spec, relative to the project's root where it lies below it.
    pub spec: String,
}

/// The record of a published folder.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) owner: Owner,
    /// By the name of the folder; empty for a stage without axes.
    pub(super) points: IndexMap<String, Entry>,
    /// Tables of all points, by name.
    pub(super) tables: IndexMap<String, Table>,
    /// Folders in which files are written before they get their names; what a killed process left there is ours.
    pub(super) staging: Vec<String>,
    /// Whether it was written at once, so that there is nothing to sum up.
    pub(super) whole: bool,
}

/// The record of one published node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Entry {
    pub(super) folder: String,
    pub(super) node: String,
    pub(super) key: ActionKey,
    pub(super) outputs: Vec<NamedOutput>,
    /// The run that published it.
    pub(super) run: String,
    /// Whether the last run did not come to it.
    #[serde(default)]
    pub(super) older_run: bool,
    /// Which of the files is the sidecar.
    pub(super) sidecar: String,
    /// Files that may still be there instead of those that follow, as a publication was not ended.
    #[serde(default)]
    pub(super) before: Vec<FileRecord>,
    pub(super) files: Vec<FileRecord>,
}

/// One output of a node, which is written as `DIGEST NAME`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NamedOutput {
    pub(super) name: String,
    pub(super) digest: OutputDigest,
}

/// One file that we wrote, which is written as `SIZE MTIME_NS DIGEST NAME`: of thousands of texts less is to be parsed than of
/// tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileRecord {
    /// Relative to the folder of its point, or for a table to the root.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) digest: Digest,
}

impl NamedOutput {
    fn parse(text: &str) -> Option<Self> {
        let (digest, name) = text.split_once(' ')?;
        Some(Self { name: name.to_owned(), digest: OutputDigest(digest.parse().ok()?) })
    }
}

impl FileRecord {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut next = || parts.next();
        let (size, mtime_ns, digest) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
        Some(Self { name: next()?.to_owned(), size, mtime_ns, digest })
    }
}

/// Reads values that are written as texts.
struct Texts<T>(fn(&str) -> Option<T>, &'static str);

impl<T> Visitor<'_> for Texts<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for NamedOutput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Texts(Self::parse, "`DIGEST NAME`"))
    }
}

impl<'de> Deserialize<'de> for FileRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Texts(Self::parse, "`SIZE MTIME_NS DIGEST NAME`"))
    }
}

/// One table of all points.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    /// Of what it was made: the digest of points and contents.
    pub(super) of: Digest,
    /// Why there is none.
    #[serde(default)]
    pub(super) missing: Option<String>,
    /// Versions that may be there.
    pub(super) files: Vec<FileRecord>,
}

/// Why a record cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is of a later version of orchestrate")]
    Newer,
    #[error("{0}")]
    Wrong(String),
}

#[derive(Deserialize)]
struct Blocks {
    format: u32,
    owner: Owner,
    #[serde(default)]
    point: Vec<Entry>,
    #[serde(default)]
    table: Vec<Table>,
    #[serde(default)]
    staging: Vec<Staging>,
}

#[derive(Deserialize)]
struct Staging {
    folder: String,
}

impl Record {
    /// Nothing is published yet.
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, points: IndexMap::new(), tables: IndexMap::new(), staging: Vec::new(), whole: false }
    }

    /// Reads a record. `None` where its writer was killed before it said whose the folder is, so that it names nothing.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Unreadable> {
        let blocks = match toml::from_str::<Blocks>(text) {
            Ok(blocks) => blocks,
            Err(error) => match cut(text) {
                Some(Some(blocks)) => blocks,
                Some(None) => return Ok(None),
                None => return Err(Unreadable::Wrong(error.message().to_owned())),
            },
        };
        if blocks.format > FORMAT {
            return Err(Unreadable::Newer);
        }
        let mut record = Self::new(blocks.owner);
        // Anybody may write here, and what the record names is removed.
        for mut entry in blocks.point {
            if !entry.folder.is_empty() && !is_inside(&entry.folder) {
                continue;
            }
            entry.files.retain(|file| is_inside(&file.name));
            entry.before.retain(|file| is_inside(&file.name));
            record.points.insert(entry.folder.clone(), entry);
        }
        let tables = blocks.table.into_iter().filter(|table| is_inside(&table.name));
        record.tables = tables.map(|table| (table.name.clone(), table)).collect();
        record.staging = blocks.staging.into_iter().map(|staging| staging.folder).filter(|it| is_staging(it)).collect();
        record.whole = text.ends_with(END);
        Ok(Some(record))
    }

    /// The text of all that is known.
    pub(super) fn text(&self) -> String {
        let mut text = self.head();
        self.points.values().for_each(|entry| text.push_str(&entry.block()));
        self.tables.values().for_each(|table| text.push_str(&table.block()));
        text.push('\n');
        text.push_str(END);
        text
    }

    /// How a record begins.
    pub(super) fn head(&self) -> String {
        let Owner { experiment, stage, spec } = &self.owner;
        let [experiment, stage, spec] = [experiment, stage, spec].map(|text| quoted(text));
        format!("{HEAD}format = {FORMAT}\n\n[owner]\nexperiment = {experiment}\nstage = {stage}\nspec = {spec}\n")
    }
}

impl Entry {
    /// Whether it names these results.
    pub(super) fn is_of(&self, key: ActionKey, outputs: &[(String, OutputDigest)]) -> bool {
        let same =
            |(one, (name, digest)): (&NamedOutput, &(String, OutputDigest))| one.name == *name && one.digest == *digest;
        self.key == key && self.outputs.len() == outputs.len() && self.outputs.iter().zip(outputs).all(same)
    }

    pub(super) fn block(&self) -> String {
        let Self { folder, node, key, run, sidecar, .. } = self;
        let [folder, node, run, sidecar] = [folder, node, run, sidecar].map(|text| quoted(text));
        let mut text = format!("\n[[point]]\nfolder = {folder}\nnode = {node}\nkey = '{}'\n", key.0);
        let output = |output: &NamedOutput| quoted(&format!("{} {}", output.digest.0, output.name));
        let outputs: Vec<_> = self.outputs.iter().map(output).collect();
        let _ = writeln!(text, "outputs = [{}]\nrun = {run}", outputs.join(", "));
        if self.older_run {
            text.push_str("older_run = true\n");
        }
        let _ = writeln!(text, "sidecar = {sidecar}");
        if !self.before.is_empty() {
            files("before", &self.before, &mut text);
        }
        files("files", &self.files, &mut text);
        text
    }
}

impl Table {
    pub(super) fn block(&self) -> String {
        let mut text = format!("\n[[table]]\nname = {}\nof = '{}'\n", quoted(&self.name), self.of);
        if let Some(missing) = &self.missing {
            let _ = writeln!(text, "missing = {}", quoted(missing));
        }
        files("files", &self.files, &mut text);
        text
    }
}

/// The block of a folder in which files are written before they get their names.
pub(super) fn staging_block(folder: &str) -> String {
    format!("\n[[staging]]\nfolder = {}\n", quoted(folder))
}

/// How the name of such a folder begins.
pub(super) const STAGING: &str = ".orchestrate-new-";

fn is_staging(name: &str) -> bool {
    name.strip_prefix(STAGING).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Whether a relative name stays below the folder that it is relative to, and is written in one way only.
pub(super) fn is_inside(name: &str) -> bool {
    let normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty() && Path::new(name).components().all(normal) && !name.contains("//") && !name.ends_with('/')
}

fn files(key: &str, files: &[FileRecord], text: &mut String) {
    let _ = writeln!(text, "{key} = [");
    for FileRecord { name, size, mtime_ns, digest } in files {
        let _ = writeln!(text, "  {},", quoted(&format!("{size} {mtime_ns} {digest} {name}")));
    }
    text.push_str("]\n");
}

fn quoted(text: &str) -> String {
    // Where nothing needs an escape, there is none to look for.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\'') {
        return format!("'{text}'");
    }
    // A text of several lines must not look like a block that begins.
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            _ if c.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads a record whose end is cut off; `None` where it is broken in another way.
///
/// What is appended is written at once, and only a whole block is acted on, so at most the last block is missing a part.
fn cut(text: &str) -> Option<Option<Blocks>> {
    if text.ends_with(END) {
        return None;
    }
    let text = text.split('\0').next().unwrap_or_default();
    let whole_lines = text.rfind('\n').map(|last| &text[..=last]);
    let whole_blocks = text.rfind("\n[[").map(|last| &text[..=last]);
    let read = [whole_lines, whole_blocks].into_iter().flatten().find_map(|text| toml::from_str(text).ok());
    let is_head = whole_blocks.is_none() && (HEAD.starts_with(text) || text.starts_with(HEAD));
    read.map(Some).or(is_head.then_some(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> FileRecord {
        FileRecord { name: name.to_owned(), size: 3, mtime_ns: 1_700_000_000_000_000_001, digest: Digest::of(b"abc") }
    }

    fn entry(folder: &str) -> Entry {
        Entry {
            folder: folder.to_owned(),
            node: format!("score[{folder}]"),
            key: ActionKey(Digest::of(b"key")),
            outputs: vec![NamedOutput { name: "scores".to_owned(), digest: OutputDigest(Digest::of(b"out")) }],
            run: "a run".to_owned(),
            older_run: false,
            sidecar: "provenance.json".to_owned(),
            before: Vec::new(),
            files: vec![file("scores.parquet"), file("deep/a \"quoted\"\n[[point]] name")],
        }
    }

    fn record() -> Record {
        let owner = Owner { experiment: "q \\".to_owned(), stage: "score".to_owned(), spec: "q.toml".to_owned() };
        let mut record = Record::new(owner);
        for folder in ["model=a", "model=b"] {
            record.points.insert(folder.to_owned(), entry(folder));
        }
        let of = Digest::of(b"of");
        let table = Table { name: "scores.parquet".to_owned(), of, missing: None, files: vec![file("scores.parquet")] };
        record.tables.insert(table.name.clone(), table);
        record
    }

    fn parse(text: &str) -> Record {
        Record::parse(text).unwrap().unwrap()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut record = record();
        record.points[0].older_run = true;
        record.points[1].before = vec![file("old")];
        let read = parse(&record.text());
        assert!(read.whole);
        assert_eq!((read.owner, read.points, read.tables), (record.owner, record.points, record.tables));
    }

    #[test]
    fn later_blocks_replace_earlier_ones() {
        let changed = Entry { older_run: true, files: vec![file("new")], ..entry("model=a") };
        let text = record().text() + &staging_block(".orchestrate-new-1a") + &changed.block();
        let read = parse(&text);
        assert!(!read.whole);
        assert_eq!(read.points["model=a"], changed);
        assert_eq!((read.points.len(), read.staging.as_slice()), (2, &[".orchestrate-new-1a".to_owned()][..]));
    }

    #[test]
    fn a_record_that_is_cut_anywhere_has_all_whole_blocks_but_the_last() {
        let record = record();
        let text = record.head() + &entry("model=a").block() + &entry("model=b").block();
        for end in 0..text.len() - 1 {
            let points = Record::parse(&text[..end]).unwrap().map_or(0, |read| read.points.len());
            // The last line end is not missed.
            let whole = usize::from(end + 1 >= record.head().len() + entry("model=a").block().len());
            assert!(points == whole, "{points} points in {:?}", &text[..end]);
        }
        assert_eq!(parse(&(text + "\0\0\0")).points.len(), 2);
    }

    #[test]
    fn a_record_that_is_broken_elsewhere_is_refused() {
        let text = record().text();
        for broken in [text.replacen("'3 17", "'three 17", 1), "something else".to_owned(), "[[x".to_owned()] {
            assert!(matches!(Record::parse(&broken), Err(Unreadable::Wrong(_))), "{broken}");
        }
        assert_eq!(Record::parse(&text.replace("format = 1", "format = 2")).unwrap_err(), Unreadable::Newer);
    }

    #[test]
    fn names_that_lead_elsewhere_are_passed_over() {
        let mut record = record();
        record.points[0].files = ["../x", "/x", "a/../../x", "./x", "a//b", "", "x"].map(file).to_vec();
        record.points.insert("..".to_owned(), entry(".."));
        record.staging = vec!["..".to_owned()];
        let text = record.text() + &staging_block("../x") + &staging_block(".orchestrate-new-../x");
        let read = parse(&text);
        assert_eq!(read.points["model=a"].files, [file("x")]);
        assert!(!read.points.contains_key("..") && read.staging.is_empty());
    }
}
