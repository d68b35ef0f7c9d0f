//! Facts about each image, noted while it is read, for the audit.

use orchestrate_cache::{Digest, Digester};

use super::raster::Samples;
use super::resize::{Filter, Grid};

/// Facts about one image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImageFacts {
    /// Height and width in the file.
    pub(super) size: (usize, usize),
    /// Form of the samples in the file; `None` if the format has only one.
    pub(super) samples: Option<Samples>,
    /// Smallest and largest value, of files of more than 8 bits.
    pub(super) range: Option<(f64, f64)>,
    /// Pixels without a value: padding and NaN.
    pub(super) excluded: usize,
    /// Digest of size and grey levels, before resizing.
    pub(super) digest: Digest,
    /// dHash of the grey levels; see [`crate::data::alike`].
    pub(super) hash: u64,
    /// True if all pixels have one level.
    pub(super) is_constant: bool,
    /// Files of masks.
    pub(super) masks: usize,
    /// Foreground pixels of the mask in the file, and after resizing; `None` without a mask.
    pub(super) foreground: Option<(usize, usize)>,
    /// Levels of the masks' files that are foreground.
    pub(super) levels: Vec<f64>,
    /// The patient of the header, as a pseudonym.
    pub(super) patient: Option<String>,
    /// True if the header says that text is burned into the pixels.
    pub(super) burned_in: bool,
}

impl ImageFacts {
    /// Returns the facts that grey levels show.
    pub(super) fn of(image: &Grid, masks: usize) -> Self {
        let mut digester = Digester::default();
        [image.height, image.width].iter().for_each(|side| digester.update(&(*side as u64).to_le_bytes()));
        digester.update(&image.pixels);
        Self {
            size: image.size(),
            samples: None,
            range: None,
            excluded: 0,
            digest: digester.digest(),
            hash: hash(image),
            is_constant: image.pixels.iter().all(|&pixel| pixel == image.pixels[0]),
            masks,
            foreground: None,
            levels: Vec::new(),
            patient: None,
            burned_in: false,
        }
    }
}

/// Returns the dHash of a picture: bits of 8 rows from the top, each from the left, the first bit highest.
fn hash(image: &Grid) -> u64 {
    const SIDE: usize = 8;
    let reduced = image.clone().resized((SIDE, SIDE + 1), Filter::Bilinear);
    let rows = reduced.pixels.chunks_exact(SIDE + 1);
    rows.flat_map(|row| row.windows(2)).fold(0, |hash, pair| hash << 1 | u64::from(pair[1] > pair[0]))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        height: usize,
        width: usize,
        pixels: Vec<u8>,
        hash: String,
    }

    /// `tests/reference/dhash.py` made the values with Pillow and NumPy.
    #[test]
    fn hashes_are_those_of_pillow_and_numpy() {
        let Reference { cases } = serde_json::from_str(include_str!("../../../tests/reference/dhash.json")).unwrap();
        for Case { height, width, pixels, hash } in cases {
            let facts = ImageFacts::of(&Grid { height, width, pixels }, 0);
            assert_eq!(crate::data::alike::text(facts.hash), hash, "{width} × {height}");
        }
    }
}
