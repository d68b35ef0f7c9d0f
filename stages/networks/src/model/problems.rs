//! Problems of the tensors of a file, told in one sentence of bounded length.

/// The most tensors that an error names.
pub(super) const LISTED_MAX: usize = 20;

/// Joins problems, a list per kind: all of them, or as many of each kind and the number of the others.
pub(super) fn listed(kinds: &[Vec<String>]) -> String {
    let count = |lists: &[Vec<String>]| lists.iter().map(Vec::len).sum::<usize>();
    let all = count(kinds);
    let kinds_found = kinds.iter().filter(|problems| !problems.is_empty()).count().max(1);
    let each_max = if all > LISTED_MAX { LISTED_MAX / kinds_found } else { LISTED_MAX };
    let mut shown: Vec<&str> = kinds.iter().flat_map(|list| list.iter().take(each_max)).map(String::as_str).collect();
    let more = format!("and {} more", all - shown.len());
    if shown.len() < all {
        shown.push(&more);
    }
    shown.join("; ")
}

/// Returns advice for a state dict in which some names have a prefix: it gives two names that differ by one.
pub(super) fn prefix_advice(missing: &[&str], unexpected: &[&str]) -> Option<String> {
    let ends = |name: &str, end: &str| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'));
    let (longer, shorter) = unexpected.iter().find_map(|name| {
        let shorter = missing.iter().filter(|missing| ends(name, missing)).max_by_key(|missing| missing.len());
        Some((name, shorter?))
    })?;
    Some(format!("; is `{longer}` the missing `{shorter}`? a prefix is removed only if all names share it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(kind: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{kind}{number}")).collect()
    }

    #[test]
    fn up_to_twenty_problems_are_listed() {
        assert_eq!(listed(&[problems("a", 2), vec![], problems("b", 1)]), "a0; a1; b0");
        assert_eq!(listed(&[problems("a", 20)]).matches("; ").count(), 19);
        let many = listed(&[problems("a", 62)]);
        assert!(many.starts_with("a0; a1; ") && many.ends_with("; a19; and 42 more"), "{many}");
    }

    #[test]
    fn every_kind_of_problem_is_among_those_listed() {
        let many = listed(&[problems("a", 62), vec![], problems("b", 62)]);
        assert!(many.contains("; a9; b0; ") && many.ends_with("; b9; and 104 more"), "{many}");
    }

    #[test]
    fn advice_names_the_longest_missing_name_that_a_prefix_hides() {
        let (missing, unexpected) = (["bn1.bias", "layer1.0.bn1.bias"], ["loss.bias", "net.layer1.0.bn1.bias"]);
        let advice = prefix_advice(&missing, &unexpected).expect("one has a prefix");
        assert!(advice.starts_with("; is `net.layer1.0.bn1.bias` the missing `layer1.0.bn1.bias`?"), "{advice}");
        assert_eq!(prefix_advice(&missing, &["loss.bias", "xbn1.bias"]), None);
    }
}
