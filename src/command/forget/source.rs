//! The files, images and patients that results of a store name, and the meaning of a text among them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use orchestrate_cache::{ActionKey, ActionResult, Digest, FileDigests, OutputDigest, Store};
use orchestrate_stages::artifact::{Labels, Table};

use crate::terminal;

/// The most candidates that an error lists.
const CANDIDATES_SHOWN: usize = 12;

/// Everything that a text may mean.
#[derive(Default)]
pub(super) struct Sources {
    /// Names in keys of external files, by digest.
    files: BTreeMap<Digest, BTreeSet<String>>,
    /// Tables of images and patients.
    tables: BTreeMap<OutputDigest, Images>,
    /// Keys of all recorded and collected results.
    pub(super) known: HashSet<ActionKey>,
}

/// The images of one table `labels`.
struct Images {
    /// The first node that made the table.
    node: String,
    /// Name, patient, and digest of the external file, where there are such.
    rows: Vec<(String, Option<String>, Option<Digest>)>,
}

/// Something to forget.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Its description, such as `images/0001.png (5f3a…)`.
    pub(super) title: String,
    /// Digests of its files.
    pub(super) files: HashSet<Digest>,
    /// Names of its files and images.
    pub(super) names: BTreeSet<String>,
    /// Tables `labels` that name it.
    tables: HashSet<OutputDigest>,
}

/// The reason why a text means nothing, or several things.
#[derive(Debug)]
pub(super) struct Unresolved {
    pub(super) message: String,
    /// True if it means nothing.
    pub(super) is_unknown: bool,
}

impl Source {
    /// A text that only logs of runs have.
    pub(super) fn in_logs(text: &str) -> Self {
        Self {
            title: format!("{text} (only in logs of runs)"),
            names: BTreeSet::from([text.to_owned()]),
            ..Self::default()
        }
    }

    /// Returns whether results were made of it.
    pub(super) fn has_results(&self) -> bool {
        !self.files.is_empty() || !self.tables.is_empty()
    }

    /// Returns whether a stage saw the source itself to make this result.
    pub(super) fn was_read_for(&self, result: &ActionResult) -> bool {
        let tables = || result.outputs.iter().any(|(name, output)| is_labels(name) && self.tables.contains(output));
        files_of(result).any(|(_, digest)| self.files.contains(&digest)) || tables()
    }

    fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.names.extend(other.names);
        self.tables.extend(other.tables);
    }
}

/// Lists the external files in the preimage of a result, by their names in the key.
fn files_of(result: &ActionResult) -> impl Iterator<Item = (&String, Digest)> {
    let files = result.preimage["files"].as_object().into_iter().flatten();
    files.filter_map(|(name, digest)| Some((name, digest.as_str()?.parse().ok()?)))
}

fn is_labels(output: &str) -> bool {
    output == Labels::OUTPUT
}

impl Sources {
    /// Reads them from all recorded and collected results.
    pub(super) fn read(store: &Store) -> anyhow::Result<Self> {
        let mut sources = Self::default();
        for (key, result, _) in store.results() {
            sources.add_files(key, &result);
            for (_, output) in result.outputs.iter().filter(|(name, _)| is_labels(name)) {
                if !sources.tables.contains_key(output) {
                    let images = Images::read(store, output, &result)?;
                    sources.tables.extend(images.map(|images| (*output, images)));
                }
            }
        }
        store.lineage()?.for_each(|lineage| sources.add_files(lineage.key, &lineage.result));
        Ok(sources)
    }

    fn add_files(&mut self, key: ActionKey, result: &ActionResult) {
        self.known.insert(key);
        for (name, digest) in files_of(result) {
            self.files.entry(digest).or_default().insert(name.clone());
        }
    }

    /// Resolves a text. Errors: it means nothing, or several things.
    pub(super) fn find(&self, text: &str, digests: &FileDigests, is_patient: bool) -> Result<Source, Unresolved> {
        let mut found = if is_patient { Vec::new() } else { self.files_named(text, digests) };
        if found.is_empty() && !is_patient {
            found = self.images_named(text);
        }
        let files = found.len();
        found.extend(self.patients_named(text));
        if found.len() > 1 {
            return Err(ambiguous(text, &found, files));
        }
        found.pop().ok_or_else(|| self.unknown(text, is_patient))
    }

