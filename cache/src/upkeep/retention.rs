//! Ranking of results by value.
//!
//! A result is worth nothing to a run without its inputs: a key is known only once the outputs of its inputs are. So
//! the last use of a result is that of the latest result made from it, and a result stays if one of those does.
//! Wherever the order is cut, each kept result has its inputs.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::value::artifact::{ActionKey, OutputDigest};

/// The use of a recorded result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Use {
    pub(crate) key: ActionKey,
    /// The node of its first run, and the kind of its stage.
    pub(crate) node: String,
    pub(crate) kind: String,
    pub(crate) outputs: Vec<OutputDigest>,
    /// Outputs of other results, from which it was made.
    pub(crate) inputs: Vec<OutputDigest>,
    pub(crate) elapsed_ms: u64,
    /// When it was needed itself, in milliseconds since 1970.
    pub(crate) last_used_ms: u64,
    /// True if it stays whatever the limits.
    pub(crate) protected: bool,
}

/// Orders results by value: protected ones first, then the latest used; each after its inputs.
///
/// Afterwards, `last_used_ms` and `protected` are those of the result or of one that was made from it.
pub(crate) fn rank(mut uses: Vec<Use>) -> Vec<Use> {
    // Ties by key, so that a dry run and a real one agree.
    uses.sort_unstable_by_key(|one| (Reverse((one.protected, one.last_used_ms)), one.key));
    let mut producers: HashMap<OutputDigest, Vec<usize>> = HashMap::new();
    for (number, one) in uses.iter().enumerate() {
        one.outputs.iter().for_each(|output| producers.entry(*output).or_default().push(number));
    }
    let mut seen = vec![false; uses.len()];
    let mut order = Vec::with_capacity(uses.len());
    for root in 0..uses.len() {
        // Inputs first. Each result is reached from the most valuable one that needs it, as roots are in that order.
        let (protected, last_used_ms) = (uses[root].protected, uses[root].last_used_ms);
        let mut stack = vec![(root, false)];
        while let Some((number, inputs_are_done)) = stack.pop() {
            if inputs_are_done {
                order.push(number);
            } else if !std::mem::replace(&mut seen[number], true) {
                let one = &mut uses[number];
                (one.protected, one.last_used_ms) = (protected, last_used_ms);
                stack.push((number, true));
                let inputs = one.inputs.iter().filter_map(|input| producers.get(input)).flatten();
                stack.extend(inputs.filter(|input| !seen[**input]).map(|input| (*input, false)));
            }
        }
    }
    let mut uses: Vec<_> = uses.into_iter().map(Some).collect();
    order.into_iter().map(|number| uses[number].take().expect("each is ordered once")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    fn output(name: &str) -> OutputDigest {
        OutputDigest(Digest::of(name.as_bytes()))
    }

    /// A result of that name, with an output of that name.
    fn used(name: &str, inputs: &[&str], last_used_ms: u64) -> Use {
        Use {
            key: ActionKey(Digest::of(name.as_bytes())),
            node: name.to_owned(),
            kind: "test".to_owned(),
            outputs: vec![output(name)],
            inputs: inputs.iter().map(|input| output(input)).collect(),
            elapsed_ms: 1,
            last_used_ms,
            protected: false,
        }
    }

    /// Names in order with the time that decides.
    fn ranked(uses: &[Use], names: &[&'static str]) -> Vec<(&'static str, u64, bool)> {
        let name = |one: &Use| *names.iter().find(|name| output(name) == one.outputs[0]).expect("a name of the test");
        rank(uses.to_vec()).iter().map(|one| (name(one), one.last_used_ms, one.protected)).collect()
    }

    #[test]
    fn the_latest_used_comes_first_and_each_after_its_inputs() {
        let uses = [
            used("images", &[], 1),
            used("train", &["images"], 2),
            used("score", &["train"], 9),
            used("other", &[], 5),
        ];
        let names = ["images", "train", "score", "other"];
        let all = [("images", 9, false), ("train", 9, false), ("score", 9, false), ("other", 5, false)];
        assert_eq!(ranked(&uses, &names), all);
    }

    #[test]
    fn what_is_protected_comes_before_all_else_with_its_inputs() {
        let mut uses = [used("images", &[], 1), used("pinned", &["images"], 2), used("new", &[], 9)];
        uses[1].protected = true;
        let expected = [("images", 2, true), ("pinned", 2, true), ("new", 9, false)];
        assert_eq!(ranked(&uses, &["images", "pinned", "new"]), expected);
    }

    #[test]
    fn an_input_that_two_results_gave_keeps_both() {
        let mut twin = used("twin", &[], 1);
        twin.outputs.push(output("images"));
        let uses = [used("images", &[], 1), twin, used("score", &["images"], 5), used("old", &[], 3)];
        let times: Vec<_> = ranked(&uses, &["images", "twin", "score", "old"]);
        assert_eq!(times.iter().map(|(_, used_ms, _)| *used_ms).collect::<Vec<_>>(), [5, 5, 5, 3]);
    }

    #[test]
    fn a_stage_that_gives_what_it_was_given_is_no_endless_circle() {
        let uses = [used("same", &["same"], 3), used("after", &["same"], 4)];
        assert_eq!(ranked(&uses, &["same", "after"]), [("same", 4, false), ("after", 4, false)]);
    }
}
