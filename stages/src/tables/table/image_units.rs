//! The units that a bootstrap draws: the patient of each image if patients are known, else the image.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use orchestrate_engine::stage::{Input, StageError};

use crate::artifact::{Labels, ResamplingUnit, Table as _};

/// The unit of each image of a study.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageUnits {
    /// The kind of the units.
    pub(crate) unit: ResamplingUnit,
    /// The unit of each image; units are numbered in the order of their names.
    of_image: Vec<u32>,
    /// Number of images of unknown patients, each a unit of its own.
    unknown: usize,
    /// Classes whose images are all of one unit.
    lone_classes: Vec<String>,
}

impl ImageUnits {
    /// Returns the units of images, in their order, given the input at the port `labels`.
    ///
    /// Errors: an image that the labels lack, or of two patients.
    pub(crate) fn of(images: &[String], labels: Option<&Input>) -> Result<Self, StageError> {
        let known = labels.map(|input| known(images, input)).transpose()?.unwrap_or_default();
        let patients: Vec<Option<&str>> =
            images.iter().map(|image| known.get(image).and_then(|(patient, _)| patient.as_deref())).collect();
        let unknown = patients.iter().filter(|patient| patient.is_none()).count();
        let unit = if unknown < images.len() { ResamplingUnit::Patient } else { ResamplingUnit::Image };
        // A patient may have the name of an image.
        let names: Vec<(bool, &str)> = images
            .iter()
            .zip(&patients)
            .map(|(image, patient)| (patient.is_none(), patient.unwrap_or(image)))
            .collect();
        let sorted: BTreeSet<_> = names.iter().collect();
        let numbers: HashMap<_, u32> = sorted.into_iter().zip(0..).collect();
        let of_image: Vec<u32> = names.iter().map(|name| numbers[name]).collect();
        let mut of_class: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for (image, unit) in images.iter().zip(&of_image) {
            if let Some((_, class)) = known.get(image) {
                of_class.entry(class).or_default().insert(*unit);
            }
        }
        let lone_classes = of_class.into_iter().filter(|(_, units)| units.len() == 1);
        let lone_classes = lone_classes.map(|(class, _)| class.to_owned()).collect();
        Ok(Self { unit, of_image, unknown, lone_classes })
    }

    /// The unit of an image.
    pub(crate) fn of_image(&self, image: u32) -> u32 {
        self.of_image[image as usize]
    }

    /// The remarks that a reader needs about unknown patients, and about classes of one patient.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.unit == ResamplingUnit::Patient && self.unknown > 0 {
            remarks.push(format!("{} images of unknown patients count as patients of their own", self.unknown));
        }
        if !self.lone_classes.is_empty() {
            let classes = self.lone_classes.iter().map(|class| format!("`{class}`")).collect::<Vec<_>>().join(", ");
            let unit = self.unit.name();
            remarks.push(format!("one {unit} only with scores: {classes}; no interval tells of other {unit}s there"));
        }
        remarks
    }
}

/// Reads the patient and the class of each image.
fn known(images: &[String], input: &Input) -> Result<HashMap<String, (Option<String>, String)>, StageError> {
    let mut known: HashMap<String, (Option<String>, String)> = HashMap::new();
    for item in &input.items {
        let Labels { names, labels, classes, patients, .. } = Labels::from_item(item)?;
        for ((image, patient), label) in names.into_iter().zip(patients).zip(labels) {
            let new = || (patient.clone(), classes[label as usize].clone());
            let (first, _) = known.entry(image).or_insert_with(new);
            if *first != patient {
                let [first, other] = [&*first, &patient].map(|patient| patient.as_deref().unwrap_or("none"));
                let message = format!("an image has the patients {first} and {other}; images are matched by name");
                return Err(StageError::input("labels", message));
            }
        }
    }
    let missing: Vec<_> = images.iter().filter(|image| !known.contains_key(*image)).collect();
    if let Some(first) = missing.first() {
        let (missing, all) = (missing.len(), images.len());
        let message = format!(
            "{missing} of the {all} scored images are missing, `{first}` for one; both must come from the same data set"
        );
        return Err(StageError::input("labels", message));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn labels(rows: &[(&str, Option<&str>)]) -> Labels {
        Labels {
            names: rows.iter().map(|(image, _)| (*image).to_owned()).collect(),
            labels: vec![0; rows.len()],
            classes: vec!["x".to_owned()],
            patients: rows.iter().map(|(_, patient)| patient.map(str::to_owned)).collect(),
            columns: Vec::new(),
        }
    }

    fn units(images: &[&str], rows: &[(&str, Option<&str>)]) -> Result<ImageUnits, StageError> {
        let bench = Bench::new();
        let images: Vec<String> = images.iter().map(|&image| image.to_owned()).collect();
        let input = Input { port: "labels".to_owned(), items: vec![bench.item(&labels(rows), &[])] };
        ImageUnits::of(&images, Some(&input))
    }

    #[test]
    fn images_of_a_patient_are_one_unit_and_unknown_ones_their_own() {
        let rows = [("1", Some("q")), ("2", Some("p")), ("3", None), ("4", Some("q")), ("5", Some("3"))];
        let found = units(&["1", "2", "3", "4", "5"], &rows).unwrap();
        assert_eq!(found.unit, ResamplingUnit::Patient);
        assert_eq!((0..5).map(|image| found.of_image(image)).collect::<Vec<_>>(), [2, 1, 3, 2, 0]);
        assert_eq!(found.remarks(), ["1 images of unknown patients count as patients of their own"]);
    }

    #[test]
    fn images_are_the_units_where_no_patient_is_known() {
        let found = units(&["b", "a"], &[("a", None), ("b", None)]).unwrap();
        assert_eq!(
            (found.unit, found.of_image(0), found.of_image(1), found.remarks().len()),
            (ResamplingUnit::Image, 1, 0, 0)
        );
        assert_eq!(
            ImageUnits::of(&["b".to_owned(), "a".to_owned()], None).unwrap(),
            ImageUnits { unknown: 2, ..found }
        );
    }

    #[test]
    fn labels_of_another_data_set_are_refused() {
        let message = units(&["a", "b", "c"], &[("a", None)]).unwrap_err().to_string();
        assert!(message.contains("2 of the 3 scored images are missing, `b` for one"), "{message}");
    }
}
