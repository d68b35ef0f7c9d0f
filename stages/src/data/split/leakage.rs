//! Which groups, patients above all, a split has on both sides.

use std::collections::BTreeSet;

use orchestrate_engine::stage::{Content, Output, StageError};

use crate::artifact::{Columns, Labels, Rows, Table};

/// What the training and validation side of each fold hold, and what they share; a split without leakage shares
/// nothing.
///
/// Columns: `fold`, `label` (class name, or [`Leakage::ALL`]), `train_images`, `validation_images`, `train_groups`,
/// `validation_groups`, `shared_groups`, `shared_train_images`, `shared_validation_images`. Notes: `group` (the column
/// that made the groups), `classes`. Where no image has a group, the columns about groups are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Leakage {
    /// The column that made the groups, for example `patient`; `None` where no image has a group.
    pub group: Option<String>,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// For each fold, all classes together and then each class.
    pub rows: Vec<LeakageRow>,
}

/// One class in one fold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakageRow {
    /// The fold, 1..=k, that is the validation set.
    pub fold: u32,
    /// Class name, or [`Leakage::ALL`].
    pub label: String,
    /// Images to train on.
    pub train_images: usize,
    /// Images to validate on.
    pub validation_images: usize,
    /// What is known of groups; `None` where no image has a group.
    pub groups: Option<SharedGroups>,
}

/// Groups of one class in one fold.
///
/// An image without a group counts as an image, but belongs to no group. A group is shared if any of its images, of
/// whatever class, is on the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedGroups {
    /// Groups with an image to train on.
    pub train: usize,
    /// Groups with an image to validate on.
    pub validation: usize,
    /// Groups, among those of either side, that are on both sides.
    pub shared: usize,
    /// Training images of groups that are on both sides.
    pub train_images: usize,
    /// Validation images of groups that are on both sides.
    pub validation_images: usize,
}

impl Leakage {
    /// The label of rows about all classes together.
    pub const ALL: &'static str = "all";

    /// Counts what both sides of every fold hold.
    ///
    /// - `groups`: group of each image, and the name of the column that they come from
    /// - `fold_of_image`: the fold in 0..k in which the image is in the validation set
    pub(super) fn of(labels: &Labels, groups: (&str, &[Option<&str>]), fold_of_image: &[usize], folds: usize) -> Self {
        let (column, groups) = groups;
        let known = groups.iter().any(Option::is_some);
        let mut rows = Vec::new();
        for fold in 0..folds {
            let side = |validation: bool| -> BTreeSet<&str> {
                let images = (0..groups.len()).filter(|&image| (fold_of_image[image] == fold) == validation);
                images.filter_map(|image| groups[image]).collect()
            };
            let (train, validation) = (side(false), side(true));
            let shared: BTreeSet<&str> = train.intersection(&validation).copied().collect();
            let classes = labels.classes.iter().enumerate().map(|(index, class)| (class.as_str(), Some(index as u32)));
            for (label, class) in std::iter::once((Self::ALL, None)).chain(classes) {
                let members: Vec<usize> = (0..groups.len())
                    .filter(|&image| class.is_none_or(|class| labels.labels[image] == class))
                    .collect();
                let (validation, train): (Vec<usize>, Vec<usize>) =
                    members.into_iter().partition(|&image| fold_of_image[image] == fold);
                let groups_of =
                    |images: &[usize]| -> BTreeSet<&str> { images.iter().filter_map(|&image| groups[image]).collect() };
                let leaked = |images: &[usize]| {
                    images.iter().filter(|&&image| groups[image].is_some_and(|group| shared.contains(group))).count()
                };
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
                });
            }
        }
        Self { group: known.then(|| column.to_owned()), classes: labels.classes.clone(), rows }
    }

    /// The output that holds it, with a text for people: what every run of a split is to tell.
    pub(super) fn reported(&self) -> Result<Output, StageError> {
        let mut output = self.output()?;
        output.files.push(("table.txt".to_owned(), Content::Bytes(self.text().into_bytes())));
        Ok(output)
    }

    /// All classes together, a line a fold.
    fn text(&self) -> String {
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

type Count = fn(&SharedGroups) -> usize;

/// The columns about groups, with what they read.
const GROUP_COLUMNS: [(&str, Count); 5] = [
    ("train_groups", |groups| groups.train),
    ("validation_groups", |groups| groups.validation),
    ("shared_groups", |groups| groups.shared),
    ("shared_train_images", |groups| groups.train_images),
    ("shared_validation_images", |groups| groups.validation_images),
];

impl Table for Leakage {
    const OUTPUT: &'static str = "leakage";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let mut columns = Columns::new()
            .integer("fold", self.rows.iter().map(|row| i64::from(row.fold)))
            .text("label", self.rows.iter().map(|row| &row.label))
            .integer("train_images", self.rows.iter().map(|row| row.train_images as i64))
            .integer("validation_images", self.rows.iter().map(|row| row.validation_images as i64))
            .classes(&self.classes)?;
        if let Some(group) = &self.group {
            columns = columns.note("group", group);
            for (name, read) in GROUP_COLUMNS {
                let values = self.rows.iter().map(|row| row.groups.as_ref().map_or(0, read) as i64);
                columns = columns.integer(name, values);
            }
        }
        Ok(columns)
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let group = rows.note("group").map(str::to_owned);
        let labels = rows.text("label")?;
        let folds = rows.unsigned::<u32>("fold")?;
        let train_images = rows.unsigned::<usize>("train_images")?;
        let validation_images = rows.unsigned::<usize>("validation_images")?;
        let groups: Option<Vec<Vec<usize>>> = match &group {
            Some(_) => Some(GROUP_COLUMNS.iter().map(|(name, _)| rows.unsigned(name)).collect::<Result<_, _>>()?),
            None => None,
        };
        let rows_read = labels.into_iter().enumerate().map(|(row, label)| LeakageRow {
            fold: folds[row],
            label,
            train_images: train_images[row],
            validation_images: validation_images[row],
            groups: groups.as_ref().map(|columns| SharedGroups {
                train: columns[0][row],
                validation: columns[1][row],
                shared: columns[2][row],
                train_images: columns[3][row],
                validation_images: columns[4][row],
            }),
        });
        Ok(Self { rows: rows_read.collect(), classes: rows.list_note("classes")?.unwrap_or_default(), group })
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
    fn folds_that_share_no_group_and_images_without_groups_are_told() {
        let of = |groups: [Option<&str>; 4]| Leakage::of(&labels(), ("patient", &groups), &[0, 1, 0, 1], 2).text();
        assert_eq!(of([Some("p"), Some("q"), Some("p"), None]), "no patient is on both sides of a fold\n");
        assert_eq!(of([None; 4]), "no image has a patient: whether the folds leak is not known\n");
    }

    #[test]
    fn parquet_gives_back_what_went_in_with_and_without_groups() {
        for groups in [[Some("p"), Some("p"), Some("q"), None], [None; 4]] {
            let leakage = Leakage::of(&labels(), ("patient", &groups), &[0, 1, 0, 1], 2);
            assert_eq!(leakage.group.is_some(), groups[0].is_some());
            assert_eq!(Leakage::decode(&leakage.encode().unwrap()).unwrap(), leakage);
        }
    }
}
