//! Columns of `labels`, such as the groups of images.

use crate::artifact::Labels;
use crate::problems::all_or_problems;

/// Returns the values of a column, one an image; `patient` is the column of patients.
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
    let values = values.into_iter().zip(&labels.names).map(|(value, image)| value.ok_or(image.as_str()));
    all_or_problems(values)
        .map_err(|missing| format!("{} images have no `{name}`: {}", missing.len(), missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(patients: [Option<&str>; 3]) -> Labels {
        let texts = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
        Labels {
            names: texts(["a.png", "b.png", "c.png"]),
            labels: vec![0, 1, 0],
            classes: vec!["x".to_owned(), "y".to_owned()],
            patients: patients.map(|patient| patient.map(str::to_owned)).to_vec(),
            columns: vec![("cvind".to_owned(), texts(["1"; 3]))],
        }
    }

    #[test]
    fn images_without_a_value_and_missing_columns_are_named() {
        let error = column(&labels([Some("p"), None, None]), "patient").unwrap_err();
        assert_eq!(error, "2 images have no `patient`: b.png, c.png");
        assert_eq!(column(&labels([None; 3]), "patient").unwrap_err(), "the labels have no `patient` of any image");
        let error = column(&labels([None; 3]), "fold").unwrap_err();
        assert_eq!(error, "the labels have no column `fold`; the columns are: patient, cvind");
    }
}
