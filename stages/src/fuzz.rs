//! Readers of foreign bytes, which must return for any input: for the targets in `tests/fuzz/` and for property tests.

use crate::command::template;
use crate::data::dataset;
use crate::data::split::matlab::vector;

/// A picture, as an image and as a mask.
pub fn picture(bytes: &[u8]) {
    dataset::fuzz::picture(bytes);
}

/// A DICOM file, as an image and as a mask.
pub fn dicom(bytes: &[u8]) {
    dataset::fuzz::dicom(bytes);
}

/// A NIfTI file along each axis, and any file by its contents.
pub fn nifti(bytes: &[u8]) {
    dataset::fuzz::nifti(bytes);
}

/// A file of Cheng's set, and one with a vector of folds.
pub fn matlab(bytes: &[u8]) {
    dataset::fuzz::cheng(bytes);
    let _ = vector(bytes, "cvind");
}

/// A manifest, and its lines as the names of files in folders of classes.
pub fn manifest(bytes: &[u8]) {
    dataset::fuzz::manifest(bytes);
}

/// An item of a command's `argv`.
pub fn argument(bytes: &[u8]) {
    let _ = std::str::from_utf8(bytes).map(template::parse);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::damage::{Read, Target, assert_found_are_read, damaged, reference};

    const TARGETS: [Target; 6] = [
        ("picture", picture),
        ("dicom", dicom),
        ("nifti", nifti),
        ("matlab", matlab),
        ("manifest", manifest),
        ("argument", argument),
    ];

    const MANIFEST: &[u8] = b"image,label,mask,patient,fold\na.png,x,m.png,p1,1\n\"b, c.png\",y,,p2,2\n";

    #[test]
    fn what_fuzzing_found_is_read_or_refused() {
        assert_found_are_read(&TARGETS);
    }

    /// Small files of all formats that are read.
    fn seeds() -> Vec<(Read, Vec<u8>)> {
        let texts: [(Read, Vec<u8>); 2] =
            [(manifest, MANIFEST.to_vec()), (argument, b"{in.scores}/x-{params.a}-{out.b}{{}}{threads}".to_vec())];
        let folders = [
            ("picture", picture as Read),
            ("dicom", dicom),
            ("nifti", nifti),
            ("mat", matlab),
            ("mat_kinds", matlab),
            ("mat_refused", matlab),
            ("cvind", matlab),
        ];
        texts.into_iter().chain(folders.into_iter().flat_map(|(folder, read)| reference(folder, read))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn a_damaged_file_of_any_format_is_read_or_refused((read, bytes) in damaged(seeds())) {
            read(&bytes);
        }
    }
}
