//! Leakage of a split: groups, above all patients, with images on both sides of a fold.

use std::collections::BTreeSet;

use orchestrate_engine::stage::{ArtifactFacts, Content, Output, StageError};

use super::similar::{SimilarImages, count, similar};
use crate::artifact::{Columns, LEAKAGE, Labels, Rows, Table};

/// Numbers of images and groups on the training and validation side of each fold, and of those that both sides share.
///
/// Columns: `fold`, `label` (class name, or [`Leakage::ALL`]), `train_images`, `validation_images`, `train_groups`,
/// `validation_groups`, `shared_groups`, `shared_train_images`, `shared_validation_images`, `similar_images`,
/// `similar_images_of_group` (validation images nearly equal to a training image of another group, or of their own
/// alone). Notes: `group` (the column of the groups), `classes`, `warnings`. If no image has a group, the columns about
/// groups are left out; if the pictures have no hashes, so are those about similar images.
#[derive(Clone, Debug, PartialEq)]
pub struct Leakage {
    /// The column of the groups, for example `patient`; `None` if no image has a group.
    pub group: Option<String>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// For each fold, all classes together and then each class.
    pub rows: Vec<LeakageRow>,
    /// Doubts about the folds, one sentence each.
    pub warnings: Vec<String>,
}

/// One class in one fold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakageRow {
    /// The fold, 1..=k, of the validation set.
    pub fold: u32,
    /// Class name, or [`Leakage::ALL`].
    pub label: String,
    /// Images to train on.
    pub train_images: usize,
    /// Images to validate on.
    pub validation_images: usize,
    /// Numbers about groups; `None` if no image has a group.
    pub groups: Option<SharedGroups>,
    /// Nearly equal pictures on both sides; `None` if pictures were not compared, as those of a phantom.
    pub similar: Option<SimilarImages>,
}

/// Groups of one class in one fold.
///
/// An image without a group counts as an image, but belongs to no group. A group is shared if any of its images, of any
/// class, is on the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedGroups {
    /// Groups with an image to train on.
    pub train: usize,
    /// Groups with an image to validate on.
    pub validation: usize,
    /// Groups on both sides.
    pub shared: usize,
    /// Training images of groups on both sides.
    pub train_images: usize,
    /// Validation images of groups on both sides.
    pub validation_images: usize,
}

impl Leakage {
    /// The label of rows about all classes together.
    pub const ALL: &'static str = "all";

    /// Counts images and groups on both sides of every fold.
    ///
    /// - `groups`: column of the groups, and group of each image
    /// - `fold_of_image`: the fold in 0..k in which the image is in the validation set
    pub(super) fn of(labels: &Labels, groups: (&str, &[Option<&str>]), fold_of_image: &[usize], folds: usize) -> Self {
        let (column, groups) = groups;
        let known = groups.iter().any(Option::is_some);
        let similar = similar(labels, groups, fold_of_image);
        let mut rows = Vec::new();
        for fold in 0..folds {
            let groups_of =
                |images: &[usize]| -> BTreeSet<&str> { images.iter().filter_map(|&image| groups[image]).collect() };
            let sides = |images: Vec<usize>| -> (Vec<usize>, Vec<usize>) {
                images.into_iter().partition(|&image| fold_of_image[image] == fold)
            };
            let (validation, train) = sides((0..groups.len()).collect());
            let shared: BTreeSet<&str> = groups_of(&train).intersection(&groups_of(&validation)).copied().collect();
            let leaked = |images: &[usize]| {
                images.iter().filter(|&&image| groups[image].is_some_and(|group| shared.contains(group))).count()
            };
            let classes = labels.classes.iter().enumerate().map(|(index, class)| (class.as_str(), Some(index as u32)));
            for (label, class) in std::iter::once((Self::ALL, None)).chain(classes) {
                let of_class = |image: &usize| class.is_none_or(|class| labels.labels[*image] == class);
                let (validation, train) = sides((0..groups.len()).filter(of_class).collect());
                let (train_groups, validation_groups) = (groups_of(&train), groups_of(&validation));
                rows.push(LeakageRow {
                    fold: fold as u32 + 1,
                    label: label.to_owned(),
                    train_images: train.len(),
                    validation_images: validation.len(),
                    groups: known.then(|| SharedGroups {
                        train: train_groups.len(),
                        validation: validation_groups.len(),
                        shared: train_groups.union(&validation_groups).filter(|group| shared.contains(*group)).count(),
                        train_images: leaked(&train),
                        validation_images: leaked(&validation),
                    }),
                    similar: similar.as_ref().map(|similar| count(similar, &validation)),
                });
            }
        }
        Self { group: known.then(|| column.to_owned()), classes: labels.classes.clone(), rows, warnings: Vec::new() }
    }

