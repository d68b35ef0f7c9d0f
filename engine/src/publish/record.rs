//! `.orchestrate-published.toml`: the owner of a published folder, and every file that we wrote there.
//!
//! While a run publishes, it appends blocks; a later block replaces an earlier one of the same name. A block is synced
//! before the files in it get their names. At the end of the run the whole record is rewritten in one step, and ends in
//! a line that says so. After a kill at any point the record therefore names every file of ours, and perhaps one that
//! does not exist yet. A torn last block is ignored.

use std::fmt::Write;
use std::path::{Component, Path};

use indexmap::IndexMap;
use orchestrate_cache::{ActionKey, Digest, FileEntry, OutputDigest, Store};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Name of the record, in the root of a published folder.
pub const RECORD: &str = ".orchestrate-published.toml";

/// The version of the format; raised when earlier programs cannot read it.
const FORMAT: u32 = 1;

const HEAD: &str = "\
# What orchestrate published here: only these files are ever replaced or removed.
# To hand the folder over to another stage, write its owner below.
";

/// The last line of a record that was written in one step.
const END: &str = "# end\n";

/// The owner of a published folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the stage.
    pub stage: String,
    /// Path of the spec, relative to the project's root if it lies below it. A path that is not UTF-8 is quoted and
    /// escaped.
    pub spec: String,
}

impl Owner {
    /// Makes an owner; `spec` is relative to the project's root where possible.
    pub(super) fn new(experiment: &str, stage: &str, spec: &Path) -> Self {
        let spec = spec.to_str().map_or_else(|| format!("{spec:?}"), str::to_owned);
        Self { experiment: experiment.to_owned(), stage: stage.to_owned(), spec }
    }
}

/// The record of a published folder.
#[derive(Clone, Debug)]
pub(super) struct FolderRecord {
    pub(super) owner: Owner,
    /// Points by the name of their folder, which is empty for a stage without axes.
    pub(super) points: IndexMap<String, PointRecord>,
    /// Tables of all points, by name.
    pub(super) tables: IndexMap<String, TableRecord>,
    /// Staging folders, in which files are written before they get their names; what a killed process left there is
    /// ours.
    pub(super) staging: Vec<String>,
    /// True if it was written in one step, so that it need not be rewritten.
    pub(super) whole: bool,
}

/// The record of one published node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct PointRecord {
    pub(super) folder: String,
    pub(super) node: String,
    pub(super) key: ActionKey,
    /// Written as texts, `DIGEST NAME`.
    #[serde(deserialize_with = "outputs")]
    pub(super) outputs: Vec<(String, OutputDigest)>,
    /// The run that published it.
    pub(super) run: String,
    /// True if the last run did not reach this point.
    #[serde(default)]
    pub(super) older_run: bool,
    /// Name of the sidecar among the files.
    pub(super) sidecar: String,
    /// Files that may still exist instead of the new ones, as a publication did not finish.
    #[serde(default)]
    pub(super) before: Vec<FileRecord>,
    pub(super) files: Vec<FileRecord>,
}

/// One file that we wrote. It is written as a text, `SIZE MTIME_NS DIGEST NAME`: thousands of texts parse faster than
/// tables.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct FileRecord {
    /// Relative to the folder of its point, or for a table to the root.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) digest: Digest,
}

impl TryFrom<String> for FileRecord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let mut fields = text.splitn(4, ' ');
            let mut next = || fields.next();
            let (size, mtime_ns, digest) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
            Some(Self { name: next()?.to_owned(), size, mtime_ns, digest })
        };
        parse().ok_or_else(|| format!("invalid value: string {text:?}, expected `SIZE MTIME_NS DIGEST NAME`"))
    }
}

/// Reads outputs from texts, `DIGEST NAME`.
fn outputs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, OutputDigest)>, D::Error> {
    let parse = |text: &String| {
        let (digest, name) = text.split_once(' ')?;
        Some((name.to_owned(), OutputDigest(digest.parse().ok()?)))
    };
    let wrong = |text: &String| D::Error::custom(format!("invalid value: string {text:?}, expected `DIGEST NAME`"));
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse(text).ok_or_else(|| wrong(text))).collect()
}

