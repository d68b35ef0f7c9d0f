//! Pseudonyms of patients, and names in file names.

/// Hexadecimal digits of a pseudonym. With 48 bits, the chance that any two of 10,000 patients share one is 2 in
/// 10 million; of a million patients, 2 in a thousand.
const DIGITS: usize = 12;

/// Returns the pseudonym of a patient: `patient-` and twelve hexadecimal digits of a keyed BLAKE3 hash.
///
/// - `key`: the param `pseudonym_key`; the same key gives the same pseudonyms everywhere
/// - `patient`: the identity in a header or manifest; spaces around it do not count
///
/// Anyone who knows the key, or that there is none, can try all short identities: a number of six digits is found in a
/// second. So a pseudonym hides such identities only from those who do not have the spec.
pub(super) fn pseudonym(key: &str, patient: &str) -> String {
    let key = blake3::derive_key("orchestrate 2026 pseudonyms of patients", key.as_bytes());
    let digest = blake3::keyed_hash(&key, patient.trim().as_bytes()).to_hex();
    format!("patient-{}", &digest[..DIGITS])
}

/// Guesses whether a file's name tells a person: a DICOM name (`Doe^Jane`), a date as of birth, or `DOB`, in folders
/// too; or two capitalized words alone (`Doe_Jane.png`), in its last part.
///
/// It is for a counted warning: `Left_Breast.png` is taken for a person, and `doe.png` is not.
pub(super) fn looks_like_name(file: &str) -> bool {
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    let words = |text| -> Vec<&str> {
        let words = str::split(text, |letter: char| !letter.is_alphanumeric());
        words.filter(|word| !word.is_empty()).collect()
    };
    let last = parts.last().and_then(|part| part.split('.').next()).unwrap_or_default();
    let is_name = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase) && word.len() > 2 && letters.all(char::is_lowercase)
    };
    file.contains('^')
        || parts.iter().any(|part| tells_birth(&words(part)))
        || matches!(words(last)[..], [first, second] if is_name(first) && is_name(second))
}

/// True for `DOB` and for dates as `19700131` or `1970-01-31`.
fn tells_birth(words: &[&str]) -> bool {
    let is_date = |words: &[&str]| match *words {
        [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2) => is_birthday(year, month, day),
        _ => false,
    };
    let is_together =
        |word: &&str| word.len() == 8 && word.is_ascii() && is_date(&[&word[..4], &word[4..6], &word[6..]]);
    let is_dob = |word: &&str| word.eq_ignore_ascii_case("dob");
    words.iter().any(|word| is_dob(word) || is_together(word)) || words.windows(3).any(is_date)
}

/// True for a day of the years 1900 to 2015: later ones are days of examinations as a rule.
fn is_birthday(year: &str, month: &str, day: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let within =
        |text, range: std::ops::RangeInclusive<u16>| number(text).is_some_and(|number| range.contains(&number));
    within(year, 1900..=2015) && within(month, 1..=12) && within(day, 1..=31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_follows_from_key_and_patient_alone() {
        let one = pseudonym("secret", "12345");
        assert_eq!(one, pseudonym("secret", " 12345 "));
        assert_eq!((one.len(), &one[..8]), (8 + DIGITS, "patient-"));
        assert_ne!(one, pseudonym("other", "12345"));
        assert_ne!(one, pseudonym("secret", "12346"));
        assert!(!one.contains("12345"));
    }

    /// A changed pseudonym would part a patient's images of two runs.
    #[test]
    fn pseudonyms_stay_the_same() {
        assert_eq!(pseudonym("", "MR017260B"), "patient-cee3040cc597");
    }

    #[test]
    fn file_names_that_tell_a_person_are_found() {
        for file in [
            "Doe^Jane.dcm",
            "scans/Doe_Jane.dcm",
            "Doe, Jane.png",
            "Jane Doe.nii.gz",
            "x-19700131.png",
            "1970-01-31_ct.dcm",
            "DOB_x.png",
            "p_dob_1.png",
            "Doe^Jane/1.dcm",
            "TCGA_CS_4941_19960909/TCGA_CS_4941.tif",
        ] {
            assert!(looks_like_name(file), "{file}");
        }
        for file in [
            "benign (1).png",
            "ISIC_0000000.jpg",
            "TCGA_CS_4941.tif",
            "00000001_000.png",
            "IM-0001-0001.dcm",
            "20230105.dcm",
            "Tr-gl_0010.jpg",
            "brain_mask.png",
            "19704531.png",
            "Brain Tumor/1.png",
        ] {
            assert!(!looks_like_name(file), "{file}");
        }
    }
}