    /// Returns the output, with a text that every run of the stage prints.
    pub(super) fn reported(&self) -> Result<Output, StageError> {
        let mut output = self.output()?;
        output.files.push(("table.txt".to_owned(), Content::Bytes(self.text().into_bytes())));
        Ok(output)
    }

    /// Describes all classes together, one line a fold, and the warnings.
    fn text(&self) -> String {
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        self.shared_groups() + &self.similar_images() + &warnings.collect::<String>()
    }

    /// Describes nearly equal pictures on both sides in one line; empty if there are none.
    fn similar_images(&self) -> String {
        let folds = || self.rows.iter().filter(|row| row.label == Self::ALL);
        let sum = |count: fn(&SimilarImages) -> usize| -> usize {
            folds().filter_map(|row| row.similar.as_ref()).map(count).sum()
        };
        let images: usize = folds().map(|row| row.validation_images).sum();
        let group = self.group.as_deref().unwrap_or("patient");
        match (sum(|similar| similar.others), sum(|similar| similar.own)) {
            (0, 0) => String::new(),
            (others, own) => format!(
                "nearly equal pictures on both sides of a fold: {others} of {images} images resemble a training image \
                 of another or an unknown {group}, {own} only those of their own\n"
            ),
        }
    }

    /// Describes the groups on both sides, one line a fold.
    fn shared_groups(&self) -> String {
        let Some(group) = &self.group else {
            return "no image has a patient: whether the folds leak is not known\n".to_owned();
        };
        let folds: Vec<_> = self.rows.iter().filter(|row| row.label == Self::ALL).collect();
        let shared = |row: &&LeakageRow| row.groups.is_some_and(|groups| groups.shared > 0);
        if !folds.iter().any(shared) {
            return format!("no {group} is on both sides of a fold\n");
        }
        let lines = folds.iter().filter_map(|row| {
            let (groups, images) = (row.groups?, row.validation_images);
            let share = 100.0 * groups.validation_images as f64 / images.max(1) as f64;
            let (shared, of) = (groups.shared, groups.validation);
            let leaked = groups.validation_images;
            Some(format!("fold {}: {shared} of {of}, with {leaked} of {images} images ({share:.0} %)\n", row.fold))
        });
        format!("leakage: {group}s to validate on that are trained on too\n\n{}", lines.collect::<String>())
    }
}

/// The columns about groups, in the order of [`SharedGroups::counts`].
const GROUP_COLUMNS: [&str; 5] =
    ["train_groups", "validation_groups", "shared_groups", "shared_train_images", "shared_validation_images"];

impl SharedGroups {
    fn counts(&self) -> [usize; 5] {
        [self.train, self.validation, self.shared, self.train_images, self.validation_images]
    }

    fn from_counts([train, validation, shared, train_images, validation_images]: [usize; 5]) -> Self {
        Self { train, validation, shared, train_images, validation_images }
    }
}

