//! Values of a manifest that are probably not meant: placeholders, two spellings of one name, several labels in a cell.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Texts, in lower case, that stand for a missing value in tables of pandas, R, Excel, SQL and MATLAB.
const PLACEHOLDERS: [&str; 18] = [
    "na",
    "n/a",
    "#n/a",
    "<na>",
    "nan",
    "nil",
    "null",
    "none",
    "missing",
    "undefined",
    "unknown",
    "unk",
    "not available",
    "?",
    "-",
    "--",
    ".",
    "_",
];

/// The most values that a warning or an error shows.
const SHOWN_MAX: usize = 3;

/// Returns whether a patient in a header stands for no patient.
pub(super) fn is_placeholder(patient: &str) -> bool {
    let patient = patient.trim().to_lowercase();
    patient.is_empty() || PLACEHOLDERS.contains(&patient.as_str()) || patient.starts_with("anon")
}

/// A column of classes or of patients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Each different value is a class.
    Label,
    /// Each different value is a patient, whose images stay together in a split by patient.
    Patient,
}

/// A doubt about values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The doubt, the number of rows, and what to do, in one sentence.
    pub(super) message: String,
    /// The values, sorted, each once.
    pub(super) names: Vec<String>,
}

/// Returns what is doubtful about the values of a column.
///
/// - `column`: its name, for the sentences
/// - `values`: one value a row; empty ones are left out
/// - `declared`: the param `classes`; a value in it is meant
pub(super) fn doubts(role: Role, column: &str, values: &[&str], declared: Option<&[String]>) -> Vec<Doubt> {
    let is_declared = |value: &str| declared.is_some_and(|names| names.iter().any(|name| name == value));
    let values: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty() && !is_declared(value)).collect();
    [placeholders(role, column, &values), spellings(role, column, &values)].into_iter().flatten().collect()
}

/// Doubts values such as `NA`, which make one patient, or a class, of all images without a value.
fn placeholders(role: Role, column: &str, values: &[&str]) -> Option<Doubt> {
    let found: Vec<&str> =
        values.iter().copied().filter(|value| PLACEHOLDERS.contains(&value.to_lowercase().as_str())).collect();
    let (consequence, remedy) = match role {
        Role::Patient => ("each of them counts as one patient", "leave the cell empty if the patient is not known"),
        Role::Label => ("each of them is a class", "remove the rows, or list the class in `classes` if it is meant"),
    };
    let count = found.len();
    let message = format!(
        "column `{column}` holds placeholders for a missing value in {count} rows, and {consequence}: {remedy}"
    );
    let names: BTreeSet<&str> = found.into_iter().collect();
    (count > 0).then(|| Doubt { message, names: names.into_iter().map(str::to_owned).collect() })
}

/// Doubts values that differ in case, spaces, `-`, `_` or leading zeros alone, and so are two classes or patients.
fn spellings(role: Role, column: &str, values: &[&str]) -> Option<Doubt> {
    let mut alike: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for value in values {
        let words: Vec<_> = value.split(|letter: char| letter.is_whitespace() || "_-".contains(letter)).collect();
        let plain = words.concat().to_lowercase();
        let plain =
            if plain.bytes().all(|byte| byte.is_ascii_digit()) { plain.trim_start_matches('0') } else { &plain };
        alike.entry(plain.to_owned()).or_default().insert(value);
    }
    let twice: BTreeSet<&str> = alike.into_values().filter(|spellings| spellings.len() > 1).flatten().collect();
    let count = values.iter().filter(|value| twice.contains(*value)).count();
    let kind = match role {
        Role::Patient => "patients",
        Role::Label => "classes",
    };
    let message = format!(
        "column `{column}` holds names in {count} rows that differ from others in case, spaces, `-`, `_` or leading \
         zeros alone, and count as different {kind}: write them alike if they are one"
    );
    (count > 0).then(|| Doubt { message, names: twice.into_iter().map(str::to_owned).collect() })
}

