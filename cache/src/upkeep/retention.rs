//! Ranking of results by value.
//!
//! A result is worth nothing to a run without its inputs: a key is known only once the outputs of its inputs are. So a
//! result counts as used whenever a result made from it was, and stays if one of those does. [`rank`] puts each result
//! after its inputs: wherever the order is cut, the results that stay have theirs.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::value::artifact::{ActionKey, OutputDigest};

/// A recorded result, with all that decides whether it stays.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Use {
    pub(crate) key: ActionKey,
    /// The node of its first run.
    pub(crate) node: String,
    /// The kind of that node's stage.
    pub(crate) kind: String,
    pub(crate) outputs: Vec<OutputDigest>,
    /// The outputs of other results that it was made from.
    pub(crate) inputs: Vec<OutputDigest>,
    pub(crate) elapsed_ms: u64,
    /// Its last use in milliseconds since 1970: its own at first, after [`rank`] that of the result that decides.
    pub(crate) last_used_ms: u64,
    /// True if it stays, whatever the limits are.
    pub(crate) protected: bool,
}

/// Orders results by value: protected ones first, then the latest used; each after its inputs.
///
/// Each result takes over `protected` and `last_used_ms` of the most valuable result made from it, if that one is more
/// valuable.
pub(crate) fn rank(mut uses: Vec<Use>) -> Vec<Use> {
    // Ties by key, so that a dry run and a real one agree.
    uses.sort_unstable_by_key(|result| (Reverse((result.protected, result.last_used_ms)), result.key));
    let mut producers: HashMap<OutputDigest, Vec<usize>> = HashMap::new();
    for (index, result) in uses.iter().enumerate() {
        result.outputs.iter().for_each(|output| producers.entry(*output).or_default().push(index));
    }
    let mut seen = vec![false; uses.len()];
    let mut order = Vec::with_capacity(uses.len());
    for root in 0..uses.len() {
        // Depth first, inputs before their reader. As roots come in order of value, the first root to reach a result is
        // the most valuable one that needs it.
        let (protected, last_used_ms) = (uses[root].protected, uses[root].last_used_ms);
        let mut stack = vec![(root, false)];
        while let Some((index, inputs_done)) = stack.pop() {
            if inputs_done {
                order.push(index);
            } else if !std::mem::replace(&mut seen[index], true) {
                let result = &mut uses[index];
                (result.protected, result.last_used_ms) = (protected, last_used_ms);
                stack.push((index, true));
                let inputs = result.inputs.iter().filter_map(|input| producers.get(input)).flatten();
                stack.extend(inputs.filter(|input| !seen[**input]).map(|input| (*input, false)));
            }
        }
    }
    let mut uses: Vec<_> = uses.into_iter().map(Some).collect();
    order.into_iter().map(|index| uses[index].take().expect("each is ordered once")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    fn output(name: &str) -> OutputDigest {
        OutputDigest(Digest::of(name.as_bytes()))
    }

    /// A result named `name`, with one output of the same name.
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

    /// Ranks results; returns their names with the time and the protection that decided.
    fn ranked(uses: &[Use], names: &[&'static str]) -> Vec<(&'static str, u64, bool)> {
        let name =
            |result: &Use| *names.iter().find(|name| output(name) == result.outputs[0]).expect("a name of the test");
        rank(uses.to_vec()).iter().map(|result| (name(result), result.last_used_ms, result.protected)).collect()
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
    fn a_protected_result_comes_first_with_its_inputs() {
        let mut uses = [used("images", &[], 1), used("pinned", &["images"], 2), used("new", &[], 9)];
        uses[1].protected = true;
        let expected = [("images", 2, true), ("pinned", 2, true), ("new", 9, false)];
        assert_eq!(ranked(&uses, &["images", "pinned", "new"]), expected);
    }

    #[test]
    fn an_input_that_two_results_produced_keeps_both() {
        let mut twin = used("twin", &[], 1);
        twin.outputs.push(output("images"));
        let uses = [used("images", &[], 1), twin, used("score", &["images"], 5), used("old", &[], 3)];
        let times: Vec<_> = ranked(&uses, &["images", "twin", "score", "old"]);
        assert_eq!(times.iter().map(|(_, used_ms, _)| *used_ms).collect::<Vec<_>>(), [5, 5, 5, 3]);
    }

    #[test]
    fn a_result_whose_output_is_its_own_input_ends_the_search() {
        let uses = [used("same", &["same"], 3), used("after", &["same"], 4)];
        assert_eq!(ranked(&uses, &["same", "after"]), [("same", 4, false), ("after", 4, false)]);
    }
}