    /// Files that were read under a name of this source with other contents: name and digest.
    pub(super) fn other_versions(&self, source: &Source) -> Vec<(&String, Digest)> {
        let own: HashSet<_> = source.files.iter().filter_map(|digest| self.files.get(digest)).flatten().collect();
        let others = self.files.iter().filter(|(digest, _)| !source.files.contains(*digest));
        let named = others.flat_map(|(digest, names)| names.iter().map(move |name| (name, *digest)));
        named.filter(|(name, _)| own.contains(name)).collect()
    }

    fn file(&self, digest: Digest) -> Source {
        let names = self.files.get(&digest).cloned().unwrap_or_default();
        let title = format!("{} (digest {digest})", names.iter().cloned().collect::<Vec<_>>().join(", "));
        Source { title, files: HashSet::from([digest]), names, tables: HashSet::new() }
    }

    /// The files that a text names: as a digest, as a path, as a name in a key, or by the end of one.
    fn files_named(&self, text: &str, digests: &FileDigests) -> Vec<Source> {
        let path = Path::new(text);
        let now = || path.is_file().then(|| digests.digest(path).ok()).flatten();
        let is_known = |digest: &Digest| self.files.contains_key(digest);
        let by_digest = text.parse().ok().filter(is_known);
        let by_path = || now().filter(is_known).or_else(|| digests.last_known(path).filter(is_known));
        if let Some(digest) = by_digest.or_else(by_path) {
            return vec![self.file(digest)];
        }
        let named = |is_meant: &dyn Fn(&str) -> bool| -> Vec<Source> {
            let files = self.files.iter().filter(|(_, names)| names.iter().any(|name| is_meant(name)));
            files.map(|(digest, _)| self.file(*digest)).collect()
        };
        first_of([
            named(&|name| name == text),
            named(&|name| ends_with(name, text)),
            // The path of a file that is gone.
            named(&|name| ends_with(text, name)),
        ])
    }

    /// The images that a text names in tables, though no external file has the name.
    fn images_named(&self, text: &str) -> Vec<Source> {
        let named = |is_meant: &dyn Fn(&str) -> bool| {
            let mut found: BTreeMap<&String, Source> = BTreeMap::new();
            for (output, images) in &self.tables {
                for (name, _, digest) in images.rows.iter().filter(|(name, _, _)| is_meant(name)) {
                    let source = found.entry(name).or_insert_with(|| Source {
                        title: format!("image {name} of {}", images.node),
                        names: BTreeSet::from([name.clone()]),
                        ..Source::default()
                    });
                    source.files.extend(digest);
                    source.tables.insert(*output);
                }
            }
            found.into_values().collect()
        };
        first_of([named(&|name| name == text), named(&|name| ends_with(name, text))])
    }

    /// The patients of that id. Tables of one data set share images; tables that share none may be of two people.
    fn patients_named(&self, text: &str) -> Vec<Source> {
        let mut found: Vec<(HashSet<String>, Source)> = Vec::new();
        for (output, images) in &self.tables {
            let rows = images.rows.iter().filter(|(_, patient, _)| patient.as_deref() == Some(text));
            let mut identities = HashSet::new();
            let mut source = Source { tables: HashSet::from([*output]), ..Source::default() };
            for (name, _, digest) in rows {
                identities.insert(digest.map_or_else(|| name.clone(), |digest| digest.to_string()));
                source.files.extend(digest);
                source.names.insert(name.clone());
            }
            if identities.is_empty() {
                continue;
            }
            source.title = format!("patient {text} of {}", images.node);
            let (same, others) = found.into_iter().partition(|(theirs, _)| !theirs.is_disjoint(&identities));
            found = others;
            for (theirs, other) in same as Vec<(HashSet<String>, Source)> {
                identities.extend(theirs);
                source.title = other.title.clone();
                source.add(other);
            }
            found.push((identities, source));
        }
        let counted = |(images, source): (HashSet<String>, Source)| {
            let images = terminal::count(images.len(), "image");
            Source { title: format!("{} ({images})", source.title), ..source }
        };
        found.into_iter().map(counted).collect()
    }

