//! Patients in names of files: the param `patient` of format `folders`, and a guess of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::name_pattern::NamePattern;

/// The place of the patient in a pattern.
const PATIENT: &str = "{patient}";

/// A pattern of names that tell the patient, such as `{patient}_*`; `{patient}/*` is a folder a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatientPattern<'a>(NamePattern<'a>);

impl<'a> PatientPattern<'a> {
    /// Parses a pattern. The error is one sentence.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let wrong = |what: String| format!("`patient` {what}; a pattern such as `{{patient}}_*` is expected");
        let pattern = NamePattern::parse(text, PATIENT, "the patient in the names of images").map_err(wrong)?;
        if pattern.open && pattern.suffix.is_empty() {
            return Err(wrong("does not say where the patient ends".to_owned()));
        }
        Ok(Self(pattern))
    }

    /// Returns whether images lie in folders below those of their classes.
    pub(super) fn is_deep(&self) -> bool {
        self.0.prefix.contains('/') || self.0.suffix.contains('/')
    }

    /// Returns the patient, the shortest text that fits; `None` if the name is none of the pattern.
    ///
    /// - `name`: the file below the folder of its class, without its ending
    pub(super) fn patient<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_prefix(self.0.prefix)?;
        let patient = match self.0.open {
            true => rest.find(self.0.suffix).map(|end| &rest[..end]),
            false => rest.strip_suffix(self.0.suffix),
        };
        patient.filter(|patient| !patient.is_empty())
    }
}

/// Letters between a patient and the rest of a name.
const SEPARATORS: [char; 6] = ['_', '-', ' ', '.', '(', '/'];

/// Words for patients in names, in lower case; they stand before a number.
const PERSONS: [&str; 10] = ["patient", "pat", "subject", "subj", "sub", "case", "person", "pid", "p", "pt"];

/// Words before a number that are no patients, in lower case.
const OTHERS: [&str; 16] = [
    "img", "image", "images", "im", "slice", "scan", "dsc", "frame", "fig", "pic", "photo", "file", "isic", "series",
    "se", "study",
];

/// Guesses the pattern from the names of images.
///
/// - `images`: class and file below the folder of the class, without its ending
///
/// A pattern must fit all names. Its patients have a digit and are no dates; every class has two or more of them, or one
/// with a single image; and some have several images.
pub(super) fn guess(images: &[(&str, &str)]) -> Option<String> {
    let (_, first) = images.first()?;
    let word = first.find(SEPARATORS).map_or("", |end| &first[..end]);
    let is_person = PERSONS.contains(&word.to_lowercase().as_str());
    // `patient_001_3` has its patient after a word.
    let prefixes = if is_person { vec![&first[..=word.len()], ""] } else { vec![""] };
    let of_prefix = |prefix: &'_ str| SEPARATORS.map(|separator| format!("{prefix}{PATIENT}{separator}*"));
    prefixes.into_iter().flat_map(of_prefix).find(|pattern| fits(pattern, images))
}

/// Returns whether a pattern divides images as patients would.
fn fits(pattern: &str, images: &[(&str, &str)]) -> bool {
    let Ok(pattern) = PatientPattern::parse(pattern) else { return false };
    let mut by_class: BTreeMap<&str, HashMap<&str, usize>> = BTreeMap::new();
    for (class, name) in images {
        match pattern.patient(name) {
            Some(patient) if is_patient(patient) => {
                *by_class.entry(class).or_default().entry(patient).or_default() += 1;
            }
            _ => return false,
        }
    }
    let patients: HashSet<&str> = by_class.values().flat_map(HashMap::keys).copied().collect();
    let is_divided = |counts: &HashMap<&str, usize>| counts.len() > 1 || counts.values().all(|count| *count == 1);
    patients.len() < images.len() && by_class.values().all(is_divided)
}

/// Returns whether a text can be the name of a patient: letters, then a number that is no date.
fn is_patient(text: &str) -> bool {
    let word = text.trim_end_matches(|letter: char| !letter.is_alphabetic()).to_lowercase();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_date = text.len() == 8 && digits == 8 && (text.starts_with("19") || text.starts_with("20"));
    digits > 0 && !is_date && !text.contains(SEPARATORS) && !OTHERS.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_patient_by_the_shortest_text() {
        let patient = |pattern: &str, name: &'static str| PatientPattern::parse(pattern).unwrap().patient(name);
        assert_eq!(patient("{patient}_*", "p01_3_left"), Some("p01"));
        assert_eq!(patient("case {patient}-*", "case Ü7-3"), Some("Ü7"));
        assert_eq!(patient("{patient}/*", "p01/series/3"), Some("p01"));
        assert_eq!(patient("scan_{patient}", "scan_17"), Some("17"));
        for (pattern, name) in [("{patient}_*", "p01"), ("{patient}_*", "_3"), ("case {patient}-*", "Case 1-3")] {
            assert_eq!(patient(pattern, name), None, "{pattern} {name}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        for (pattern, expected) in [
            ("p_*", "`patient` has no `{patient}`"),
            ("{patient}*", "does not say where the patient ends"),
            ("*{patient}_", "may have one `{patient}`"),
            ("{patient}.png", "leaves out the ending"),
        ] {
            assert!(PatientPattern::parse(pattern).unwrap_err().contains(expected), "{pattern}");
        }
    }

    #[test]
    fn patients_are_guessed_from_names_that_have_them_and_from_no_others() {
        let guessed = |names: &[&str]| {
            let images: Vec<(&str, &str)> = names.iter().map(|name| name.split_once('|').unwrap()).collect();
            guess(&images)
        };
        for (pattern, names) in [
            ("{patient}_*", ["a|p01_1", "a|p01_2", "a|p02_1", "b|p03_1", "b|p04_1"]),
            (
                "patient_{patient}_*",
                ["a|patient_1_1", "a|patient_1_2", "a|patient_2_1", "b|patient_3_1", "b|patient_4_1"],
            ),
            ("sub-{patient}_*", ["a|sub-01_T1w", "a|sub-01_T2w", "a|sub-02_T1w", "b|sub-03_T1w", "b|sub-04_T1w"]),
            ("{patient} *", ["a|MR12 (1)", "a|MR12 (2)", "a|MR13 (1)", "b|MR14 (1)", "b|MR15 (1)"]),
            ("{patient}/*", ["a|007/1", "a|007/2", "a|008/1", "b|009/1", "b|010/1"]),
        ] {
            assert_eq!(guessed(&names).as_deref(), Some(pattern), "{names:?}");
        }
        for names in [
            // One group a class: its name, not a patient's.
            ["a|benign1_1", "a|benign1_2", "a|benign1_3", "b|normal2_1", "b|normal2_2"],
            // One image each; numbers of pictures; dates; words; names without a common form.
            ["a|p1_1", "a|p2_1", "a|p3_1", "b|p4_1", "b|p5_1"],
            ["a|img1_1", "a|img1_2", "a|img2_1", "b|img3_1", "b|img4_1"],
            ["a|20210304_1", "a|20210304_2", "a|20210305_1", "b|20210306_1", "b|20210307_1"],
            ["a|left_1", "a|left_2", "a|right_1", "b|left_3", "b|right_4"],
            ["a|p01_1", "a|p01_2", "a|p02_1", "b|x", "b|y"],
        ] {
            assert_eq!(guessed(&names), None, "{names:?}");
        }
    }
}
