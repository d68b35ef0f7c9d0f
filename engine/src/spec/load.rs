//! Reads a spec, the specs that it extends, and the overrides of the command line into one table.
//!
//! Tables merge, arrays and scalars replace: parent < file < `--set`. Every value keeps its span in the source.

use std::io;
use std::path::{Path, PathBuf};

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::limits::PROJECT_FILE;
use super::parse::{self, Sections};
use super::sweep::Sweep;
use super::texts::{Recorded, Texts};
use super::{Located, Spec, grid, overrides, placeholder, toml_text};
use crate::diagnostic::{Diagnostic, SpecError};
use crate::source::{SourceMap, Span};
use crate::words;

/// The most files in one spec. A chain in which each file extends the next one twice doubles with each file.
const FILES_MAX: usize = 200;

/// Reads and parses a spec with its overrides (`stages.train.epochs=3`).
///
/// Problems of single sections are left in [`Spec::findings`], to which the plan adds its own. Errors: nothing could be
/// read.
pub fn load(path: &Path, overrides: &[String]) -> Result<Spec, SpecError> {
    read(path, overrides, None).map(|(spec, _)| spec)
}

/// Reads a spec again from the log of a run, as it was then; `more` overrides come after those of the run.
pub fn load_recorded(recorded: &Recorded<'_>, more: &[String]) -> Result<Spec, SpecError> {
    let mut loader = Loader { texts: Texts::recorded(recorded.texts), ..Loader::default() };
    let table = loader.file(recorded.path, None);
    let overrides: Vec<_> = recorded.overrides.iter().chain(more).cloned().collect();
    let place = Place { path: recorded.path.to_owned(), root: recorded.root.to_owned() };
    merged(loader, table, &overrides, None, recorded.working_dir, place).map(|(spec, _)| spec)
}

/// Merges the texts and overrides of a run into one table, whose spans count across all of them.
pub(super) fn recorded_table(recorded: &Recorded<'_>) -> Result<(DeTable<'static>, SourceMap), SpecError> {
    let mut loader = Loader { texts: Texts::recorded(recorded.texts), ..Loader::default() };
    let mut table = loader.file(recorded.path, None);
    // An axis of `--grid` has no form in a spec.
    for text in recorded.overrides.iter().filter(|text| !text.starts_with(grid::PREFIX)) {
        let set = overrides::parse(text, recorded.working_dir, &mut loader.sources, &mut loader.problems);
        set.into_iter().for_each(|set| merge(&mut table, set));
    }
    let Loader { sources, problems, .. } = loader;
    if problems.is_empty() { Ok((table, sources)) } else { Err(SpecError::new(sources, problems)) }
}

/// The place of a spec in its project, both absolute.
struct Place {
    path: PathBuf,
    root: PathBuf,
}

/// Reads a spec as [`load`] does and replaces the values of one axis (`threshold=0..=255`), or adds an axis for a param
/// (`stages.train.epochs=5,10`). Also returns the axis' name.
///
/// Errors also: the sweep cannot be parsed, or the spec has no such axis.
pub fn load_swept(path: &Path, overrides: &[String], sweep: &str) -> Result<(Spec, Spanned<String>), SpecError> {
    let (spec, axis) = read(path, overrides, Some(sweep))?;
    Ok((spec, axis.expect("what is swept has an axis, else it is an error")))
}

fn read(path: &Path, overrides: &[String], sweep: Option<&str>) -> Result<(Spec, Option<Spanned<String>>), SpecError> {
    let mut loader = Loader::default();
    let table = loader.file(path, None);
    let working_dir = std::env::current_dir().unwrap_or_default();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let root = project_root(absolute.parent().unwrap_or(Path::new("/")));
    merged(loader, table, overrides, sweep, &working_dir, Place { path: absolute, root })
}

