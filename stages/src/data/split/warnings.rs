//! Warnings about folds: patients that the split ignores, and classes with too few of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Params;
use crate::artifact::Labels;

/// The most classes that get a sentence each.
const CLASSES_MAX: usize = 10;

/// Returns what is doubtful about the folds, one sentence each.
///
/// - `group`: column whose groups count, and group of each image
/// - `fold_of_image`: the fold in 0..k in which the image is in the validation set
pub(super) fn warnings(
    params: &Params,
    labels: &Labels,
    group: (&str, &[Option<&str>]),
    fold_of_image: &[usize],
) -> Vec<String> {
    let mut warnings: Vec<String> = ignored_patients(params, labels, fold_of_image).into_iter().collect();
    let without = labels.patients.iter().filter(|patient| patient.is_none()).count();
    if 0 < without && without < labels.patients.len() {
        let images = labels.patients.len();
        warnings.push(format!("{without} of {images} images have no patient, so whether they leak is not known"));
    }
    warnings.extend(small_classes(labels, group, fold_of_image, params.folds as usize));
    warnings
}

/// Warns if patients of the data are on both sides of a fold, as nothing keeps them together.
fn ignored_patients(params: &Params, labels: &Labels, fold_of_image: &[usize]) -> Option<String> {
    let mut folds_of: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (patient, fold) in labels.patients.iter().zip(fold_of_image) {
        if let Some(patient) = patient {
            folds_of.entry(patient).or_default().insert(*fold);
        }
    }
    let (all, split) = (folds_of.len(), folds_of.values().filter(|folds| folds.len() > 1).count());
    if split == 0 {
        return None;
    }
    let (culprit, remedy) = match (&params.group, &params.folds_from) {
        (_, Some(_)) => ("`folds_from` ignores them".to_owned(), "in place of `folds_from`, set `group = \"patient\"`"),
        (Some(group), None) => (format!("groups by `{group}` ignore them"), "set `group = \"patient\"`"),
        (None, None) => ("this split ignores them".to_owned(), "set `group = \"patient\"`"),
    };
    Some(format!("the data name patients, and {culprit}: {split} of {all} are on both sides of a fold; {remedy}"))
}

/// Warns of classes with fewer groups than folds, and of folds that have none of a class on one side.
fn small_classes(
    labels: &Labels,
    (group, groups): (&str, &[Option<&str>]),
    fold_of_image: &[usize],
    folds: usize,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (class, name) in labels.classes.iter().enumerate() {
        let images: Vec<usize> = (0..groups.len()).filter(|&image| labels.labels[image] as usize == class).collect();
        if images.is_empty() {
            continue;
        }
        let known: Option<BTreeSet<&str>> = images.iter().map(|&image| groups[image]).collect();
        let few = known.map(|groups| groups.len()).filter(|&count| count < folds);
        let of_class: BTreeSet<usize> = images.iter().map(|&image| fold_of_image[image]).collect();
        // All images of the class in one fold: that fold has none to train on.
        let (untested, untrained) = (folds - of_class.len(), usize::from(of_class.len() == 1));
        let mut facts: Vec<String> = match few {
            Some(1) => vec![format!("has one {group}, so no fold trains on it with one and validates with another")],
            Some(count) => vec![format!("has {count} {group}s for {folds} folds")],
            None => Vec::new(),
        };
        if untested > 0 {
            facts.push(format!("has no images to validate on in {untested} of {folds} folds"));
        }
        if untrained > 0 {
            facts.push("has none to train on in one".to_owned());
        }
        if !facts.is_empty() {
            warnings.push(format!("class `{name}` {}", facts.join(", and ")));
        }
    }
    if warnings.len() > CLASSES_MAX {
        let more = warnings.split_off(CLASSES_MAX).len();
        warnings.push(format!("{more} more classes have too few {group}s, or are missing in folds"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::FoldsFrom;
    use super::*;

    /// Class x has patients p and q with two images each, class y one patient, r, with four.
    fn labels() -> Labels {
        Labels {
            names: (0..8).map(|image| image.to_string()).collect(),
            labels: vec![0, 0, 0, 0, 1, 1, 1, 1],
            classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
            patients: ["p", "p", "q", "q", "r", "r", "r", "r"].map(|patient| Some(patient.to_owned())).to_vec(),
            columns: Vec::new(),
        }
    }

    fn params(json: &str) -> Params {
        serde_json::from_str(&format!(r#"{{"folds": 2{json}}}"#)).unwrap()
    }

    fn found(params: &Params, labels: &Labels, fold_of_image: &[usize]) -> Vec<String> {
        let groups: Vec<Option<&str>> = labels.patients.iter().map(Option::as_deref).collect();
        warnings(params, labels, ("patient", &groups), fold_of_image)
    }

    #[test]
    fn patients_that_a_split_ignores_are_told_with_what_to_do() {
        let folds = [0, 1, 0, 0, 0, 1, 0, 1];
        let first = |params: &Params| found(params, &labels(), &folds)[0].clone();
        assert_eq!(
            first(&params("")),
            "the data name patients, and this split ignores them: 2 of 3 are on both sides of a fold; set \
             `group = \"patient\"`"
        );
        assert!(first(&params(r#", "group": "site""#)).contains("groups by `site` ignore them: 2 of 3"));
        let column = Params { folds_from: Some(FoldsFrom::Column("fold".to_owned())), ..params("") };
        assert!(first(&column).ends_with("in place of `folds_from`, set `group = \"patient\"`"), "{}", first(&column));
        let whole = found(&params(""), &labels(), &[0, 0, 1, 1, 0, 0, 0, 0]);
        assert!(!whole.iter().any(|warning| warning.contains("ignore")), "{whole:?}");
        let some = Labels { patients: [vec![None], labels().patients[1..].to_vec()].concat(), ..labels() };
        let some = found(&params(""), &some, &folds);
        assert!(some[0].contains("1 of 3"), "{some:?}");
        assert_eq!(some[1], "1 of 8 images have no patient, so whether they leak is not known");
        assert!(found(&params(""), &Labels { patients: vec![None; 8], ..labels() }, &folds).is_empty());
    }

    #[test]
    fn classes_with_too_few_patients_and_folds_without_them_are_told() {
        let one = "class `y` has one patient, so no fold trains on it with one and validates with another";
        assert_eq!(
            found(&params(""), &labels(), &[0, 0, 1, 1, 0, 0, 0, 0]),
            [format!("{one}, and has no images to validate on in 1 of 2 folds, and has none to train on in one")]
        );
        let three = found(&Params { folds: 3, ..params("") }, &labels(), &[0, 0, 1, 1, 0, 1, 2, 2]);
        assert_eq!(
            three[1..],
            [
                "class `x` has 2 patients for 3 folds, and has no images to validate on in 1 of 3 folds".to_owned(),
                one.to_owned(),
            ]
        );
    }

    #[test]
    fn of_many_small_classes_the_first_are_named() {
        let labels = Labels {
            names: (0..30).map(|image| image.to_string()).collect(),
            labels: (0..30).map(|image| image / 2).collect(),
            classes: (0..15).map(|class| class.to_string()).collect(),
            patients: (0..30).map(|image| Some((image / 2).to_string())).collect(),
            columns: Vec::new(),
        };
        let warnings = found(&params(""), &labels, &(0..30).map(|image| image / 2 % 2).collect::<Vec<_>>());
        assert_eq!(warnings.len(), 11);
        assert_eq!(warnings[10], "5 more classes have too few patients, or are missing in folds");
    }
}