/// The record of one table of all points.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct TableRecord {
    pub(super) name: String,
    /// The digest of its points and their contents.
    pub(super) of: Digest,
    /// The reason why the table does not exist.
    #[serde(default)]
    pub(super) missing: Option<String>,
    /// Versions of the file that may exist.
    pub(super) files: Vec<FileRecord>,
}

/// The reason why a record cannot be used.
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
    point: Vec<PointRecord>,
    #[serde(default)]
    table: Vec<TableRecord>,
    #[serde(default)]
    staging: Vec<Staging>,
}

#[derive(Deserialize)]
struct Staging {
    folder: String,
}

impl FolderRecord {
    /// Makes the record of an empty folder.
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, points: IndexMap::new(), tables: IndexMap::new(), staging: Vec::new(), whole: false }
    }

    /// Reads a record; `None` if its writer was killed before it wrote the owner.
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
        // Anybody may edit the record, and files in it are removed: names must not lead out of the folder.
        for mut point in blocks.point {
            if !point.folder.is_empty() && !is_inside(&point.folder) {
                continue;
            }
            point.files.retain(|file| is_inside(&file.name));
            point.before.retain(|file| is_inside(&file.name));
            record.points.insert(point.folder.clone(), point);
        }
        let tables = blocks.table.into_iter().filter(|table| is_inside(&table.name));
        record.tables = tables.map(|table| (table.name.clone(), table)).collect();
        record.staging = blocks.staging.into_iter().map(|staging| staging.folder).filter(|it| is_staging(it)).collect();
        record.whole = text.ends_with(END);
        Ok(Some(record))
    }

    /// The whole record as text.
    pub(super) fn text(&self) -> String {
        let mut text = self.head();
        self.points.values().for_each(|point| text.push_str(&point.block()));
        self.tables.values().for_each(|table| text.push_str(&table.block()));
        text.push('\n');
        text.push_str(END);
        text
    }

    /// The beginning of the record, with the owner.
    pub(super) fn head(&self) -> String {
        let Owner { experiment, stage, spec } = &self.owner;
        let [experiment, stage, spec] = [experiment, stage, spec].map(|text| quoted(text));
        format!("{HEAD}format = {FORMAT}\n\n[owner]\nexperiment = {experiment}\nstage = {stage}\nspec = {spec}\n")
    }
}

impl PointRecord {
    /// Returns whether the point shows these results.
    pub(super) fn is_of(&self, key: ActionKey, outputs: &[(String, OutputDigest)]) -> bool {
        self.key == key && self.outputs == outputs
    }

    /// The stored files of the outputs, each with its published name.
    pub(super) fn stored_files(&self, store: &Store) -> Vec<(String, FileEntry)> {
        let files = self.outputs.iter().flat_map(|(output, digest)| {
            let files = store.artifact(digest).unwrap_or_default().files.into_iter();
            files.map(|file| (published_name(&self.outputs, output, &file.name), file))
        });
        files.collect()
    }

