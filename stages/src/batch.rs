//! Groups of a batch: members that share inputs, which are read once.

use orchestrate_cache::Digest;
use orchestrate_engine::stage::{Action, Output, StageError};

/// The result of a stage for one member.
pub type Outcome = Result<Vec<Output>, StageError>;

/// Runs members of equal `key` together, and returns one outcome for each member, in order.
///
/// Members that failed already keep their error. An error of `run` is the error of every member of the group.
pub fn in_groups<M, K: PartialEq>(
    members: Vec<Result<M, StageError>>,
    key: impl Fn(&M) -> K,
    run: impl Fn(&[M]) -> Result<Vec<Outcome>, StageError>,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = members.iter().map(|_| None).collect();
    let mut groups: Vec<(K, Vec<usize>, Vec<M>)> = Vec::new();
    for (index, member) in members.into_iter().enumerate() {
        match member {
            Ok(member) => {
                let key = key(&member);
                match groups.iter_mut().find(|(other, _, _)| *other == key) {
                    Some((_, indices, members)) => {
                        indices.push(index);
                        members.push(member);
                    }
                    None => groups.push((key, vec![index], vec![member])),
                }
            }
            Err(error) => outcomes[index] = Some(Err(error)),
        }
    }
    for (_, indices, members) in groups {
        let results = run(&members).unwrap_or_else(|error| members.iter().map(|_| Err(error.clone())).collect());
        for (index, result) in indices.into_iter().zip(results) {
            outcomes[index] = Some(result);
        }
    }
    outcomes.into_iter().map(|outcome| outcome.expect("BUG: a member of a batch has no outcome")).collect()
}

/// Digests of the files at a port; equal for equal bytes.
pub fn digests(action: &Action, port: &str) -> Vec<Digest> {
    action.items(port).iter().flat_map(|item| item.files.iter().map(|file| file.digest)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn members_of_equal_key_run_together_and_keep_their_places() {
        let members = vec![Ok(3), Err(StageError::new("unreadable")), Ok(4), Ok(5), Ok(6)];
        let calls = RefCell::new(Vec::new());
        let outcomes = in_groups(
            members,
            |member| member % 2,
            |group| {
                calls.borrow_mut().push(group.to_vec());
                if group[0] == 4 {
                    return Err(StageError::new("even"));
                }
                Ok(group.iter().map(|member| Ok(vec![Output::file(&member.to_string(), "x", Vec::new())])).collect())
            },
        );
        let shown: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| outcome.map(|outputs| outputs[0].name.clone()).unwrap_or_else(|error| error.to_string()))
            .collect();
        assert_eq!(calls.into_inner(), [vec![3, 5], vec![4, 6]]);
        assert_eq!(shown, ["3", "unreadable", "even", "5", "even"]);
    }
}