/// Returns an error if cells hold several labels, as `Cardiomegaly|Effusion` of ChestX-ray14.
///
/// A name with `|` or `;` is taken for several labels if a part of it is the label of another row, or if there is
/// another such name. With `,`, `/`, `+` or `&`, which names of classes do contain, every part must be the label of
/// another row. The only class `A|B` is legal, and so is every name if `classes` lists them.
pub(super) fn several_labels(column: &str, labels: &[&str], classes: Option<&[String]>) -> Option<String> {
    if classes.is_some() {
        return None;
    }
    let mut rows: HashMap<&str, usize> = HashMap::new();
    labels.iter().for_each(|label| *rows.entry(label).or_default() += 1);
    let error = |separator: char| {
        let (joint, single): (BTreeSet<&str>, BTreeSet<&str>) =
            rows.keys().copied().partition(|label| parts(label, separator).len() > 1);
        let single: BTreeSet<&str> = single.into_iter().flat_map(|label| parts(label, separator)).collect();
        let is_known = |part: &&str| single.contains(part);
        let is_joint = |label: &&str| match separator {
            '|' | ';' => joint.len() > 1 || parts(label, separator).iter().any(is_known),
            _ => parts(label, separator).iter().all(is_known),
        };
        let joint: Vec<&str> = joint.iter().copied().filter(is_joint).collect();
        let count: usize = joint.iter().map(|label| rows[label]).sum();
        (count > 0).then(|| {
            format!(
                "column `{column}` holds several labels, with `{separator}` between them, in {count} of {} rows: {}; \
                 an image has one class, so keep one finding an image or name a column that says yes or no to one \
                 finding (if each such name is meant as a class, list all in `classes`)",
                labels.len(),
                shown(joint.into_iter())
            )
        })
    };
    "|;,/+&".chars().find_map(error)
}

/// Splits a cell into its labels; brackets and quotes around them, as of a list in Python, do not count.
fn parts(label: &str, separator: char) -> Vec<&str> {
    let parts = label.trim_matches(['[', ']']).split(separator);
    parts.map(|part| part.trim().trim_matches(['\'', '"'])).filter(|part| !part.is_empty()).collect()
}

/// Lists the first values.
fn shown<'a>(values: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = values.len().saturating_sub(SHOWN_MAX);
    let shown: Vec<String> = values.take(SHOWN_MAX).map(|value| format!("`{value}`")).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_counted_in_any_case_unless_declared() {
        let patients = ["p1", "NA", "na", "N/A", "?", "nan", "p2", "", "Nadine", "?"];
        let Doubt { message, names } = &doubts(Role::Patient, "pid", &patients, None)[0];
        assert_eq!(names, &["?", "N/A", "NA", "na", "nan"]);
        assert_eq!(
            message,
            "column `pid` holds placeholders for a missing value in 6 rows, and each of them counts as one patient: \
             leave the cell empty if the patient is not known"
        );
        let labels = ["tumour", "None", "None"];
        assert_eq!(doubts(Role::Label, "label", &labels, None)[0].names, ["None"]);
        assert!(doubts(Role::Label, "label", &labels, Some(&["tumour".to_owned(), "None".to_owned()])).is_empty());
        assert!(doubts(Role::Patient, "pid", &["p1", "p2", "p1", ""], None).is_empty());
    }

    #[test]
    fn two_spellings_of_one_name_are_told() {
        let found = doubts(Role::Patient, "pid", &["007", "7", "7", "8", "P 1", "p-1", "p1"], None);
        assert_eq!(found[0].names, ["007", "7", "P 1", "p-1", "p1"]);
        let message = &found[0].message;
        assert!(message.contains(" in 6 rows ") && message.contains("count as different patients"), "{message}");
        assert!(doubts(Role::Patient, "pid", &["p1", "p10", "p01", "100", "10"], None).is_empty());
        let classes = doubts(Role::Label, "label", &["Glioma", "glioma"], None);
        assert!(classes[0].message.contains("count as different classes"), "{}", classes[0].message);
    }

    #[test]
    fn several_labels_in_a_cell_are_an_error_that_says_what_to_do() {
        let chest = ["Cardiomegaly|Effusion", "No Finding", "Effusion", "Mass|Nodule", "Mass|Nodule"];
        assert_eq!(
            several_labels("Finding Labels", &chest, None).unwrap(),
            "column `Finding Labels` holds several labels, with `|` between them, in 3 of 5 rows: \
             `Cardiomegaly|Effusion`, `Mass|Nodule`; an image has one class, so keep one finding an image or name a \
             column that says yes or no to one finding (if each such name is meant as a class, list all in `classes`)"
        );
        let is_error = |labels: &[&str]| several_labels("label", labels, None).is_some();
        // One such name beside others of which none is a part; names with commas and slashes.
        assert!(!is_error(&["A|B", "A|B", "C"]));
        assert!(!is_error(&["carcinoma, ductal", "carcinoma, lobular", "benign/other"]));
        assert!(is_error(&["A|B", "A"]) && is_error(&["A;B", "C;D"]));
        assert!(is_error(&["edema, mass", "edema", "mass"]) && is_error(&["['a', 'b']", "['a']", "['b']"]));
        assert!(!is_error(&["edema, mass", "edema"]));
        let names = chest.map(str::to_owned);
        assert_eq!(several_labels("label", &chest, Some(&names)), None);
    }
}
