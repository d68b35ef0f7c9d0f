//! What `labels` says beside classes: groups of images, and folds that somebody else made.

use crate::artifact::Labels;

/// The values of a column, one an image; `patient` is the column of patients.
///
/// Errors: no such column (the columns are listed); images without a value, by name.
pub(super) fn column<'a>(labels: &'a Labels, name: &str) -> Result<Vec<&'a str>, String> {
    let values: Vec<Option<&str>> = if name == "patient" {
        labels.patients.iter().map(Option::as_deref).collect()
    } else {
        let Some((_, values)) = labels.columns.iter().find(|(column, _)| column == name) else {
            let mut names = vec!["patient"];
            names.extend(labels.columns.iter().map(|(column, _)| column.as_str()));
            return Err(format!("the labels have no column `{name}`; the columns are: {}", names.join(", ")));
        };
        values.iter().map(|value| Some(value.as_str()).filter(|value| !value.is_empty())).collect()
    };
    if !values.is_empty() && values.iter().all(Option::is_none) {
        return Err(format!("the labels have no `{name}` of any image"));
    }
    let missing: Vec<&str> = labels
        .names
        .iter()
        .zip(&values)
        .filter(|(_, value)| value.is_none())
        .map(|(image, _)| image.as_str())
        .collect();
    if missing.is_empty() {
        Ok(values.into_iter().flatten().collect())
    } else {
        Err(format!("{} images have no `{name}`: {}", missing.len(), missing.join(", ")))
    }
}

/// The fold in 0..k of each image, from a column of numbers 1..=k.
///
/// Errors: a value that is no such number, by image.
pub(super) fn folds_from(labels: &Labels, name: &str, folds: usize) -> Result<Vec<usize>, String> {
    let values = column(labels, name)?;
    let parsed: Vec<Option<usize>> = values
        .iter()
        .map(|value| value.parse::<usize>().ok().filter(|fold| (1..=folds).contains(fold)).map(|fold| fold - 1))
        .collect();
    let wrong: Vec<String> = labels
        .names
        .iter()
        .zip(values.iter().zip(&parsed))
        .filter(|(_, (_, fold))| fold.is_none())
        .map(|(image, (value, _))| format!("{image} ({value})"))
        .collect();
    if wrong.is_empty() {
        Ok(parsed.into_iter().flatten().collect())
    } else {
        Err(format!(
            "column `{name}` must hold folds 1 to {folds}, but {} images have others: {}",
            wrong.len(),
            wrong.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(patients: [Option<&str>; 3], folds: [&str; 3]) -> Labels {
        let texts = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
        Labels {
            names: texts(["a.png", "b.png", "c.png"]),
            labels: vec![0, 1, 0],
            classes: vec!["x".to_owned(), "y".to_owned()],
            patients: patients.map(|patient| patient.map(str::to_owned)).to_vec(),
            columns: vec![("cvind".to_owned(), texts(folds))],
        }
    }

    #[test]
    fn folds_are_taken_as_they_are_written() {
        assert_eq!(folds_from(&labels([None; 3], ["3", "1", "2"]), "cvind", 3), Ok(vec![2, 0, 1]));
    }

    #[test]
    fn every_image_with_a_wrong_value_is_named() {
        let error = folds_from(&labels([None; 3], ["0", "2", "x"]), "cvind", 2).unwrap_err();
        assert_eq!(error, "column `cvind` must hold folds 1 to 2, but 2 images have others: a.png (0), c.png (x)");
        let error = column(&labels([Some("p"), None, None], ["1"; 3]), "patient").unwrap_err();
        assert_eq!(error, "2 images have no `patient`: b.png, c.png");
        assert_eq!(
            column(&labels([None; 3], ["1"; 3]), "patient").unwrap_err(),
            "the labels have no `patient` of any image"
        );
        let error = column(&labels([None; 3], ["1"; 3]), "fold").unwrap_err();
        assert_eq!(error, "the labels have no column `fold`; the columns are: patient, cvind");
    }
}