    /// The record as a block of text.
    pub(super) fn block(&self) -> String {
        let Self { folder, node, key, run, sidecar, .. } = self;
        let [folder, node, run, sidecar] = [folder, node, run, sidecar].map(|text| quoted(text));
        let mut text = format!("\n[[point]]\nfolder = {folder}\nnode = {node}\nkey = '{}'\n", key.0);
        let output = |(name, digest): &(String, OutputDigest)| quoted(&format!("{} {name}", digest.0));
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

impl TableRecord {
    /// The record as a block of text.
    pub(super) fn block(&self) -> String {
        let mut text = format!("\n[[table]]\nname = {}\nof = '{}'\n", quoted(&self.name), self.of);
        if let Some(missing) = &self.missing {
            let _ = writeln!(text, "missing = {}", quoted(missing));
        }
        files("files", &self.files, &mut text);
        text
    }
}

/// The published name of an output's file: several outputs get a folder each.
pub(super) fn published_name(outputs: &[(String, OutputDigest)], output: &str, file: &str) -> String {
    if outputs.len() == 1 { file.to_owned() } else { format!("{output}/{file}") }
}

/// The block of a staging folder.
pub(super) fn staging_block(folder: &str) -> String {
    format!("\n[[staging]]\nfolder = {}\n", quoted(folder))
}

/// Prefix of the name of a staging folder.
pub(super) const STAGING: &str = ".orchestrate-new-";

fn is_staging(name: &str) -> bool {
    name.strip_prefix(STAGING).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Returns whether a relative name stays below its folder and is in normal form.
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
    // The common case needs no escape.
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

/// Reads a record whose end is cut off; `None` if it is damaged in another way.
///
/// Each append is one write, and only whole blocks have an effect, so only the last block can be torn.
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

    fn point(folder: &str) -> PointRecord {
        PointRecord {
            folder: folder.to_owned(),
            node: format!("score[{folder}]"),
            key: ActionKey(Digest::of(b"key")),
            outputs: vec![("scores".to_owned(), OutputDigest(Digest::of(b"out")))],
            run: "a run".to_owned(),
            older_run: false,
            sidecar: "provenance.json".to_owned(),
            before: Vec::new(),
            files: vec![file("scores.parquet"), file("deep/a \"quoted\"\n[[point]] name")],
        }
    }

    fn record() -> FolderRecord {
        let owner = Owner { experiment: "q \\".to_owned(), stage: "score".to_owned(), spec: "q.toml".to_owned() };
        let mut record = FolderRecord::new(owner);
        for folder in ["model=a", "model=b"] {
            record.points.insert(folder.to_owned(), point(folder));
        }
        let of = Digest::of(b"of");
        let table =
            TableRecord { name: "scores.parquet".to_owned(), of, missing: None, files: vec![file("scores.parquet")] };
        record.tables.insert(table.name.clone(), table);
        record
    }

    fn parse(text: &str) -> FolderRecord {
        FolderRecord::parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_written_record_is_read_back() {
        let mut record = record();
        record.points[0].older_run = true;
        record.points[1].before = vec![file("old")];
        let read = parse(&record.text());
        assert!(read.whole);
        assert_eq!((read.owner, read.points, read.tables), (record.owner, record.points, record.tables));
    }

    #[test]
    fn later_blocks_replace_earlier_ones() {
        let changed = PointRecord { older_run: true, files: vec![file("new")], ..point("model=a") };
        let text = record().text() + &staging_block(".orchestrate-new-1a") + &changed.block();
        let read = parse(&text);
        assert!(!read.whole);
        assert_eq!(read.points["model=a"], changed);
        assert_eq!((read.points.len(), read.staging.as_slice()), (2, &[".orchestrate-new-1a".to_owned()][..]));
    }

    #[test]
    fn a_record_cut_anywhere_keeps_its_whole_blocks() {
        let record = record();
        let text = record.head() + &point("model=a").block() + &point("model=b").block();
        for end in 0..text.len() - 1 {
            let points = FolderRecord::parse(&text[..end]).unwrap().map_or(0, |read| read.points.len());
            // A missing newline at the very end does no harm.
            let whole = usize::from(end + 1 >= record.head().len() + point("model=a").block().len());
            assert!(points == whole, "{points} points in {:?}", &text[..end]);
        }
        assert_eq!(parse(&(text + "\0\0\0")).points.len(), 2);
    }

    #[test]
    fn a_record_damaged_elsewhere_is_rejected() {
        let text = record().text();
        for broken in [text.replacen("'3 17", "'three 17", 1), "something else".to_owned(), "[[x".to_owned()] {
            assert!(matches!(FolderRecord::parse(&broken), Err(Unreadable::Wrong(_))), "{broken}");
        }
        assert_eq!(FolderRecord::parse(&text.replace("format = 1", "format = 2")).unwrap_err(), Unreadable::Newer);
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_ignored() {
        let mut record = record();
        record.points[0].files = ["../x", "/x", "a/../../x", "./x", "a//b", "", "x"].map(file).to_vec();
        record.points.insert("..".to_owned(), point(".."));
        record.staging = vec!["..".to_owned()];
        let text = record.text() + &staging_block("../x") + &staging_block(".orchestrate-new-../x");
        let read = parse(&text);
        assert_eq!(read.points["model=a"].files, [file("x")]);
        assert!(!read.points.contains_key("..") && read.staging.is_empty());
    }
}