/// Merges overrides into the table of a spec's files, and parses it.
fn merged(
    mut loader: Loader,
    mut table: DeTable<'static>,
    overrides: &[String],
    sweep: Option<&str>,
    working_dir: &Path,
    Place { path, root }: Place,
) -> Result<(Spec, Option<Spanned<String>>), SpecError> {
    let is_unreadable = table.is_empty() && !loader.problems.is_empty();
    let mut grids = Vec::new();
    for text in overrides {
        if let Some(text) = text.strip_prefix(grid::PREFIX) {
            grids.extend(grid::parse(text, "--grid", working_dir, &mut loader.sources, &mut loader.problems));
        } else if let Some(set) = overrides::parse(text, working_dir, &mut loader.sources, &mut loader.problems) {
            merge(&mut table, set);
        }
    }
    let Loader { mut sources, mut problems, experiments, .. } = loader;
    // A file that is not TOML seems to lack everything: reporting that too would distract.
    if is_unreadable {
        return Err(SpecError::new(sources, problems));
    }
    let mut overrides = overrides.to_vec();
    let mut axis = None;
    let is_path = |text: &&str| text.split('=').next().is_some_and(|name| name.contains('.'));
    if let Some(text) = sweep.filter(is_path) {
        let parsed = grid::parse(text, "sweep", working_dir, &mut sources, &mut problems);
        let Some(swept) = parsed else { return Err(SpecError::new(sources, problems)) };
        overrides.push(format!("{}{text}", grid::PREFIX));
        axis = Some(grid::axis_name(&swept.name));
        grids.push(swept);
    } else if let Some(text) = sweep {
        let parsed = Sweep::parse(text, working_dir, &mut sources, &mut problems);
        let Some(sweep) = parsed else { return Err(SpecError::new(sources, problems)) };
        if let Err(problem) = sweep.check(&table) {
            problems.push(problem);
            return Err(SpecError::new(sources, problems));
        }
        merge(&mut table, sweep.table);
        overrides.push(sweep.as_override);
        axis = Some(sweep.axis);
    }
    for grid in &grids {
        let path = grid::axis_name(&grid.name);
        let is_set =
            |text: &String| text.split('=').next().is_some_and(|key| key == format!("stages.{}", path.get_ref()));
        if overrides.iter().any(is_set) {
            let problem = Diagnostic::error(format!("`{}` is set and tried at once", path.get_ref())).at(path.span());
            problems.push(problem.help("leave out `--set`, or the grid"));
        }
    }
    let mut sections = parse::sections(&table, &mut problems);
    placeholder::fill_in(&mut sections.stages, &sections.name, &sources, &experiments, &mut problems);
    grids.into_iter().for_each(|added| grid::add(added, &mut sections, &mut problems));
    let Sections { name, seed, axes, exclude, zip, stages, broken } = sections;
    let findings = problems;
    let is_partial = sweep.is_some();
    let spec =
        Spec { path, root, name, seed, axes, exclude, zip, stages, sources, is_partial, overrides, findings, broken };
    Ok((spec, axis))
}

/// Returns the error of a path that cannot be a spec, with the likeliest way out.
fn no_spec(path: &Path) -> Option<Diagnostic> {
    let shown = path.display();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        let is_spec = |file: &PathBuf| {
            file.extension().is_some_and(|it| it == "toml") && file.file_name().is_some_and(|it| it != PROJECT_FILE)
        };
        let mut specs: Vec<String> = entries.filter(is_spec).map(|file| file.display().to_string()).collect();
        specs.sort();
        let problem = Diagnostic::error(format!("{shown} is a folder, not a spec"));
        return Some(match specs.as_slice() {
            [] => problem.help("no TOML file is in it; `orchestrate new` makes a study"),
            [only] => problem.help(format!("name the file: {only}")),
            several => problem.help(format!("name one of its files: {}", several.join(", "))),
        });
    }
    let ending = path.extension()?.to_ascii_lowercase();
    (path.is_file() && ["csv", "tsv"].iter().any(|it| ending == *it)).then(|| {
        Diagnostic::error(format!("{shown} is no spec (a CSV file)"))
            .help(format!("`orchestrate new --data {shown} NAME` makes one"))
    })
}

#[derive(Default)]
struct Loader {
    texts: Texts,
    sources: SourceMap,
    problems: Vec<Diagnostic>,
    /// The files being read, outermost first: absolute path, and path as shown.
    chain: Vec<(PathBuf, String)>,
    /// Number of reads; a file may be read several times.
    files: usize,
    /// Names of experiments, each with the offset of the source that sets it.
    experiments: Vec<(usize, String)>,
}

