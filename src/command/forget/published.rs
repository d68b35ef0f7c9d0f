//! Published files that were made of something forgotten. They are people's, so they are listed and left.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::path::PathBuf;

use orchestrate_cache::{ActionKey, Store};
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::publish::{Published, PublishedPoint, records_below};
use orchestrate_engine::spec;

use crate::terminal;

/// Name of a store below its project's root.
const STORE: &str = ".orchestrate";

/// Folders in which results may be published: those that the specs of runs name, and the projects around them.
pub(super) fn folders(store: &Store, requests: &[RunStarted]) -> BTreeSet<PathBuf> {
    let mut roots = BTreeSet::new();
    let mut folders = BTreeSet::new();
    if store.dir().file_name().is_some_and(|name| name == STORE) {
        roots.extend(store.dir().parent().map(PathBuf::from));
    }
    let requests: BTreeSet<_> = requests.iter().map(|request| (&request.spec, &request.overrides)).collect();
    for (path, overrides) in requests {
        match spec::load(path, overrides) {
            Ok(spec) => {
                let published = spec.stages.iter().filter_map(|stage| stage.publish.as_ref());
                folders
                    .extend(published.map(|folder| spec.root.join(folder.get_ref()).components().collect::<PathBuf>()));
                roots.insert(spec.root);
            }
            // It is gone or no longer a spec; what it published may lie beside it.
            Err(_) => roots.extend(path.parent().filter(|dir| dir.is_dir()).map(PathBuf::from)),
        }
    }
    // A root inside another is searched with it.
    let inner = |root: &PathBuf| root.ancestors().skip(1).any(|above| roots.contains(above));
    for root in roots.iter().filter(|root| !inner(root)) {
        let found = records_below(root);
        if found.cut {
            let root = root.display();
            terminal::complain(&format!("warning: {root} has too many folders to search all for published files\n"));
        }
        folders.extend(found.folders);
    }
    folders
}

/// Describes the files made of forgotten results; empty if there are none.
///
/// - `known`: the keys of all results that the store knew before; files of others may be made of anything
pub(super) fn describe(
    folders: &BTreeSet<PathBuf>,
    forgotten: &BTreeSet<ActionKey>,
    known: &HashSet<ActionKey>,
) -> String {
    let mut text = String::new();
    for folder in folders {
        let published = match Published::read(folder) {
            Ok(Some(published)) => published,
            Ok(None) => continue,
            Err(error) => {
                terminal::complain(&format!("warning: published files are not searched: {error}\n"));
                continue;
            }
        };
        let (made, rest): (Vec<_>, Vec<_>) = published.points.iter().partition(|point| forgotten.contains(&point.key));
        let unknown: Vec<_> = rest.into_iter().filter(|point| !known.contains(&point.key)).collect();
        let files =
            |points: &[&PublishedPoint]| terminal::count(points.iter().map(|point| point.files.len()).sum(), "file");
        let root = folder.display();
        if !made.is_empty() {
            let tables = match published.tables.len() {
                0 => String::new(),
                number => format!(", and {} that joins them", terminal::count(number, "table")),
            };
            let nodes = terminal::count(made.len(), "node");
            let _ = writeln!(text, "  {root}: {} of {nodes} made of it{tables}", files(&made));
        }
        if !unknown.is_empty() {
            let nodes = terminal::count(unknown.len(), "node");
            let _ = writeln!(
                text,
                "  {root}: {} of {nodes} that the store does not know; they may be too",
                files(&unknown)
            );
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("published files stay; run the spec to publish them again, or remove them:\n{text}")
}
