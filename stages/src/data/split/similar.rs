//! Nearly equal pictures on both sides of a fold.

use crate::artifact::Labels;
use crate::data::alike;

/// Images that resemble one on the other side of their fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimilarImages {
    /// Validation images nearly equal to a training image of another or an unknown group.
    pub others: usize,
    /// Validation images nearly equal to training images of their own group alone.
    pub own: usize,
}

impl SimilarImages {
    pub(super) const COLUMNS: [&str; 2] = ["similar_images", "similar_images_of_group"];
}

/// The relation of an image to those that it is validated against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Similar {
    #[default]
    None,
    OfGroup,
    OfOthers,
}

/// Finds the relation of each image to images in other folds; `None` if the labels have no hashes of pictures.
pub(super) fn similar(labels: &Labels, groups: &[Option<&str>], fold_of_image: &[usize]) -> Option<Vec<Similar>> {
    let (_, hashes) = labels.columns.iter().find(|(name, _)| name == alike::COLUMN)?;
    let hashes = hashes.iter().map(|hash| alike::parse(hash)).collect::<Option<Vec<u64>>>()?;
    let mut found = vec![Similar::None; hashes.len()];
    alike::pairs(&hashes, |left, right| {
        if fold_of_image[left] == fold_of_image[right] {
            return;
        }
        // While one is validated, the other is trained on.
        let is_own = groups[left].is_some() && groups[left] == groups[right];
        let relation = if is_own { Similar::OfGroup } else { Similar::OfOthers };
        for image in [left, right] {
            found[image] = found[image].max(relation);
        }
    });
    Some(found)
}

/// Counts the relations of some validation images.
pub(super) fn count(similar: &[Similar], images: &[usize]) -> SimilarImages {
    let count = |relation| images.iter().filter(|&&image| similar[image] == relation).count();
    SimilarImages { others: count(Similar::OfOthers), own: count(Similar::OfGroup) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images a and b are equal, in folds 0 and 1, of patients p and q; c differs from a by 2 bits, in fold 1, of p; d
    /// differs by 4 bits; e is like d, but in its fold.
    #[test]
    fn pictures_in_other_folds_are_compared_and_one_of_another_patient_weighs_more() {
        let hashes = [0xFF00, 0xFF00, 0xFF03, 0xFFF0, 0xFFF0];
        let folds = [0, 1, 1, 1, 1];
        let mut labels = Labels {
            names: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            labels: vec![0; 5],
            classes: vec!["x".to_owned()],
            patients: vec![None; 5],
            columns: Vec::new(),
        };
        let groups = [Some("p"), Some("q"), Some("p"), None, None];
        assert_eq!(similar(&labels, &groups, &folds), None);
        labels.columns.push((alike::COLUMN.to_owned(), hashes.map(alike::text).to_vec()));
        let found = similar(&labels, &groups, &folds).unwrap();
        assert_eq!(found, [Similar::OfOthers, Similar::OfOthers, Similar::OfGroup, Similar::None, Similar::None]);
        assert_eq!(count(&found, &[1, 2, 3, 4]), SimilarImages { others: 1, own: 1 });
    }
}
