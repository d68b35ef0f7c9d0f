//! Checks the folders of `publish` before anything runs: each stage needs a folder of its own, apart from the study's
//! own files and the files that it reads.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::paths::{paths, without_dots};
use super::problems::Problems;
use super::{ParamSet, Plan, PlannedStage};
use crate::diagnostic::{Diagnostic, Severity, SpecError};
use crate::source::Span;
use crate::spec::Spec;

/// The remedy for a folder that holds files of the study.
const HELP: &str = "publish to a folder that holds nothing else, and that nothing is read from";

/// The folder to which one stage publishes.
struct PublishFolder<'a> {
    stage: &'a str,
    span: Span,
    written: &'a str,
    path: PathBuf,
}

impl PublishFolder<'_> {
    fn error(&self, what: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::error(format!("stage `{}` publishes to `{}`, {what}", self.stage, self.written))
            .at(self.span.clone())
    }
}

fn publish_folders<'s>(spec: &'s Spec, resolver: &mut PathResolver) -> Vec<PublishFolder<'s>> {
    let publish = spec.stages.iter().filter_map(|stage| Some((stage, stage.publish.as_ref()?)));
    publish
        .map(|(stage, publish)| PublishFolder {
            stage: stage.name.get_ref(),
            span: publish.span(),
            written: publish.get_ref(),
            path: resolver.resolved(&spec.root.join(publish.get_ref())),
        })
        .collect()
}

/// Finds folders that two stages share, and folders that hold the study's own files.
pub(super) fn check(spec: &Spec, stages: &[PlannedStage], problems: &mut Problems) {
    let mut resolver = PathResolver::default();
    let folders = publish_folders(spec, &mut resolver);
    if folders.is_empty() {
        return;
    }
    let dir = resolver.resolved(spec.path.parent().unwrap_or(Path::new("/")));
    let root = resolver.resolved(&spec.root);
    for (index, folder) in folders.iter().enumerate() {
        for earlier in &folders[..index] {
            if let Some(how) = relation(&folder.path, &earlier.path) {
                let location = spec.sources.short(&earlier.span);
                problems.push(
                    folder
                        .error(format!("{how} the folder of stage `{}`", earlier.stage))
                        .note(format!("stage `{}` publishes to `{}`, {location}", earlier.stage, earlier.written))
                        .help("give each stage a folder of its own, and none inside another's"),
                );
            }
        }
        for (own, what) in [(&root, "the project's root"), (&dir, "the folder of the spec")] {
            if own.starts_with(&folder.path) {
                let help = "name a folder below it that holds nothing else, such as \"results/{experiment}/STAGE\"";
                problems.push(folder.error(format!("which holds {what}")).help(help));
                break;
            }
        }
    }
    check_params(spec, stages, &folders, &mut resolver, problems);
}

/// Finds publish folders that contain a path in the params of a stage, or lie below one.
fn check_params(
    spec: &Spec,
    stages: &[PlannedStage],
    folders: &[PublishFolder<'_>],
    resolver: &mut PathResolver,
    problems: &mut Problems,
) {
    for stage in stages {
        let declared = &spec.stages[stage.declared];
        let mut seen = HashSet::new();
        for set in &stage.param_sets {
            let fields = stage.kind.facts().path_fields.iter();
            let written =
                fields.flat_map(|field| paths(&set.params, field).into_iter().map(move |path| (*field, path)));
            let written: Vec<(&str, &Path)> = written.filter(|(field, path)| seen.insert((*field, *path))).collect();
            for (field, path) in &written {
                let span = set.spans.iter().find(|(name, _)| field.split('.').next() == Some(name));
                let span = span.map_or(declared.name.span(), |(_, span)| span.clone());
                let location = spec.sources.short(&span);
                let read = resolver.resolved(path);
                let note = format!("`{field}` of stage `{}`, {location}", stage.name);
                for folder in folders {
                    let inside = folder.path.starts_with(&read) && read.is_dir();
                    let around = read.starts_with(&folder.path);
                    let how = if around { "which holds" } else { "which lies in" };
                    let what = format!("{how} {}, which stage `{}` reads", path.display(), stage.name);
                    if !around && inside && stage.kind.facts().leaves_out_published {
                        let problem = folder.error(format!("{what}; published files are left out there"));
                        let help = format!("name the files in `{field}` one by one, or publish to another folder");
                        problems
                            .push(Diagnostic { severity: Severity::Warning, ..problem.note(note.clone()).help(help) });
                    } else if around || inside {
                        problems.push(folder.error(what).note(note.clone()).help(HELP));
                    }
                }
            }
            let checked: Vec<&Path> = written.iter().map(|(_, path)| *path).collect();
            check_files(stage, &checked, set, folders, resolver, problems);
        }
    }
}

/// Finds publish folders that contain external files outside of the checked paths, such as the files of a data set's
/// manifest.
fn check_files(
    stage: &PlannedStage,
    checked: &[&Path],
    set: &ParamSet,
    folders: &[PublishFolder<'_>],
    resolver: &mut PathResolver,
    problems: &mut Problems,
) {
    let mut before: Option<&Path> = None;
    for file in &set.files {
        let Some(dir) = file.path.parent() else { continue };
        if before == Some(dir) || checked.iter().any(|path| dir.starts_with(path) || *path == file.path) {
            continue;
        }
        before = Some(dir);
        let real = resolver.resolved(dir);
        for folder in folders.iter().filter(|folder| real.starts_with(&folder.path)) {
            let what = format!("which holds {}, which stage `{}` reads", file.path.display(), stage.name);
            problems.push_once(folder.error(what).help(HELP));
        }
    }
}

/// Checks that no stage publishes into the store.
pub fn check_store(plan: &Plan, dir: &Path) -> Result<(), SpecError> {
    let mut resolver = PathResolver::default();
    let folders = publish_folders(&plan.spec, &mut resolver);
    if folders.is_empty() {
        return Ok(());
    }
    let store = resolver.resolved(&std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()));
    let inside = folders.iter().filter(|folder| folder.path.starts_with(&store));
    let help = "publish to a folder outside of the store";
    let problems: Vec<_> =
        inside.map(|folder| folder.error(format!("which lies in the store {}", dir.display())).help(help)).collect();
    if problems.is_empty() { Ok(()) } else { Err(SpecError::new(plan.spec.sources.clone(), problems)) }
}

/// Describes how a folder overlaps another; `None` if they are apart. Case is ignored, as on some filesystems.
fn relation(path: &Path, other: &Path) -> Option<&'static str> {
    let folded = |path: &Path| PathBuf::from(path.to_string_lossy().to_lowercase());
    let (path, other) = (folded(path), folded(other));
    if path == other {
        Some("which is")
    } else if path.starts_with(&other) {
        Some("which lies in")
    } else if other.starts_with(&path) {
        Some("which holds")
    } else {
        None
    }
}

