//! Collapsed classifiers, which predict one class for every image or never predict some class.

use std::collections::BTreeMap;
use std::ops::Range;

use super::metrics::{ALL, Metrics};

/// The class that is predicted for every image of one input of `classify`, and those that are never predicted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Collapse {
    /// The rows of the input in [`Metrics`].
    pub(crate) rows: Range<usize>,
    /// The class predicted for every image, where the images are of several classes.
    pub(crate) single: Option<String>,
    /// Classes with images that are predicted for none, unless there is a `single` one.
    pub(crate) never: Vec<String>,
}

impl Metrics {
    /// Returns what collapsed in each input, in order; nothing for a table without numbers of predictions.
    pub(crate) fn collapses(&self) -> Vec<Collapse> {
        if self.predicted.is_empty() {
            return Vec::new();
        }
        let rows: Vec<usize> = (0..self.metrics.len()).collect();
        let is_same = |a: &usize, b: &usize| self.axes.iter().all(|(_, labels)| labels[*a] == labels[*b]);
        rows.chunk_by(is_same)
            .map(|rows| {
                let range = rows[0]..rows[0] + rows.len();
                // Each metric repeats the counts of the classes.
                let classes = range.clone().filter(|&row| self.metrics[row] == "recall" && self.labels[row] != ALL);
                Collapse::of(range, classes.map(|row| (&*self.labels[row], self.counts[row], self.predicted[row])))
            })
            .collect()
    }
}

impl Collapse {
    /// Finds the classes from the name, the images and the predictions of each.
    fn of<'a>(rows: Range<usize>, classes: impl Iterator<Item = (&'a str, u64, u64)> + Clone) -> Self {
        let predicted: Vec<&str> = classes.clone().filter(|class| class.2 > 0).map(|class| class.0).collect();
        let occurring = classes.clone().filter(|class| class.1 > 0).count();
        let single = predicted.first().filter(|_| predicted.len() == 1 && occurring > 1).map(|&class| class.to_owned());
        let never = classes.filter(|class| single.is_none() && class.1 > 0 && class.2 == 0);
        let never = never.map(|class| class.0.to_owned()).collect();
        Self { rows, single, never }
    }
}

/// The most places that a remark names.
const PLACES_MAX: usize = 6;

/// Returns a remark on each class that is predicted for every image or for none, with the places where it is so.
pub(crate) fn collapse_remarks(inputs: &[(&Collapse, String)]) -> Vec<String> {
    let (mut single, mut never) = (BTreeMap::<&str, Vec<&str>>::new(), BTreeMap::<&str, Vec<&str>>::new());
    for (input, place) in inputs {
        input.single.iter().for_each(|class| single.entry(class).or_default().push(place));
        input.never.iter().for_each(|class| never.entry(class).or_default().push(place));
    }
    let remark = |(class, places): (&str, Vec<&str>), what: &str| format!("`{class}` {what}{}", among(&places));
    let single = single.into_iter().map(|it| remark(it, "is predicted for every image"));
    let never = never.into_iter().map(|it| remark(it, "is never predicted, so its precision counts as 0"));
    single.chain(never).collect()
}

/// Lists places behind a remark; nothing where the whole study is meant.
fn among(places: &[&str]) -> String {
    let named: Vec<&str> = places.iter().copied().filter(|place| !place.is_empty()).take(PLACES_MAX).collect();
    match (named.is_empty(), places.len().saturating_sub(PLACES_MAX)) {
        (true, _) => String::new(),
        (false, 0) => format!(": {}", named.join("; ")),
        (false, more) => format!(": {}; and {more} more", named.join("; ")),
    }
}

/// Writes a place by its labels: `model = tiny, fold = 2`.
pub(crate) fn place<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let labels = labels.filter(|(_, label)| !label.is_empty()).map(|(axis, label)| format!("{axis} = {label}"));
    labels.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(classes: &[(&'static str, u64, u64)]) -> Collapse {
        Collapse::of(0..0, classes.iter().copied())
    }

    #[test]
    fn one_class_for_images_of_several_is_a_collapse_and_for_images_of_one_is_not() {
        assert_eq!(of(&[("m", 3, 0), ("g", 2, 5), ("p", 0, 0)]).single.as_deref(), Some("g"));
        assert_eq!(of(&[("m", 5, 5), ("g", 0, 0)]), Collapse { rows: 0..0, single: None, never: Vec::new() });
        assert_eq!(of(&[("m", 3, 0), ("g", 2, 2), ("p", 1, 4)]).never, ["m"]);
        assert_eq!(of(&[]).single, None);
    }

    #[test]
    fn remarks_name_a_few_places() {
        let single = of(&[("m", 3, 0), ("g", 2, 5)]);
        let inputs: Vec<_> = (1..=8).map(|fold| (&single, format!("fold = {fold}"))).collect();
        assert_eq!(collapse_remarks(&inputs[..1]), ["`g` is predicted for every image: fold = 1"]);
        let remark = &collapse_remarks(&inputs)[0];
        assert!(remark.ends_with("fold = 5; fold = 6; and 2 more"), "{remark}");
        let never = of(&[("m", 3, 0), ("g", 2, 3), ("p", 1, 3)]);
        assert_eq!(
            collapse_remarks(&[(&never, String::new())]),
            ["`m` is never predicted, so its precision counts as 0"]
        );
        assert!(collapse_remarks(&[(&of(&[("m", 3, 1), ("g", 2, 4)]), String::new())]).is_empty());
    }
}
