//! What a bootstrap draws: the patient of each image where patients are known, else the image.

use std::collections::HashMap;

use orchestrate_engine::stage::{Input, StageError};

use crate::artifact::{Labels, ResamplingUnit, Table as _};

/// The unit of each image of a study.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageUnits {
    /// What the units are.
    pub(crate) unit: ResamplingUnit,
    /// The unit of each image; units are numbered in the order of their names.
    of_image: Vec<u32>,
    /// Images whose patient is not known, each a unit of its own.
    unknown: usize,
}

impl ImageUnits {
    /// The units of images, in their order, given what the port `labels` received.
    ///
    /// Errors: an image that the labels lack, or of two patients.
    pub(crate) fn of(images: &[String], labels: Option<&Input>) -> Result<Self, StageError> {
        let patients = match labels {
            Some(input) => patients(images, input)?,
            None => vec![None; images.len()],
        };
        let unknown = patients.iter().filter(|patient| patient.is_none()).count();
        let unit = if unknown < images.len() { ResamplingUnit::Patient } else { ResamplingUnit::Image };
        // A patient may have the name of an image.
        let names: Vec<(bool, &str)> = images
            .iter()
            .zip(&patients)
            .map(|(image, patient)| (patient.is_none(), patient.as_deref().unwrap_or(image)))
            .collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let number = |name| sorted.binary_search(name).expect("every name is listed") as u32;
        Ok(Self { unit, of_image: names.iter().map(number).collect(), unknown })
    }

    /// The unit of an image.
    pub(crate) fn of_image(&self, image: u32) -> u32 {
        self.of_image[image as usize]
    }

    /// What people must know about them.
    pub(crate) fn remark(&self) -> Option<String> {
        (self.unit == ResamplingUnit::Patient && self.unknown > 0)
            .then(|| format!("{} images of unknown patients count as patients of their own", self.unknown))
    }
}

fn patients(images: &[String], input: &Input) -> Result<Vec<Option<String>>, StageError> {
    let mut known: HashMap<String, Option<String>> = HashMap::new();
    for item in &input.items {
        let labels = Labels::from_item(item)?;
        for (image, patient) in labels.names.into_iter().zip(labels.patients) {
            let shown = patient.clone();
            let before = known.entry(image).or_insert_with(|| patient.clone());
            if *before != shown {
                let names = [before.as_ref(), shown.as_ref()].map(|name| name.map_or("none", String::as_str));
                let message =
                    format!("an image has the patients {} and {}; images are matched by name", names[0], names[1]);
                return Err(StageError::input("labels", message));
            }
        }
    }
    let missing: Vec<_> = images.iter().filter(|image| !known.contains_key(*image)).collect();
    match missing.first() {
        Some(first) => Err(StageError::input(
            "labels",
            format!(
                "{} of the {} scored images are missing, `{first}` for one; both must come from the same data set",
                missing.len(),
                images.len()
            ),
        )),
        None => Ok(images.iter().map(|image| known[image].clone()).collect()),
    }
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
        assert_eq!(found.remark().unwrap(), "1 images of unknown patients count as patients of their own");
    }

    #[test]
    fn images_are_the_units_where_no_patient_is_known() {
        let found = units(&["b", "a"], &[("a", None), ("b", None)]).unwrap();
        assert_eq!(
            (found.unit, found.of_image(0), found.of_image(1), found.remark()),
            (ResamplingUnit::Image, 1, 0, None)
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
