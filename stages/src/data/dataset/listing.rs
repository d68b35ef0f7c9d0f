//! Which images a data set has, before any of them is decoded.

use std::fmt::Display;

use crate::artifact::Labels;

/// Images in order, with their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    /// Class names in the order of their indices.
    pub(super) classes: Vec<String>,
    /// Further columns by name, one value an entry.
    pub(super) columns: Vec<(String, Vec<String>)>,
}

/// One image of a data set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Unique name; for images that are files, the file's name relative to the manifest or folder.
    pub(super) name: String,
    /// Class index.
    pub(super) label: u32,
    pub(super) patient: Option<String>,
    /// The mask's file, relative to the manifest or folder.
    pub(super) mask: Option<String>,
}

impl Listing {
    /// Keeps at most `limit` images: each class its share, rounded by largest remainder (the lower index where two are
    /// equal), of each class the first images; the order stays.
    pub(super) fn limited(mut self, limit: Option<usize>) -> Self {
        let total = self.entries.len();
        let Some(limit) = limit.filter(|&limit| limit < total) else { return self };
        let mut counts = vec![0; self.classes.len()];
        self.entries.iter().for_each(|entry| counts[entry.label as usize] += 1);
        let mut left = shares(&counts, limit);
        let keep: Vec<bool> = self
            .entries
            .iter()
            .map(|entry| {
                let left = &mut left[entry.label as usize];
                let keep = *left > 0;
                *left -= usize::from(keep);
                keep
            })
            .collect();
        retain(&mut self.entries, &keep);
        self.columns.iter_mut().for_each(|(_, values)| retain(values, &keep));
        self
    }

    /// The artifact of classes and patients.
    pub(super) fn labels(&self) -> Labels {
        Labels {
            names: self.names(),
            labels: self.entries.iter().map(|entry| entry.label).collect(),
            classes: self.classes.clone(),
            patients: self.entries.iter().map(|entry| entry.patient.clone()).collect(),
            columns: self.columns.clone(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.name.clone()).collect()
    }
}

/// Divides `limit` among classes of these sizes by largest remainder.
fn shares(counts: &[usize], limit: usize) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    let product = |count: usize| limit as u128 * count as u128;
    let mut shares: Vec<usize> = counts.iter().map(|&count| (product(count) / total as u128) as usize).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(product(counts[class]) % total as u128));
    let rest = limit - shares.iter().sum::<usize>();
    order.into_iter().take(rest).for_each(|class| shares[class] += 1);
    shares
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| keep.next() == Some(&true));
}

/// Class index of each label, and the class names: those given, else in order of first appearance.
///
/// Errors: one sentence for each label that is no class, with the first place that has it.
pub(super) fn classify<P: Display>(
    labels: &[(P, &str)],
    classes: Option<&[String]>,
) -> Result<(Vec<u32>, Vec<String>), Vec<String>> {
    let mut names = classes.map(<[String]>::to_vec).unwrap_or_default();
    let mut indices = Vec::with_capacity(labels.len());
    let mut unknown: Vec<&str> = Vec::new();
    let mut problems = Vec::new();
    for &(ref place, label) in labels {
        let index = names.iter().position(|name| name == label).or_else(|| {
            classes.is_none().then(|| {
                names.push(label.to_owned());
                names.len() - 1
            })
        });
        match index {
            Some(index) => indices.push(index as u32),
            None if unknown.contains(&label) => {}
            None => {
                unknown.push(label);
                problems.push(format!("{place}: class `{label}` is not in `classes`, which has {}", names.join(", ")));
            }
        }
    }
    if problems.is_empty() { Ok((indices, names)) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(labels: &[u32]) -> Listing {
        let entry =
            |(index, &label): (usize, &u32)| Entry { name: index.to_string(), label, patient: None, mask: None };
        Listing {
            entries: labels.iter().enumerate().map(entry).collect(),
            classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
            columns: vec![("id".to_owned(), (0..labels.len()).map(|index| format!("id {index}")).collect())],
        }
    }

    #[test]
    fn a_limit_keeps_the_shares_and_the_first_of_each_class_in_order() {
        // 4 of 10: shares 0.8, 1.2, 2.0 of classes with 2, 3 and 5 images, so 1, 1 and 2.
        let limited = listing(&[2, 2, 1, 2, 0, 1, 1, 2, 0, 2]).limited(Some(4));
        assert_eq!(limited.names(), ["0", "1", "2", "4"]);
        assert_eq!(limited.columns[0].1, ["id 0", "id 1", "id 2", "id 4"]);
        assert_eq!(listing(&[0, 1, 2]).limited(Some(3)), listing(&[0, 1, 2]));
        assert_eq!(listing(&[0, 1, 2]).limited(None), listing(&[0, 1, 2]));
    }

    #[test]
    fn shares_of_the_paper_add_up() {
        // 600 × 708 / 3064 = 138.64, 600 × 1426 / 3064 = 279.24, 600 × 930 / 3064 = 182.11.
        assert_eq!(shares(&[708, 1426, 930], 600), [139, 279, 182]);
        assert_eq!(shares(&[1, 1, 1], 2), [1, 1, 0]);
    }

    #[test]
    fn classes_come_in_order_of_appearance_unless_they_are_given() {
        let labels = [(1, "b"), (2, "a"), (3, "b")];
        assert_eq!(classify(&labels, None), Ok((vec![0, 1, 0], vec!["b".to_owned(), "a".to_owned()])));
        let given = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(classify(&labels, Some(&given)), Ok((vec![1, 0, 1], given.to_vec())));
        let error = classify(&labels, Some(&given[..1])).unwrap_err();
        assert_eq!(error, ["1: class `b` is not in `classes`, which has a"]);
    }
}
