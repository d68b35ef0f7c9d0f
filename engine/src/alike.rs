//! Problems of one cause: three are shown, and the others counted.
//!
//! Two problems have one cause if they differ in the stage, in paths and in numbers alone and have the same remedy. At
//! one location they may also differ in names, as the rows of a file of data do.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Span;

/// Number of problems of one cause that are shown.
const SHOWN: usize = 3;

/// Leaves out problems of a cause that others show. Those at one location become one, with the others as notes.
pub fn grouped(all: &[Diagnostic]) -> Vec<Diagnostic> {
    let mut places: HashMap<Cause<'_>, Vec<usize>> = HashMap::new();
    for (index, problem) in all.iter().enumerate() {
        places.entry(Cause::of(problem, true)).or_default().push(index);
    }
    let mut elsewhere: HashMap<Cause<'_>, Vec<usize>> = HashMap::new();
    let mut shown: Vec<Option<Diagnostic>> = all.iter().cloned().map(Some).collect();
    for indices in places.into_values() {
        match indices.as_slice() {
            // One more than is shown would take the place of its count.
            [first, ..] if indices.len() > SHOWN + 1 => {
                let others = indices[1..SHOWN].iter().map(|index| all[*index].message.clone());
                let one = others.fold(all[*first].clone(), Diagnostic::note);
                indices.iter().for_each(|index| shown[*index] = None);
                shown[*first] = Some(one.note(more(indices.len() - SHOWN)));
            }
            _ => indices.iter().for_each(|index| {
                elsewhere.entry(Cause::of(&all[*index], false)).or_default().push(*index);
            }),
        }
    }
    for mut indices in elsewhere.into_values().filter(|indices| indices.len() > SHOWN + 1) {
        indices.sort_unstable();
        indices[SHOWN..].iter().for_each(|index| shown[*index] = None);
        for (position, index) in indices[..SHOWN].iter().enumerate() {
            let Some(problem) = &mut shown[*index] else { continue };
            if position + 1 < SHOWN {
                problem.help = None;
                problem.notes.clear();
            } else {
                problem.notes.push(more(indices.len() - SHOWN));
            }
        }
    }
    shown.into_iter().flatten().collect()
}

/// Leaves out texts of a cause that others show, and adds their number.
pub fn grouped_texts(all: &[String]) -> Vec<String> {
    let problems: Vec<_> = all.iter().map(|text| Diagnostic::error(text).at(0..0)).collect();
    let lines = |problem: Diagnostic| std::iter::once(problem.message).chain(problem.notes).collect::<Vec<_>>();
    grouped(&problems).into_iter().flat_map(lines).collect()
}

fn more(count: usize) -> String {
    format!("and {count} more like these")
}

/// The parts of a problem that it shares with those of one cause.
#[derive(PartialEq, Eq, Hash)]
struct Cause<'a> {
    severity: Severity,
    /// The message without that in which they may differ.
    message: String,
    notes: &'a [String],
    help: Option<&'a str>,
    span: Option<&'a Span>,
}

impl<'a> Cause<'a> {
    fn of(problem: &'a Diagnostic, at_one_place: bool) -> Self {
        let Diagnostic { severity, message, span, notes, help } = problem;
        Self {
            severity: *severity,
            message: common(message, at_one_place),
            notes,
            help: help.as_deref(),
            span: span.as_ref().filter(|_| at_one_place),
        }
    }
}

/// Returns a message without the name of its stage, numbers and paths; with `any_names`, also without names in
/// backticks.
fn common(message: &str, any_names: bool) -> String {
    let mut common = String::with_capacity(message.len());
    for (index, part) in message.split('`').enumerate() {
        let is_name = index % 2 == 1;
        if is_name && (any_names || index == 1 && common == "stage ") {
            common.push('…');
        } else if is_name {
            common.push_str(part);
        } else {
            part.split_inclusive(' ').for_each(|word| push_common(&mut common, word));
        }
    }
    common
}

fn push_common(common: &mut String, word: &str) {
    if word.contains('/') {
        return common.push('…');
    }
    for c in word.chars() {
        match c.is_ascii_digit() {
            true if common.ends_with('…') => {}
            true => common.push('…'),
            false => common.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<String> {
        (2..2 + count).map(|line| format!("data/labels.csv: line {line}: `mask-{line}.png` is empty")).collect()
    }

    #[test]
    fn three_of_many_rows_are_shown_and_the_rest_is_counted() {
        let mut all = rows(298);
        all.insert(7, "data/labels.csv: two columns are named `mask`".to_owned());
        let shown = grouped_texts(&all);
        let expected = [&rows(3)[..], &["and 295 more like these".to_owned(), all[7].clone()]].concat();
        assert_eq!(shown, expected);
        assert_eq!(grouped_texts(&rows(4)), rows(4), "a count of one is no shorter");
    }

    #[test]
    fn one_mistake_in_many_stages_has_three_places_and_one_remedy() {
        let problem = |stage: usize, axis: &str, at: usize| {
            let message = format!("stage `s{stage}` varies over `{axis}`, which is not declared");
            Diagnostic::error(message).at(at..at + 1).note("declared axes: rate").help("did you mean `rate`?")
        };
        let mut all: Vec<_> = (0..12).map(|stage| problem(stage, "rote", 10 * stage)).collect();
        all.insert(1, problem(1, "rite", 5));
        let shown = grouped(&all);
        let told: Vec<_> = shown.iter().map(|it| (&it.message[6..10], it.notes.len(), it.help.is_some())).collect();
        assert_eq!(told, [("`s0`", 0, false), ("`s1`", 1, true), ("`s1`", 0, false), ("`s2`", 2, true)]);
        assert_eq!(shown[3].notes[1], "and 9 more like these");
    }

    #[test]
    fn different_names_at_different_places_are_different_mistakes() {
        let all: Vec<_> = ["a", "b", "c", "d", "e"]
            .map(|name| Diagnostic::error(format!("unknown field `{name}`")).at(name.len()..2))
            .into_iter()
            .enumerate()
            .map(|(at, problem)| problem.at(at..at + 1))
            .collect();
        assert_eq!(grouped(&all), all);
    }
}