/// Resolves paths; a cache avoids a second look at shared parents.
#[derive(Default)]
struct PathResolver {
    known: HashMap<PathBuf, PathBuf>,
}

impl PathResolver {
    /// Removes `.` and `..` from an absolute path, and resolves the links of its existing components.
    fn resolved(&mut self, path: &Path) -> PathBuf {
        self.real(&without_dots(path))
    }

    fn real(&mut self, path: &Path) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return path.to_owned() };
        if let Some(real) = self.known.get(path) {
            return real.clone();
        }
        let real = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => path.canonicalize().ok(),
            _ => None,
        };
        let real = real.unwrap_or_else(|| self.real(parent).join(name));
        self.known.insert(path.to_owned(), real.clone());
        real
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{STUDY, plan_in};

    /// Problems of the study if two stages publish to the given folders.
    fn problems(dir: &Path, score: &str, table: &str) -> Vec<String> {
        let study = STUDY.replace("masks = \"images\" }", &format!("masks = \"images\" }}\npublish = \"{score}\""));
        assert_ne!(study, STUDY);
        match plan_in(dir, &format!("{study}publish = \"{table}\"\n"), &[]) {
            Ok(_) => Vec::new(),
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn two_stages_have_two_folders() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        for (score, table, how) in [
            ("res", "res", "which is the folder of stage `score`"),
            ("res", "./x/../res/", "which is the folder of stage `score`"),
            ("res", "RES", "which is the folder of stage `score`"),
            ("res", "res/deep/table", "which lies in the folder of stage `score`"),
            ("res/score", "res", "which holds the folder of stage `score`"),
            ("real/a", "link/a", "which is the folder of stage `score`"),
        ] {
            let said = problems(dir.path(), score, table);
            assert!(said[0].ends_with(how), "{score} {table}: {said:?}");
            assert!(
                said[0].contains("spec.toml:") && said[1].contains(&format!("stage `score` publishes to `{score}`, "))
            );
        }
        for (score, table) in [("res/score", "res/table"), ("res", "res2"), ("../a", "../b")] {
            assert_eq!(problems(dir.path(), score, table), [""; 0], "{score} {table}");
        }
    }

    #[test]
    fn no_stage_publishes_around_the_spec() {
        let dir = tempfile::tempdir().unwrap();
        for publish in [".", "", "..", "x/..", "/"] {
            let said = problems(dir.path(), "res", publish);
            assert!(said.iter().any(|line| line.ends_with("which holds the project's root")), "{publish}: {said:?}");
        }
    }

    #[test]
    fn no_stage_publishes_into_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan_in(dir.path(), &format!("{STUDY}publish = \"shared/./store/res\"\n"), &[]).unwrap();
        assert!(check_store(&plan, &dir.path().join("store")).is_ok());
        let error = check_store(&plan, &dir.path().join("shared/store")).unwrap_err().to_string();
        assert!(error.contains("stage `table` publishes to `shared/./store/res`, which lies in the store"), "{error}");
    }
}
