//! Names of masks beside their images: the param `mask` of format `folders`.

use std::collections::HashSet;

use super::name_pattern::NamePattern;

/// The place of the image's name in a pattern.
const STEM: &str = "{stem}";

/// A pattern of mask names, such as `{stem}_mask*`. Upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MaskPattern {
    prefix: String,
    suffix: String,
    /// True if any text may follow.
    open: bool,
}

impl Default for MaskPattern {
    fn default() -> Self {
        Self { prefix: String::new(), suffix: "_mask".to_owned(), open: true }
    }
}

impl MaskPattern {
    /// Parses a pattern. The error is one sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("`mask` {what}; a pattern such as `{{stem}}_mask*` is expected");
        if text.contains(STEM) && text.contains('/') {
            return Err(wrong("names a folder, and masks lie beside their images".to_owned()));
        }
        let NamePattern { prefix, suffix, open } =
            NamePattern::parse(text, STEM, "the name of the image").map_err(wrong)?;
        if prefix.is_empty() && suffix.is_empty() {
            return Err(wrong("would take every image for a mask".to_owned()));
        }
        Ok(Self { prefix: prefix.to_lowercase(), suffix: suffix.to_lowercase(), open })
    }

    /// Returns the possible names of the image that a mask belongs to, the longest first; none if the name is no
    /// mask's. Both are file names without endings, in lower case.
    pub(super) fn stems<'a>(&self, name: &'a str) -> Vec<&'a str> {
        let Some(rest) = name.strip_prefix(self.prefix.as_str()) else { return Vec::new() };
        let ends = |stem: &&str| !stem.is_empty();
        if !self.open {
            return rest.strip_suffix(self.suffix.as_str()).into_iter().filter(ends).collect();
        }
        let mut stems: Vec<&str> = match self.suffix.as_str() {
            // A letter or digit would belong to the name of another image: `mask_10` is no mask of `1`.
            "" => {
                let ends =
                    rest.char_indices().filter(|(_, letter)| !letter.is_alphanumeric()).map(|(at, _)| &rest[..at]);
                ends.chain([rest]).collect()
            }
            suffix => rest.match_indices(suffix).map(|(at, _)| &rest[..at]).collect(),
        };
        stems.retain(ends);
        stems.reverse();
        stems
    }
}

/// Words for masks in names of files.
const WORDS: [&str; 9] = ["mask", "masks", "segmentation", "seg", "gt", "label", "annotation", "lesion", "roi"];

/// Letters between the name of an image and the word for its mask.
const SEPARATORS: [char; 4] = ['_', '-', '.', ' '];

/// Returns possible names of the image that a file looks like a mask of, whatever the pattern: `x` for `x-mask_1`,
/// `x.seg` and `mask_x`. All are in lower case and without endings.
pub(super) fn lookalike_stems(name: &str) -> Vec<&str> {
    let unnumbered = name.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches(SEPARATORS);
    let before = |name: &'_ str, word: &str| -> Option<usize> {
        Some(name.strip_suffix(word)?.strip_suffix(SEPARATORS)?.len()).filter(|length| *length > 0)
    };
    let after = |word: &str| name.strip_prefix(word)?.strip_prefix(SEPARATORS).filter(|stem| !stem.is_empty());
    let of_word = |word: &&str| {
        let lengths = [before(name, word), before(unnumbered, word)];
        lengths.into_iter().flatten().map(|length| &name[..length]).chain(after(word)).collect::<Vec<_>>()
    };
    WORDS.iter().flat_map(of_word).collect()
}

