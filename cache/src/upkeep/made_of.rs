//! The results made of something, by the outputs that passed from one to the next.
//!
//! A result is clean if it does not read the source itself, and each of its inputs is the output of a clean result. All
//! others count as made of the source. So an output that some result also produced without the source, byte by byte,
//! passes nothing on. A result with an input that no known result produced cannot be traced, and is not clean: no run
//! can find it either, as its key is known only once that input is.

use std::collections::{HashMap, HashSet};

use crate::error::StoreError;
use crate::format::record::Kind;
use crate::store::Store;
use crate::value::artifact::{ActionKey, ActionResult, OutputDigest};

/// The results made of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeOf {
    /// Keys of recorded and of collected results.
    pub keys: HashSet<ActionKey>,
    /// The number of recorded results among them that cannot be traced, and so may be made of something else.
    pub untraced: usize,
}

/// A result with the outputs that it reads and makes.
struct Step {
    key: ActionKey,
    is_source: bool,
    is_recorded: bool,
    /// Each once.
    inputs: HashSet<OutputDigest>,
    outputs: Vec<OutputDigest>,
}

impl Store {
    /// Finds the results made of a source, among recorded and collected ones; `reads` tells which read the source
    /// itself.
    pub fn made_of(&self, reads: impl Fn(&ActionKey, &ActionResult) -> bool) -> Result<MadeOf, StoreError> {
        let step = |is_recorded, key, result: &ActionResult| Step {
            key,
            is_source: reads(&key, result),
            is_recorded,
            inputs: result.inputs().into_iter().collect(),
            outputs: result.outputs.iter().map(|(_, output)| *output).collect(),
        };
        self.read_whole()?;
        let mut steps: Vec<_> = self.results().map(|(key, result, _)| step(true, key, &result)).collect();
        let read: HashSet<_> = steps.iter().map(|step| step.key).collect();
        steps.extend(self.lineage()?.map(|lineage| step(false, lineage.key, &lineage.result)));
        let mut found = made_of(&steps);
        // The body of a record may be corrupt.
        let recorded: Vec<_> = self.index().all(Kind::Result).map(|(key, _)| ActionKey(key)).collect();
        for key in recorded.into_iter().filter(|key| !read.contains(key)) {
            found.untraced += 1;
            found.keys.insert(key);
        }
        Ok(found)
    }
}

fn made_of(steps: &[Step]) -> MadeOf {
    let mut readers: HashMap<OutputDigest, Vec<usize>> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        step.inputs.iter().for_each(|input| readers.entry(*input).or_default().push(index));
    }
    let spread = |from: Vec<usize>, mut passes: Box<dyn FnMut(usize) -> bool + '_>| {
        let (mut queue, mut seen) = (from, HashSet::new());
        while let Some(index) = queue.pop() {
            for output in steps[index].outputs.iter().filter(|output| seen.insert(**output)) {
                let readers = readers.get(output).into_iter().flatten();
                queue.extend(readers.filter(|reader| passes(**reader)));
            }
        }
    };
    // Inputs that are not yet known to be clean.
    let mut unclean: Vec<_> = steps.iter().map(|step| step.inputs.len()).collect();
    let mut clean: Vec<_> = steps.iter().map(|step| !step.is_source && step.inputs.is_empty()).collect();
    let first = (0..steps.len()).filter(|index| clean[*index]).collect();
    spread(
        first,
        Box::new(|reader| {
            unclean[reader] -= 1;
            clean[reader] = unclean[reader] == 0 && !steps[reader].is_source;
            clean[reader]
        }),
    );
    let mut reached: Vec<_> = steps.iter().map(|step| step.is_source).collect();
    let sources = (0..steps.len()).filter(|index| reached[*index]).collect();
    spread(sources, Box::new(|reader| !clean[reader] && !std::mem::replace(&mut reached[reader], true)));
    let unclean = || steps.iter().zip(&clean).zip(&reached).filter(|((_, is_clean), _)| !**is_clean);
    let untraced = unclean().filter(|((step, _), is_reached)| step.is_recorded && !**is_reached).count();
    MadeOf { keys: unclean().map(|((step, _), _)| step.key).collect(), untraced }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    fn output(name: &str) -> OutputDigest {
        OutputDigest(Digest::of(name.as_bytes()))
    }

    /// A result named `name` with some inputs and outputs; `*` before the name marks a source.
    fn step(name: &str, inputs: &[&str], outputs: &[&str]) -> Step {
        Step {
            key: ActionKey(Digest::of(name.trim_start_matches('*').as_bytes())),
            is_source: name.starts_with('*'),
            is_recorded: true,
            inputs: inputs.iter().map(|input| output(input)).collect(),
            outputs: outputs.iter().map(|name| output(name)).collect(),
        }
    }

    fn found(steps: &[Step], names: &[&'static str]) -> (Vec<&'static str>, usize) {
        let MadeOf { keys, untraced } = made_of(steps);
        let is_made = |name: &&&str| keys.contains(&ActionKey(Digest::of(name.as_bytes())));
        (names.iter().filter(is_made).copied().collect(), untraced)
    }

    #[test]
    fn all_that_follows_from_a_source_is_found_and_nothing_beside_it() {
        let steps = [
            step("*data", &[], &["images", "labels"]),
            step("other", &[], &["others"]),
            step("train", &["images", "labels"], &["weights"]),
            step("compare", &["others", "weights"], &["table"]),
            step("beside", &["others"], &["more"]),
        ];
        let names = ["data", "other", "train", "compare", "beside"];
        assert_eq!(found(&steps, &names), (vec!["data", "train", "compare"], 0));
    }

    #[test]
    fn an_output_that_was_also_made_without_the_source_passes_nothing_on() {
        let steps = [
            step("*data", &[], &["images", "labels"]),
            step("new data", &[], &["new images", "labels"]),
            step("split", &["labels"], &["folds"]),
            step("train", &["new images", "folds"], &["weights"]),
            step("old train", &["images", "folds"], &["old weights"]),
        ];
        let names = ["data", "new data", "split", "train", "old train"];
        assert_eq!(found(&steps, &names), (vec!["data", "old train"], 0));
    }

    #[test]
    fn a_result_that_returns_its_input_proves_nothing() {
        let steps = [
            step("*data", &[], &["images"]),
            step("copy", &["images"], &["images"]),
            step("after", &["images"], &["scores"]),
        ];
        assert_eq!(found(&steps, &["data", "copy", "after"]), (vec!["data", "copy", "after"], 0));
    }

    #[test]
    fn what_cannot_be_traced_counts_as_made_of_the_source() {
        let steps = [
            step("*data", &[], &["images"]),
            step("clean", &[], &["x"]),
            step("orphan", &["lost"], &["y"]),
            step("below", &["x", "y"], &["z"]),
        ];
        assert_eq!(found(&steps, &["data", "clean", "orphan", "below"]), (vec!["data", "orphan", "below"], 2));
    }
}
