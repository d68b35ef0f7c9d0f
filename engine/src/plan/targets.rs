//! Targets of publications, checked before anything is published: each stage has a folder of its own, apart from what the study
//! reads and is made of.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::problems::Problems;
use super::{Plan, PlannedStage};
use crate::diagnostic::{Diagnostic, Severity, Span, SpecError};
use crate::spec::Spec;

/// The folder of one stage.
struct Target<'a> {
    stage: &'a str,
    span: Span,
    written: &'a str,
    path: PathBuf,
}

impl Target<'_> {
    fn error(&self, what: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::error(format!("stage `{}` publishes to `{}`, {what}", self.stage, self.written))
            .at(self.span.clone())
    }
}

fn targets<'s>(spec: &'s Spec, resolver: &mut Resolver) -> Vec<Target<'s>> {
    let publish = spec.stages.iter().filter_map(|stage| Some((stage, stage.publish.as_ref()?)));
    publish
        .map(|(stage, publish)| Target {
            stage: stage.name.get_ref(),
            span: publish.span(),
            written: publish.get_ref(),
            path: resolver.resolved(&spec.root.join(publish.get_ref())),
        })
        .collect()
}

/// Finds folders that two stages share, and folders where a study's own files lie.
pub(super) fn check(spec: &Spec, stages: &[PlannedStage], problems: &mut Problems) {
    let mut resolver = Resolver::default();
    let targets = targets(spec, &mut resolver);
    if targets.is_empty() {
        return;
    }
    let dir = resolver.resolved(spec.path.parent().unwrap_or(Path::new("/")));
    let root = resolver.resolved(&spec.root);
    for (index, target) in targets.iter().enumerate() {
        for earlier in &targets[..index] {
            if let Some(how) = relation(&target.path, &earlier.path) {
                let place = spec.sources.short(&earlier.span);
                problems.push(
                    target
                        .error(format!("{how} the folder of stage `{}`", earlier.stage))
                        .note(format!("stage `{}` publishes to `{}`, {place}", earlier.stage, earlier.written))
                        .help("give each stage a folder of its own, and none inside another's"),
                );
            }
        }
        for (own, what) in [(&root, "the project's root"), (&dir, "the folder of the spec")] {
            if own.starts_with(&target.path) {
                let help = "name a folder below it that holds nothing else, such as \"results/{experiment}/STAGE\"";
                problems.push(target.error(format!("which holds {what}")).help(help));
                break;
            }
        }
    }
    read_paths(spec, stages, &targets, &mut resolver, problems);
}

/// Finds folders where a stage publishes in what a stage reads, or the other way round.
fn read_paths(
    spec: &Spec,
    stages: &[PlannedStage],
    targets: &[Target<'_>],
    resolver: &mut Resolver,
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
                let place = spec.sources.short(&span);
                let read = resolver.resolved(path);
                let note = format!("`{field}` of stage `{}`, {place}", stage.name);
                for target in targets {
                    let inside = target.path.starts_with(&read) && read.is_dir();
                    let around = read.starts_with(&target.path);
                    let how = if around { "which holds" } else { "which lies in" };
                    let what = format!("{how} {}, which stage `{}` reads", path.display(), stage.name);
                    if !around && inside && stage.kind.facts().leaves_out_published {
                        let problem = target.error(format!("{what}; what is published is left out there"));
                        let help = format!("name the files in `{field}` one by one, or publish to another folder");
                        problems
                            .push(Diagnostic { severity: Severity::Warning, ..problem.note(note.clone()).help(help) });
                    } else if around || inside {
                        let help = "publish to a folder that holds nothing else, and that nothing is read from";
                        problems.push(target.error(what).note(note.clone()).help(help));
                    }
                }
            }
            let folders: Vec<&Path> = written.iter().map(|(_, path)| *path).collect();
            listed(stage, &folders, set, targets, resolver, problems);
        }
    }
}

/// Finds files that a list names, such as those of a data set's manifest, in folders where a stage publishes.
fn listed(
    stage: &PlannedStage,
    folders: &[&Path],
    set: &super::ParamSet,
    targets: &[Target<'_>],
    resolver: &mut Resolver,
    problems: &mut Problems,
) {
    let mut before: Option<&Path> = None;
    for file in &set.files {
        let Some(dir) = file.path.parent() else { continue };
        if before == Some(dir) || folders.iter().any(|folder| dir.starts_with(folder) || *folder == file.path) {
            continue;
        }
        before = Some(dir);
        let lies = resolver.resolved(dir);
        for target in targets.iter().filter(|target| lies.starts_with(&target.path)) {
            let what = format!("which holds {}, which stage `{}` reads", file.path.display(), stage.name);
            let help = "publish to a folder that holds nothing else, and that nothing is read from";
            problems.push_once(target.error(what).help(help));
        }
    }
}

/// The paths of a param, by its dotted name.
fn paths<'p>(params: &'p serde_json::Value, field: &str) -> Vec<&'p Path> {
    let value = field.split('.').try_fold(params, |value, key| value.get(key));
    let texts = match value {
        Some(serde_json::Value::Array(items)) => items.iter().filter_map(|item| item.as_str()).collect(),
        Some(value) => value.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    texts.into_iter().map(Path::new).collect()
}

/// Finds folders where a stage publishes into a store.
pub fn check_store(plan: &Plan, dir: &Path) -> Result<(), SpecError> {
    let mut resolver = Resolver::default();
    let targets = targets(&plan.spec, &mut resolver);
    if targets.is_empty() {
        return Ok(());
    }
    let store = resolver.resolved(&std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()));
    let inside = targets.iter().filter(|target| target.path.starts_with(&store));
    let help = "publish to a folder outside of the store";
    let problems: Vec<_> =
        inside.map(|target| target.error(format!("which lies in the store {}", dir.display())).help(help)).collect();
    if problems.is_empty() { Ok(()) } else { Err(SpecError::new(plan.spec.sources.clone(), problems)) }
}

/// How one folder lies to another, where they are not apart. On some filesystems case counts for nothing.
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

/// Resolves paths; what several have in common is looked at once.
#[derive(Default)]
struct Resolver {
    known: HashMap<PathBuf, PathBuf>,
}

impl Resolver {
    /// An absolute path without `.` and `..`, with the links resolved of as much of it as exists.
    fn resolved(&mut self, path: &Path) -> PathBuf {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => drop(plain.pop()),
                other => plain.push(other),
            }
        }
        self.real(&plain)
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

    /// What is wrong with the study if two stages publish there.
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