    fn unknown(&self, text: &str, is_patient: bool) -> Unresolved {
        let patients =
            || self.tables.values().flat_map(|images| &images.rows).filter_map(|(_, patient, _)| patient.as_ref());
        let count = patients().collect::<HashSet<_>>().len();
        let patients_searched = format!(
            "{} in {} `labels`",
            terminal::count(count, "patient"),
            terminal::count(self.tables.len(), "table")
        );
        let searched = match is_patient {
            true => patients_searched,
            false => {
                let files = terminal::count(self.files.len(), "external file");
                format!("{files} by path, name and digest, the images of the tables, and {patients_searched}")
            }
        };
        let names = self.files.values().flatten().map(String::as_str).filter(|_| !is_patient);
        let near = orchestrate_engine::nearest(text, names.chain(patients().map(String::as_str)));
        let help = near.map_or_else(String::new, |near| format!("\nhelp: did you mean `{near}`?"));
        let message = format!("no result in the store was made of `{text}`\n  = searched: {searched}{help}");
        Unresolved { message, is_unknown: true }
    }
}

impl Images {
    /// Reads a table; `None` with a warning if it cannot be read.
    fn read(store: &Store, output: &OutputDigest, result: &ActionResult) -> anyhow::Result<Option<Self>> {
        let files: HashMap<_, _> = files_of(result).collect();
        let artifact = store.artifact(output).with_context(|| format!("the store has lost `{}`", result.node));
        let read = artifact.and_then(|artifact| {
            let name = format!("{}.parquet", Labels::OUTPUT);
            let file = artifact.files.iter().find(|file| file.name == name);
            let file = file.with_context(|| format!("there is no {name}"))?;
            Ok(Labels::patients(&store.read(&file.digest)?)?)
        });
        let rows = match read {
            Ok(rows) => rows,
            Err(error) => {
                let node = &result.node;
                let what = crate::outcome::sentence(&error);
                terminal::complain(&format!("warning: the patients of `{node}` are not searched: {what}\n"));
                return Ok(None);
            }
        };
        let row = |(name, patient): (String, Option<String>)| {
            let digest = file_of(&name, &files);
            (name, patient, digest)
        };
        Ok(Some(Self { node: result.node.clone(), rows: rows.into_iter().map(row).collect() }))
    }
}

/// The digest of the file of an image: that of its name or, for a slice or frame, of the part before the last `#`, `:`
/// or `[` or the like.
fn file_of(image: &str, files: &HashMap<&String, Digest>) -> Option<Digest> {
    let ends = image.char_indices().rev().filter(|(_, c)| !c.is_alphanumeric()).map(|(at, _)| at);
    std::iter::once(image.len()).chain(ends).find_map(|end| files.get(&image[..end].to_owned()).copied())
}