/// Guesses the pattern from the names of pictures, if the default is not theirs: `{stem}_segmentation`.
///
/// - `names`: folder and file without its ending, in lower case
///
/// `None` if no name looks like a mask of another, or if such names have no pattern in common.
pub(super) fn guess(names: &[(&str, &str)]) -> Option<String> {
    let all: HashSet<&(&str, &str)> = names.iter().collect();
    let default = MaskPattern::default();
    let mut guessed: Option<String> = None;
    for (folder, name) in names.iter().filter(|(_, name)| default.stems(name).is_empty()) {
        let stem = lookalike_stems(name).into_iter().find(|stem| all.contains(&(*folder, *stem)));
        let Some(stem) = stem else { continue };
        let (prefix, suffix) = match name.strip_prefix(stem) {
            Some(suffix) => ("", suffix),
            None => (name.strip_suffix(stem).unwrap_or_default(), ""),
        };
        let unnumbered = suffix.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches(SEPARATORS);
        let pattern = format!("{prefix}{STEM}{unnumbered}");
        match &guessed {
            Some(other) if other.trim_end_matches('*') != pattern => return None,
            Some(_) if unnumbered == suffix => {}
            _ => guessed = Some(if unnumbered == suffix { pattern } else { pattern + "*" }),
        }
    }
    // A dot in a pattern would be that of an ending.
    guessed.filter(|pattern| MaskPattern::parse(pattern).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_masks_are_guessed_if_all_names_agree() {
        let guessed = |names: &[&'static str]| guess(&names.iter().map(|name| ("a", *name)).collect::<Vec<_>>());
        assert_eq!(guessed(&["x", "x_segmentation", "y", "y_segmentation"]).as_deref(), Some("{stem}_segmentation"));
        assert_eq!(guessed(&["x", "x-seg", "x-seg_2", "x-seg_3"]).as_deref(), Some("{stem}-seg*"));
        assert_eq!(guessed(&["1", "mask_1", "2", "mask_2"]).as_deref(), Some("mask_{stem}"));
        assert_eq!(guessed(&["x", "x_mask", "y"]), None);
        assert_eq!(guessed(&["x", "x_seg", "y", "y_gt"]), None);
    }

    #[test]
    fn names_that_look_like_masks_name_their_image_in_every_common_way() {
        for name in ["x_mask", "x-mask", "x.seg", "x_mask_1", "x_gt2", "mask_x", "roi-x", "x_segmentation"] {
            assert!(lookalike_stems(name).contains(&"x"), "{name}");
        }
        for name in ["x", "mask", "_mask", "xmask", "x_masked", "unmask_x"] {
            assert!(!lookalike_stems(name).contains(&"x"), "{name}: {:?}", lookalike_stems(name));
        }
    }

    #[test]
    fn text_after_the_stem_does_not_go_on_with_its_name() {
        let pattern = MaskPattern::parse("mask_{stem}*").unwrap();
        assert_eq!(pattern.stems("mask_10"), ["10"]);
        assert_eq!(pattern.stems("mask_1_b"), ["1_b", "1"]);
    }

    #[test]
    fn a_mask_names_its_image() {
        let default = MaskPattern::default();
        assert_eq!(default.stems("benign (4)_mask_1"), ["benign (4)"]);
        assert_eq!(default.stems("x_mask_mask"), ["x_mask", "x"]);
        assert_eq!(default.stems("x"), [""; 0]);
        assert_eq!(default.stems("_mask"), [""; 0]);
        let isic = MaskPattern::parse("{stem}_Segmentation").unwrap();
        assert_eq!(isic.stems("isic_0000000_segmentation"), ["isic_0000000"]);
        assert_eq!(isic.stems("isic_0000000_segmentation_2"), [""; 0]);
        assert_eq!(MaskPattern::parse("label-{stem}").unwrap().stems("label-7"), ["7"]);
        assert_eq!(MaskPattern::parse("{stem}_mask*"), Ok(default));
    }

    #[test]
    fn bad_patterns_say_why() {
        for (pattern, expected) in [
            ("_mask", "`mask` has no `{stem}`"),
            ("masks/{stem}", "`mask` names a folder"),
            ("*{stem}_mask", "may have one `{stem}`"),
            ("{stem}_mask*.png", "may have one `{stem}`"),
            ("{stem}_mask.png", "leaves out the ending"),
            ("{stem}", "every image"),
        ] {
            assert!(MaskPattern::parse(pattern).unwrap_err().contains(expected), "{pattern}");
        }
    }
}
