//! One call of a stage, in a thread or in a worker: catches panics, checks results, rate-limits progress.

use std::path::{Component, Path};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::panic::{self, Print};
use crate::stage::{Action, Context, Output, Progress, Stage, StageError};

/// The shortest interval between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a stage and returns one result for each action, in order.
pub(super) fn run(
    stage: &dyn Stage,
    context: &Context<'_>,
    actions: &[Action],
    print: Print,
) -> Vec<Result<Vec<Output>, Failure>> {
    let all = |failure: Failure| actions.iter().map(|_| Err(failure.clone())).collect();
    let node = actions.first().map_or("", |action| action.node.as_str());
    let span = tracing::info_span!("run", kind = stage.facts().kind, node, members = actions.len());
    let results = match span.in_scope(|| panic::catch(print, || stage.run(context, actions))) {
        Ok(results) => results,
        Err(message) => return all(Failure::Panicked { message }),
    };
    if results.len() != actions.len() {
        let counts = format!("BUG: the stage gave {} results for {} nodes", results.len(), actions.len());
        return all(Failure::Stage(StageError::new(counts)));
    }
    let check = |(action, result): (&Action, Result<Vec<Output>, StageError>)| match result {
        Ok(outputs) => declared(outputs, &stage.outputs(&action.params)).map_err(Failure::Stage),
        Err(StageError::Cancelled) if (context.cancelled)() => Err(Failure::Cancelled),
        Err(error) => Err(Failure::Stage(error)),
    };
    actions.iter().zip(results).map(check).collect()
}

/// Sorts outputs in the order of their declaration. Errors: other outputs, and names of files outside the artifact.
fn declared(mut outputs: Vec<Output>, names: &[String]) -> Result<Vec<Output>, StageError> {
    outputs.sort_by_key(|output| names.iter().position(|name| *name == output.name));
    if outputs.len() != names.len() || outputs.iter().zip(names).any(|(output, name)| output.name != *name) {
        let found: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
        let (found, names) = (found.join(", "), names.join(", "));
        return Err(StageError::new(format!("BUG: the stage gave the outputs [{found}] and declares [{names}]")));
    }
    let mut files = outputs.iter().flat_map(|output| &output.files);
    match files.find(|(name, _)| !is_inside(name)) {
        Some((name, _)) => Err(StageError::new(format!("BUG: `{name}` is no name of a file within an artifact"))),
        None => Ok(outputs),
    }
}

fn is_inside(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.is_empty() && components.all(|component| matches!(component, Component::Normal(_)))
}

/// Forwards a report of progress now and then, and every last one.
pub(super) struct RateLimited<F> {
    report: F,
    latest: Mutex<Option<Instant>>,
}

impl<F: Fn(Progress)> RateLimited<F> {
    pub(super) fn new(report: F) -> Self {
        Self { report, latest: Mutex::new(None) }
    }

    pub(super) fn report(&self, progress: Progress) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let due = latest.is_none_or(|latest| latest.elapsed() >= PROGRESS_INTERVAL);
        if due || progress.done >= progress.total {
            *latest = Some(Instant::now());
            (self.report)(progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn output(name: &str, file: &str) -> Output {
        Output::file(name, file, vec![])
    }

    #[test]
    fn outputs_are_put_in_the_order_of_their_declaration() {
        let names = ["images".to_owned(), "masks".to_owned()];
        let outputs = declared(vec![output("masks", "a/b"), output("images", "c")], &names).expect("both are declared");
        assert_eq!(outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["images", "masks"]);
    }

    #[test]
    fn missing_and_undeclared_outputs_and_files_outside_are_refused() {
        let names = ["images".to_owned()];
        let wrong = [
            vec![],
            vec![output("masks", "a")],
            vec![output("images", "a"), output("images", "b")],
            vec![output("images", "../a")],
            vec![output("images", "/a")],
            vec![output("images", "")],
        ];
        for outputs in wrong {
            let error = declared(outputs, &names).expect_err("it is wrong");
            assert!(error.to_string().starts_with("BUG: "), "{error}");
        }
    }

    #[test]
    fn progress_is_rate_limited_but_its_end_is_reported() {
        let reported = RefCell::new(vec![]);
        let limited = RateLimited::new(|progress: Progress| reported.borrow_mut().push(progress.done));
        for done in 1..=1000 {
            limited.report(Progress { done, total: 1000, message: String::new() });
        }
        let reported = reported.take();
        assert_eq!((reported[0], *reported.last().expect("at least the first")), (1, 1000));
        assert!(reported.len() < 100);
    }
}
