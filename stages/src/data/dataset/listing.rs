//! The images of a data set, before any of them is decoded.

use std::collections::HashSet;
use std::ops::Range;

use super::facts::ImageFacts;
use crate::artifact::{ALL, Labels};
use crate::problems::all_or_problems;

/// Images in order, with their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Listing {
    pub(super) images: Vec<ListedImage>,
    /// Class names in the order of their indices.
    pub(super) classes: Vec<String>,
    /// Further columns by name, one value an image.
    pub(super) columns: Vec<(String, Vec<String>)>,
    /// Files of volumes that have no slice with foreground.
    pub(super) empty: Vec<String>,
}

/// One image of a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ListedImage {
    /// The image's file, relative to the manifest or folder.
    pub(super) file: String,
    /// The picture in a file with several, from 0.
    pub(super) part: Option<usize>,
    /// Class index.
    pub(super) label: u32,
    pub(super) patient: Option<String>,
    /// The files of its masks, relative to the manifest or folder; several are joined.
    pub(super) masks: Vec<String>,
}

impl ListedImage {
    /// Returns the unique name: the file, and the part after `#`, as in `scan.nii.gz#12`.
    pub(super) fn name(&self) -> String {
        match self.part {
            Some(part) => format!("{}#{part}", self.file),
            None => self.file.clone(),
        }
    }
}

impl Listing {
    /// Keeps at most `limit` images, in order: of each class the first ones, as many as its share.
    ///
    /// Shares are rounded by largest remainder; of equal remainders the lower class index wins.
    pub(super) fn limited(mut self, limit: Option<usize>) -> Self {
        let total = self.images.len();
        let Some(limit) = limit.filter(|&limit| limit < total) else { return self };
        let mut counts = vec![0; self.classes.len()];
        self.images.iter().for_each(|image| counts[image.label as usize] += 1);
        let mut left = shares(&counts, limit);
        let kept = |image: &ListedImage| {
            let left = &mut left[image.label as usize];
            let keep = *left > 0;
            *left -= usize::from(keep);
            keep
        };
        let keep: Vec<bool> = self.images.iter().map(kept).collect();
        retain(&mut self.images, &keep);
        self.columns.iter_mut().for_each(|(_, values)| retain(values, &keep));
        self
    }

    /// Replaces every image by the `parts` of its file, in their place; `None` keeps an image as it is.
    pub(super) fn expanded(
        self,
        parts: impl Fn(&ListedImage) -> Result<Option<Vec<usize>>, String>,
    ) -> Result<Self, Vec<String>> {
        let Self { images, classes, columns, mut empty } = self;
        let found = images.iter().map(|image| parts(image).map_err(|problem| format!("{}: {problem}", image.file)));
        let found = all_or_problems(found.collect::<Vec<_>>())?;
        let counts: Vec<usize> = found.iter().map(|parts| parts.as_ref().map_or(1, Vec::len)).collect();
        let is_empty = |(_, count): &(&ListedImage, &usize)| **count == 0;
        empty.extend(images.iter().zip(&counts).filter(is_empty).map(|(image, _)| image.file.clone()));
        let one = |(image, parts): (ListedImage, Option<Vec<usize>>)| match parts {
            None => vec![image],
            Some(parts) => {
                parts.into_iter().map(|part| ListedImage { part: Some(part), ..image.clone() }).collect::<Vec<_>>()
            }
        };
        let images: Vec<ListedImage> = images.into_iter().zip(found).flat_map(one).collect();
        if images.is_empty() && !empty.is_empty() {
            return Err(vec![format!("no slice of {} volumes has foreground", empty.len())]);
        }
        // A file with one picture has it as part 0, too.
        let (mut parts, mut named) = (HashSet::new(), HashSet::new());
        let is_twice = |image: &&ListedImage| {
            let is_new = parts.insert((image.file.clone(), image.part.unwrap_or_default()));
            !(named.insert(image.name()) && is_new)
        };
        let twice: Vec<_> = images.iter().filter(is_twice).collect();
        if !twice.is_empty() {
            let problem = |image: &&ListedImage| format!("{}: it is listed twice", image.name());
            return Err(twice.iter().map(problem).collect());
        }
        let repeated = |values: Vec<String>| -> Vec<String> {
            values.into_iter().zip(&counts).flat_map(|(value, &count)| std::iter::repeat_n(value, count)).collect()
        };
        let columns = columns.into_iter().map(|(name, values)| (name, repeated(values))).collect();
        Ok(Self { images, classes, columns, empty })
    }

    /// Returns the ranges of images that follow each other in one file, which is then decoded once.
    pub(super) fn runs(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let runs = self.images.chunk_by(|a, b| a.file == b.file && a.masks == b.masks);
        runs.map(|run| {
            end += run.len();
            end - run.len()..end
        })
        .collect()
    }