/// Returns whether a path ends with whole parts of another.
fn ends_with(path: &str, end: &str) -> bool {
    let end = end.strip_prefix("./").unwrap_or(end);
    !end.is_empty() && path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// The first list that is not empty.
fn first_of<const N: usize>(lists: [Vec<Source>; N]) -> Vec<Source> {
    lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
}

/// The error for a text with several meanings, the first `files` of which are files or images.
fn ambiguous(text: &str, found: &[Source], files: usize) -> Unresolved {
    let mut message = format!("`{text}` may mean {} things", found.len());
    for source in found.iter().take(CANDIDATES_SHOWN) {
        let _ = write!(message, "\n  = {}", source.title);
    }
    if let more @ 1.. = found.len().saturating_sub(CANDIDATES_SHOWN) {
        let _ = write!(message, "\n  = and {more} more");
    }
    let of_files = "name a file by its digest, or several to forget all of them";
    let help = match found.len() - files {
        0 => of_files.to_owned(),
        1 => format!("{of_files}; --patient means the patient"),
        _ => "these patients share no image, so they may be several people; name their files".to_owned(),
    };
    Unresolved { message: format!("{message}\nhelp: {help}"), is_unknown: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    /// A catalogue of files and tables; each row is `NAME PATIENT`, and each file has the digest of its name.
    fn sources(files: &[(&str, &str)], tables: &[&[(&str, &str)]]) -> Sources {
        let mut sources = Sources::default();
        for (name, contents) in files {
            sources.files.entry(digest(contents)).or_default().insert((*name).to_owned());
        }
        for (number, rows) in tables.iter().enumerate() {
            let row = |(name, patient): &(&str, &str)| {
                let file = files.iter().find(|(file, _)| file == name).map(|(_, contents)| digest(contents));
                ((*name).to_owned(), Some((*patient).to_owned()), file)
            };
            let images = Images { node: format!("data{number}"), rows: rows.iter().map(row).collect() };
            sources.tables.insert(OutputDigest(digest(&number.to_string())), images);
        }
        sources
    }

    fn find(sources: &Sources, text: &str, is_patient: bool) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let found = sources.find(text, &FileDigests::open(dir.path()), is_patient);
        found.map(|source| source.title).map_err(|error| error.message)
    }

    #[test]
    fn a_file_is_found_by_digest_name_end_of_a_name_and_former_path() {
        let sources = sources(&[("images/1.png", "a"), ("images/11.png", "b"), ("other/2.png", "c")], &[]);
        let first = format!("images/1.png (digest {})", digest("a"));
        for text in
            ["images/1.png", "1.png", "./1.png", "gone/images/1.png", "/gone/images/1.png", &digest("a").to_string()]
        {
            assert_eq!(find(&sources, text, false).as_ref(), Ok(&first), "{text}");
        }
        let error = find(&sources, "images/111.png", false).unwrap_err();
        assert!(error.contains("3 external files") && error.contains("did you mean `images/11.png`?"), "{error}");
        assert!(find(&sources, "1.png", true).is_err_and(|error| error.contains("0 patients in 0 tables")));
    }

    #[test]
    fn texts_with_several_meanings_are_errors_that_list_them() {
        let files = [("a/1.png", "a"), ("b/1.png", "b"), ("17", "c")];
        let sources = sources(&files, &[&[("17", "17"), ("a/1.png", "3")], &[("x", "3")]]);
        let error = find(&sources, "1.png", false).unwrap_err();
        assert!(error.contains("may mean 2 things\n  = ") && error.contains("b/1.png (digest"), "{error}");
        let error = find(&sources, "17", false).unwrap_err();
        assert!(error.contains("patient 17 of data0 (1 image)") && error.contains("--patient means"), "{error}");
        assert_eq!(find(&sources, "17", true).unwrap(), "patient 17 of data0 (1 image)");
        let error = find(&sources, "3", true).unwrap_err();
        assert!(error.contains("they may be several people"), "{error}");
    }

    #[test]
    fn a_patient_has_the_images_of_all_tables_that_share_one() {
        let files = [("1.png", "a"), ("2.png", "b"), ("renamed.png", "a")];
        let sources = sources(&files, &[&[("1.png", "7"), ("2.png", "8")], &[("renamed.png", "7")], &[("2.png", "8")]]);
        let dir = tempfile::tempdir().unwrap();
        let found = sources.find("7", &FileDigests::open(dir.path()), false).unwrap();
        assert_eq!((found.files.len(), found.tables.len()), (1, 2));
        assert_eq!(found.names, BTreeSet::from(["1.png".to_owned(), "renamed.png".to_owned()]));
    }

    #[test]
    fn a_slice_belongs_to_the_file_before_its_number() {
        let names = ["scan.nii.gz".to_owned(), "a.png".to_owned()];
        let files = names.iter().map(|name| (name, digest(name))).collect();
        assert_eq!(file_of("scan.nii.gz#12", &files), Some(digest("scan.nii.gz")));
        assert_eq!(file_of("scan.nii.gz[3]", &files), Some(digest("scan.nii.gz")));
        assert_eq!(file_of("a.png", &files), Some(digest("a.png")));
        assert_eq!(file_of("b.png", &files), None);
    }

    #[test]
    fn other_contents_under_the_name_of_a_forgotten_file_are_told() {
        let sources = sources(&[("1.png", "new"), ("1.png", "old"), ("2.png", "x")], &[]);
        let source = sources.file(digest("new"));
        assert_eq!(sources.other_versions(&source), [(&"1.png".to_owned(), digest("old"))]);
    }
}
