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

/// Sorts values as `np.unique` sorts a column that pandas has read from CSV, each once.
///
/// If all are numbers, such as `7`, `007`, `-1` and `2.5e3`, they are sorted by size, and else by their characters.
///
/// Equal numbers, such as `7` and `007`, stay two values, in the order of their texts; pandas makes them one.
pub(super) fn sort_as_numpy(values: &mut Vec<&str>) {
    values.sort_unstable();
    values.dedup();
    let whole = |value: &&str| value.parse::<i128>().ok();
    let decimal = |value: &str| value.parse::<f64>().ok().filter(|number| !number.is_nan());
    if values.iter().all(|value| whole(value).is_some()) {
        values.sort_by_cached_key(whole);
    } else if values.iter().all(|value| decimal(value).is_some()) {
        values.sort_by(|a, b| decimal(a).partial_cmp(&decimal(b)).expect("no number is NaN"));
    }
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

    /// Orders of `np.unique(pd.read_csv(...)["a"])`, pandas 3.1.
    #[test]
    fn values_are_sorted_as_numbers_if_all_are_numbers() {
        let sorted = |mut values: Vec<&'static str>| {
            sort_as_numpy(&mut values);
            values
        };
        assert_eq!(sorted(vec!["10", "9", "2", "10", "-3", "+4"]), ["-3", "2", "+4", "9", "10"]);
        assert_eq!(sorted(vec!["18446744073709551617", "18446744073709551616", "7"])[0], "7");
        assert_eq!(sorted(vec!["12.0", "7.0", "1e3", "8"]), ["7.0", "8", "12.0", "1e3"]);
        assert_eq!(sorted(vec!["10", "9", "x"]), ["10", "9", "x"]);
        assert_eq!(sorted(vec!["10", "9", "1_0", "nan"]), ["10", "1_0", "9", "nan"]);
        assert_eq!(sorted(vec!["b", "a", "é", "Z"]), ["Z", "a", "b", "é"]);
        assert_eq!(sorted(vec!["7", "007", "6"]), ["6", "007", "7"]);
    }
}