impl Loader {
    /// Reads a file and the files that it extends; `span` is the entry of `extends` that names it.
    fn file(&mut self, path: &Path, span: Option<Span>) -> DeTable<'static> {
        let shown = path.display().to_string();
        let problem = |message| Diagnostic { span: span.clone(), ..Diagnostic::error(message) };
        let recorded = self.texts.next();
        let absolute = match &recorded {
            Some(recorded) => recorded.path.clone(),
            None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        };
        if let Some(first) = self.chain.iter().position(|(other, _)| *other == absolute) {
            let mut cycle: Vec<_> = self.chain[first..].iter().map(|(_, shown)| shown.as_str()).collect();
            cycle.push(&shown);
            let problem = problem(format!("`extends` goes in a circle: {}", cycle.join(" → ")));
            self.problems.push(problem.help("remove one of these `extends`"));
            return DeTable::new();
        }
        self.files += 1;
        if self.files > FILES_MAX {
            if self.files == FILES_MAX + 1 {
                let problem = problem(format!("`extends` leads to more than {FILES_MAX} files"));
                self.problems.push(problem.help("a file that several others extend is read once for each of them"));
            }
            return DeTable::new();
        }
        if recorded.is_none()
            && let Some(what) = no_spec(path)
        {
            self.problems.push(Diagnostic { span, ..what });
            return DeTable::new();
        }
        let text = match recorded {
            Some(recorded) => Ok(recorded.text),
            None if self.texts.are_recorded() => Err(io::Error::other("the log of the run lacks it")),
            None => toml_text::read(path),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(problem(format!("cannot read {shown}: {error}")));
                return DeTable::new();
            }
        };
        let dir = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let base = self.sources.add_file(&shown, &dir, &text);
        let Some(mut table) = toml_text::parse("this", &text, base, None, &mut self.problems) else {
            return DeTable::new();
        };
        self.experiments.extend(experiment(&table).map(|name| (base, name)));
        let Some(extends) = table.remove("extends") else { return table };
        self.chain.push((absolute, shown));
        let mut merged = DeTable::new();
        for parent in self.parents(extends) {
            let parent_path = path.parent().unwrap_or(Path::new("")).join(parent.get_ref());
            merge(&mut merged, self.file(&parent_path, Some(parent.span())));
        }
        self.chain.pop();
        merge(&mut merged, table);
        merged
    }

    fn parents(&mut self, extends: Located) -> Vec<Spanned<String>> {
        let span = extends.span();
        let list = match extends.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            value => vec![Spanned::new(span, value)],
        };
        let mut parents = Vec::new();
        for item in list {
            match item.get_ref().as_str() {
                Some(text) => parents.push(Spanned::new(item.span(), text.to_owned())),
                None => self.problems.push(
                    Diagnostic::error(format!("`extends` must be a path, found {}", words::found(item.get_ref())))
                        .at(item.span())
                        .help("write `extends = \"base.toml\"` or a list of such paths"),
                ),
            }
        }
        parents
    }
}

/// Merges `over` into `base`: tables merge, everything else replaces.
fn merge(base: &mut DeTable<'static>, over: DeTable<'static>) {
    for (key, value) in over {
        match base.get_mut(key.get_ref().as_ref()) {
            Some(below) => merge_value(below, value),
            None => {
                base.insert(key, value);
            }
        }
    }
}

fn merge_value(below: &mut Located, above: Located) {
    let span = above.span();
    match (below.get_mut(), above.into_inner()) {
        (DeValue::Table(below), DeValue::Table(above)) => merge(below, above),
        (_, above) => *below = Spanned::new(span, above),
    }
}

/// The experiment's name, if the file sets one.
fn experiment(table: &DeTable<'static>) -> Option<String> {
    table.get("experiment")?.get_ref().get("name")?.get_ref().as_str().map(str::to_owned)
}

/// Returns the root of the project around an absolute folder: the nearest one with an `orchestrate.toml` or a git root,
/// else the folder itself.
pub fn project_root(dir: &Path) -> PathBuf {
    dir.ancestors().find(|dir| dir.join(PROJECT_FILE).exists() || dir.join(".git").exists()).unwrap_or(dir).to_owned()
}