    /// Takes patients from headers, if the listing names none at all: one patient must not have two names.
    pub(super) fn complete(&mut self, facts: &[ImageFacts]) {
        if self.images.iter().all(|image| image.patient.is_none()) {
            self.images.iter_mut().zip(facts).for_each(|(image, facts)| image.patient.clone_from(&facts.patient));
        }
    }

    /// Returns the files of images and masks.
    pub(super) fn files(self) -> impl Iterator<Item = String> {
        self.images.into_iter().flat_map(|image| std::iter::once(image.file).chain(image.masks))
    }

    /// Returns the artifact of classes and patients.
    pub(super) fn labels(&self) -> Labels {
        Labels {
            names: self.names(),
            labels: self.images.iter().map(|image| image.label).collect(),
            classes: self.classes.clone(),
            patients: self.images.iter().map(|image| image.patient.clone()).collect(),
            columns: self.columns.clone(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.images.iter().map(ListedImage::name).collect()
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

/// Returns the class index of each label and the class names: `classes`, or else the labels in order of appearance.
///
/// Adds a problem for each label missing from `classes`, with the `place` of the first row that has it.
pub(super) fn classify(
    labels: &[&str],
    classes: Option<&[String]>,
    place: impl Fn(usize) -> String,
    problems: &mut Vec<String>,
) -> (Vec<u32>, Vec<String>) {
    let mut names = classes.map(<[String]>::to_vec).unwrap_or_default();
    let mut indices = Vec::with_capacity(labels.len());
    let mut unknown: Vec<&str> = Vec::new();
    for (row, &label) in labels.iter().enumerate() {
        match names.iter().position(|name| name == label) {
            Some(index) => indices.push(index as u32),
            None if classes.is_none() => {
                indices.push(names.len() as u32);
                names.push(label.to_owned());
            }
            None if unknown.contains(&label) => {}
            None => {
                unknown.push(label);
                let (place, names) = (place(row), names.join(", "));
                problems.push(format!("{place}: class `{label}` is not in `classes`, which has {names}"));
            }
        }
    }
    if let Some(row) = labels.iter().position(|label| *label == ALL) {
        let place = place(row);
        problems.push(format!("{place}: a class is named `{ALL}`, which stands for all classes together; rename it"));
    }
    (indices, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(labels: &[u32]) -> Listing {
        let image =
            |(index, &label): (usize, &u32)| ListedImage { file: index.to_string(), label, ..ListedImage::default() };
        Listing {
            images: labels.iter().enumerate().map(image).collect(),
            classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
            columns: vec![("id".to_owned(), (0..labels.len()).map(|index| format!("id {index}")).collect())],
            empty: Vec::new(),
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
    fn an_image_becomes_the_parts_of_its_file_and_one_without_any_goes() {
        let parts = |image: &ListedImage| match image.file.as_str() {
            "1" => Ok(Some(vec![4, 9])),
            "2" => Ok(Some(Vec::new())),
            "3" => Err("it is cut short".to_owned()),
            _ => Ok(None),
        };
        assert_eq!(listing(&[0, 1, 2, 2]).expanded(parts), Err(vec!["3: it is cut short".to_owned()]));
        let expanded = listing(&[0, 1, 2]).expanded(parts).unwrap();
        assert_eq!(expanded.names(), ["0", "1#4", "1#9"]);
        assert_eq!(expanded.columns[0].1, ["id 0", "id 1", "id 1"]);
        assert_eq!(expanded.empty, ["2"]);
        let mut twice = listing(&[0, 1, 2]);
        twice.images[0] = ListedImage { file: "1".to_owned(), part: Some(4), ..ListedImage::default() };
        let named = |image: &ListedImage| if image.part.is_some() { Ok(None) } else { parts(image) };
        assert_eq!(twice.expanded(named), Err(vec!["1#4: it is listed twice".to_owned()]));
        assert_eq!(expanded.runs(), [0..1, 1..3]);
    }

    #[test]
    fn shares_of_the_paper_add_up() {
        // 600 × 708 / 3064 = 138.64, 600 × 1426 / 3064 = 279.24, 600 × 930 / 3064 = 182.11.
        assert_eq!(shares(&[708, 1426, 930], 600), [139, 279, 182]);
        assert_eq!(shares(&[1, 1, 1], 2), [1, 1, 0]);
    }

    #[test]
    fn classes_are_in_order_of_appearance_unless_they_are_given() {
        let labels = ["b", "a", "b"];
        let classify = |classes: Option<&[String]>| {
            let mut problems = Vec::new();
            let (indices, names) = classify(&labels, classes, |row| format!("row {row}"), &mut problems);
            if problems.is_empty() { Ok((indices, names)) } else { Err(problems) }
        };
        assert_eq!(classify(None), Ok((vec![0, 1, 0], vec!["b".to_owned(), "a".to_owned()])));
        let given = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(classify(Some(&given)), Ok((vec![1, 0, 1], given.to_vec())));
        let error = classify(Some(&given[..1])).unwrap_err();
        assert_eq!(error, ["row 0: class `b` is not in `classes`, which has a"]);
    }
}
