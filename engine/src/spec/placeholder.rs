//! Placeholders: `publish = "results/{experiment}/table"`, and templates of commands.
//!
//! The experiment's name is filled into `publish`, so a spec that extends another one publishes into folders of its
//! own.

use serde_spanned::Spanned;

use super::StageSpec;
use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

const PLACEHOLDER: &str = "experiment";

/// Fills in the name of the experiment. `experiments` lists the names that files set, each with the file's offset in
/// the sources.
///
/// Any other placeholder is an error. A path without a placeholder gets a warning if a file of another experiment sets
/// it.
pub(super) fn fill_in(
    stages: &mut [StageSpec],
    name: &str,
    sources: &SourceMap,
    experiments: &[(usize, String)],
    problems: &mut Vec<Diagnostic>,
) {
    for stage in stages {
        let Some(publish) = &mut stage.publish else { continue };
        let span = publish.span();
        match filled(publish.get_ref(), name) {
            Ok(Filled { text, has_name }) => {
                let written_in = sources.source_at(span.start).map(|source| source.base);
                let other = experiments.iter().find(|(base, other)| Some(*base) == written_in && other != name);
                if let (false, Some((_, other))) = (has_name, other) {
                    let message = format!(
                        "stage `{}` publishes into a folder that was named for experiment `{other}`, which this spec \
                         extends",
                        stage.name.get_ref()
                    );
                    let help = "write `{experiment}` in this path, which stands for the experiment's name, or set \
                                `publish` anew";
                    problems.push(Diagnostic::warning(message).at(span.clone()).help(help));
                }
                *publish = Spanned::new(span, text);
            }
            Err(problem) => problems.push(problem.at(span)),
        }
    }
}

struct Filled {
    text: String,
    /// True if it contains the experiment's name.
    has_name: bool,
}

fn filled(written: &str, name: &str) -> Result<Filled, Diagnostic> {
    let mut has_name = false;
    let value = |placeholder: &str| {
        let is_name = placeholder == PLACEHOLDER;
        has_name |= is_name;
        is_name.then(|| name.to_owned())
    };
    let text = fill(written, value).map_err(|wrong| {
        let help = "write `{experiment}` for the experiment's name, `{{` and `}}` for braces";
        wrong.problem("`publish`").help(help)
    })?;
    Ok(Filled { text, has_name })
}

/// A mistake in a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A placeholder that stands for nothing.
    Unknown(String),
    /// A brace without its partner.
    SingleBrace,
}

impl Misfit {
    fn problem(&self, what: &str) -> Diagnostic {
        Diagnostic::error(match self {
            Self::Unknown(name) => format!("{what} has the placeholder `{{{name}}}`, which stands for nothing"),
            Self::SingleBrace => format!("{what} has a single brace"),
        })
    }
}

/// Replaces each `{placeholder}` by its value, and `{{` and `}}` by braces.
pub fn fill(written: &str, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, Misfit> {
    let mut filled = String::new();
    let mut rest = written;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        filled.push_str(before);
        if let Some(after) = brace.strip_prefix("{{").or(brace.strip_prefix("}}")) {
            filled.push_str(&brace[..1]);
            rest = after;
            continue;
        }
        let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after) = inner.ok_or(Misfit::SingleBrace)?;
        filled.push_str(&value(name).ok_or_else(|| Misfit::Unknown(name.to_owned()))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Returns the placeholders in a text, all of them known.
pub(super) fn check(what: &str, written: &str, known: &[&str]) -> Result<Vec<String>, Diagnostic> {
    let mut found = Vec::new();
    let value = |name: &str| {
        found.push(name.to_owned());
        known.contains(&name).then(String::new)
    };
    match fill(written, value) {
        Ok(_) => Ok(found),
        Err(wrong) => Err(match &wrong {
            Misfit::Unknown(name) => wrong.problem(what).names("placeholders", name, known.iter().copied()),
            Misfit::SingleBrace => wrong.problem(what).help("write `{{` and `}}` for braces"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{STUDY, plan, plan_in};

    #[test]
    fn the_name_of_the_experiment_is_filled_in() {
        let text = |written: &str| filled(written, "mine").map(|filled| filled.text).map_err(|problem| problem.message);
        assert_eq!(text("results/{experiment}/table"), Ok("results/mine/table".to_owned()));
        assert_eq!(text("results/table"), Ok("results/table".to_owned()));
        assert_eq!(text("{experiment}-{{a}}"), Ok("mine-{a}".to_owned()));
        for (written, problem) in [
            ("{stage}/x", "`publish` has the placeholder `{stage}`, which stands for nothing"),
            ("results/{experiment", "`publish` has a single brace"),
            ("results}", "`publish` has a single brace"),
        ] {
            assert_eq!(text(written), Err(problem.to_owned()));
        }
        let error = plan(&format!("{STUDY}publish = \"results/{{name}}\"\n"), &[]).err().unwrap().to_string();
        assert!(error.contains("spec.toml:39:11: `publish` has the placeholder `{name}`"), "{error}");
    }

    #[test]
    fn a_folder_named_for_the_extended_spec_gets_a_warning() {
        let child = "extends = \"parent.toml\"\n[experiment]\nname = \"child\"\n";
        let warnings = |publish: &str, child: &str| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("parent.toml"), format!("{STUDY}publish = \"{publish}\"\n")).unwrap();
            let plan = plan_in(dir.path(), child, &[]).unwrap();
            let published = plan.spec.stages.iter().find_map(|stage| stage.publish.clone()).unwrap().into_inner();
            (published, plan.spec.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>())
        };
        let (published, found) = warnings("results/table", child);
        assert_eq!(published, "results/table");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("`table` publishes into a folder that was named for experiment `study`"),
            "{found:?}"
        );
        assert_eq!(warnings("results/{experiment}/table", child), ("results/child/table".to_owned(), Vec::new()));
        let anew = format!("{child}[stages.table]\npublish = \"mine\"\n");
        assert_eq!(warnings("results/table", &anew), ("mine".to_owned(), Vec::new()));
        assert_eq!(
            warnings("results/table", "extends = \"parent.toml\"\n").1,
            Vec::<String>::new(),
            "the same experiment"
        );
    }
}
