//! Errors about folders that belong to others: all folders of one other spec make one error.

use indexmap::IndexMap;

use super::error::Refusal;
use super::record::Owner;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::Spec;

/// The most folders that an error names.
const SHOWN: usize = 3;

/// Makes errors of refusals, each with the location of the `publish` that is refused.
pub(super) fn problems(spec: &Spec, refused: Vec<(Span, Refusal)>) -> Vec<Diagnostic> {
    let mut groups: IndexMap<_, Vec<(Span, Refusal)>> = IndexMap::new();
    for (span, refusal) in refused {
        let owner = refusal.owned.as_deref().map(|(owner, _)| (owner.experiment.clone(), owner.spec.clone()));
        groups.entry(owner).or_default().push((span, refusal));
    }
    let mut problems = Vec::new();
    for (owner, refused) in groups {
        let owner = owner.filter(|_| refused.len() > 1);
        let Some((experiment, of)) = owner else {
            problems.extend(refused.into_iter().map(|(span, refusal)| {
                let help = remedy(spec, &refusal, &span).unwrap_or_default() + &refusal.help;
                Diagnostic::error(refusal.message).at(span).help(help)
            }));
            continue;
        };
        let message = format!(
            "{} folders belong to experiment `{experiment}`, spec {of}: no other spec can publish there",
            refused.len()
        );
        let mut problem = Diagnostic::error(message).at(refused[0].0.clone());
        let owned = refused.iter().filter_map(|(_, refusal)| refusal.owned.as_deref());
        for (Owner { stage, .. }, folder) in owned.take(SHOWN) {
            problem = problem.note(format!("{} is of its stage `{stage}`", folder.display()));
        }
        if refused.len() > SHOWN {
            problem = problem.note(format!("and {} more", refused.len() - SHOWN));
        }
        let first = refused.iter().find_map(|(span, refusal)| remedy(spec, refusal, span)).unwrap_or_default();
        problems.push(problem.help(format!(
            "{first}name other folders in `publish` (`{{experiment}}` in it stands for the experiment's name)"
        )));
    }
    problems
}

/// Returns what comes before another name for the folder: another one for the experiment, if the folder has its name,
/// or the names under which a spec that was renamed takes its folders over.
fn remedy(spec: &Spec, refusal: &Refusal, span: &Span) -> Option<String> {
    let (owner, _) = refusal.owned.as_deref()?;
    if !owner.spec.starts_with('"') && !spec.root.join(&owner.spec).exists() {
        return Some(format!(
            "{} is gone: to take its folders over, name the experiment `{}` and the stages as there; else ",
            owner.spec, owner.experiment
        ));
    }
    let has_name = owner.experiment == spec.name && spec.sources.text(span).contains("{experiment}");
    has_name.then(|| "give this study another name in `[experiment]` (`name = \"…\"`), or ".to_owned())
}