impl Table for Leakage {
    const FACTS: &'static ArtifactFacts = &LEAKAGE;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let mut columns = Columns::new()
            .integer("fold", self.rows.iter().map(|row| i64::from(row.fold)))
            .text("label", self.rows.iter().map(|row| &row.label))
            .integer("train_images", self.rows.iter().map(|row| row.train_images as i64))
            .integer("validation_images", self.rows.iter().map(|row| row.validation_images as i64))
            .classes(&self.classes)?
            .list_note("warnings", &self.warnings);
        if let Some(group) = &self.group {
            columns = columns.note("group", group);
            for (index, name) in GROUP_COLUMNS.into_iter().enumerate() {
                let count = |row: &LeakageRow| row.groups.as_ref().map_or(0, |groups| groups.counts()[index]) as i64;
                columns = columns.integer(name, self.rows.iter().map(count));
            }
        }
        if self.rows.iter().any(|row| row.similar.is_some()) {
            let similar = || self.rows.iter().map(|row| row.similar.unwrap_or_default());
            let [others, own] = SimilarImages::COLUMNS;
            columns = columns.integer(others, similar().map(|similar| similar.others as i64));
            columns = columns.integer(own, similar().map(|similar| similar.own as i64));
        }
        Ok(columns)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let group = rows.note("group").map(str::to_owned);
        let folds = rows.unsigned::<u32>("fold")?;
        let train_images = rows.unsigned::<usize>("train_images")?;
        let validation_images = rows.unsigned::<usize>("validation_images")?;
        let names: &[&str] = if group.is_some() { &GROUP_COLUMNS } else { &[] };
        let counts = names.iter().map(|name| rows.unsigned(name)).collect::<Result<Vec<Vec<usize>>, _>>()?;
        let has_similar = rows.names().iter().any(|name| name == SimilarImages::COLUMNS[0]);
        let names: &[&str] = if has_similar { &SimilarImages::COLUMNS } else { &[] };
        let similar = names.iter().map(|name| rows.unsigned(name)).collect::<Result<Vec<Vec<usize>>, _>>()?;
        let row = |(row, label)| LeakageRow {
            similar: has_similar.then(|| SimilarImages { others: similar[0][row], own: similar[1][row] }),
            fold: folds[row],
            label,
            train_images: train_images[row],
            validation_images: validation_images[row],
            groups: group.is_some().then(|| SharedGroups::from_counts(std::array::from_fn(|index| counts[index][row]))),
        };
        let leakage = rows.text("label")?.into_iter().enumerate().map(row).collect();
        let list = |key| Ok::<_, StageError>(rows.list_note(key)?.unwrap_or_default());
        Ok(Self { rows: leakage, classes: list("classes")?, warnings: list("warnings")?, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels {
            names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            labels: vec![0, 0, 1, 1],
            classes: vec!["x".to_owned(), "y".to_owned()],
            patients: vec![None; 4],
            columns: Vec::new(),
        }
    }

    /// Patient p has image a in fold 1 and b in fold 2; q has c in fold 1 only; image d has no patient.
    #[test]
    fn shared_groups_are_counted_with_their_images_on_both_sides() {
        let leakage = Leakage::of(&labels(), ("patient", &[Some("p"), Some("p"), Some("q"), None]), &[0, 1, 0, 1], 2);
        let find = |fold, label: &str| leakage.rows.iter().find(|row| row.fold == fold && row.label == label).unwrap();
        let all = find(1, Leakage::ALL);
        assert_eq!((all.train_images, all.validation_images), (2, 2));
        let expected = SharedGroups { train: 1, validation: 2, shared: 1, train_images: 1, validation_images: 1 };
        assert_eq!(all.groups, Some(expected));
        let text = "leakage: patients to validate on that are trained on too\n\n\
                    fold 1: 1 of 2, with 1 of 2 images (50 %)\nfold 2: 1 of 1, with 1 of 2 images (50 %)\n";
        assert_eq!(leakage.text(), text);
        let none = SharedGroups { train: 0, validation: 1, shared: 0, train_images: 0, validation_images: 0 };
        assert_eq!(find(1, "y").groups, Some(none));
        assert_eq!((find(2, "y").train_images, find(2, "y").validation_images), (1, 1));
    }

    #[test]
    fn folds_that_share_no_group_and_images_without_groups_are_reported() {
        let of = |groups: [Option<&str>; 4]| Leakage::of(&labels(), ("patient", &groups), &[0, 1, 0, 1], 2).text();
        assert_eq!(of([Some("p"), Some("q"), Some("p"), None]), "no patient is on both sides of a fold\n");
        assert_eq!(of([None; 4]), "no image has a patient: whether the folds leak is not known\n");
    }

    #[test]
    fn leakage_survives_parquet_with_and_without_groups() {
        for groups in [[Some("p"), Some("p"), Some("q"), None], [None; 4]] {
            let mut labels = labels();
            if groups[0].is_some() {
                let hashes = ["00000000000000f0"; 4].map(str::to_owned).to_vec();
                labels.columns.push((crate::data::alike::COLUMN.to_owned(), hashes));
            }
            let warnings = vec!["some, doubt".to_owned(), "more".to_owned()];
            let leakage = Leakage { warnings, ..Leakage::of(&labels, ("patient", &groups), &[0, 1, 0, 1], 2) };
            let told =
                "nearly equal pictures on both sides of a fold: 4 of 4 images resemble a training image of another";
            assert_eq!(leakage.text().contains(told), groups[0].is_some(), "{}", leakage.text());
            assert!(leakage.text().ends_with("\nwarning: some, doubt\nwarning: more\n"), "{}", leakage.text());
            assert_eq!(leakage.group.is_some(), groups[0].is_some());
            assert_eq!(Leakage::decode(&leakage.encode().unwrap()).unwrap(), leakage);
        }
    }
}
