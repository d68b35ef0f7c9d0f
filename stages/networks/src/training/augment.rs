//! Random flips and shifts of training images.

use orchestrate_stages::random::Generator;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Random changes of training images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Mirrors an image with probability ½.
    #[serde(default)]
    pub flip: Flip,
    /// Moves an image by a whole number of pixels, uniform in ±`shift` along each axis, and fills with black.
    #[serde(default)]
    #[schemars(example = 4)]
    pub shift: usize,
}

/// The axes along which an image may be mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// Images stay as they are.
    #[default]
    None,
    /// Left and right change places.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
    /// Either, independently.
    Both,
}

impl Augment {
    /// Draws the change of each image of a batch; empty if images stay as they are, or without a generator.
    pub(crate) fn changes(self, images: usize, generator: Option<&mut Generator>) -> Vec<Change> {
        let generator = generator.filter(|_| self != Self::default());
        generator.map_or_else(Vec::new, |generator| (0..images).map(|_| Change::draw(self, generator)).collect())
    }
}

/// Applies changes to images, or to their masks; without changes, images stay as they are.
///
/// - `images`: grey levels or masks, `[image, height, width]`, as many images as changes
pub(crate) fn changed(changes: &[Change], images: Vec<u8>, width: usize) -> Vec<u8> {
    if changes.is_empty() {
        return images;
    }
    let mut pixels = Vec::with_capacity(images.len());
    for (change, image) in changes.iter().zip(images.chunks_exact((images.len() / changes.len()).max(1))) {
        change.append(&mut pixels, image, width);
    }
    pixels
}

/// One random change of an image and, if it has one, of its mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    horizontal: bool,
    vertical: bool,
    down: isize,
    right: isize,
}

impl Change {
    /// Draws four random numbers, whatever the params, so that one param leaves the draws of the others as they were.
    fn draw(augment: Augment, generator: &mut Generator) -> Self {
        let horizontal = generator.below(2) == 1 && matches!(augment.flip, Flip::Horizontal | Flip::Both);
        let vertical = generator.below(2) == 1 && matches!(augment.flip, Flip::Vertical | Flip::Both);
        let mut shift = || generator.below(2 * augment.shift + 1) as isize - augment.shift as isize;
        let (down, right) = (shift(), shift());
        Self { horizontal, vertical, down, right }
    }

    /// Appends the changed image `[height, width]` to `pixels`; pixels from outside the image are 0.
    fn append(self, pixels: &mut Vec<u8>, image: &[u8], width: usize) {
        let height = image.len() / width.max(1);
        for y in 0..height {
            for x in 0..width {
                let source =
                    source(y, self.down, height, self.vertical).zip(source(x, self.right, width, self.horizontal));
                pixels.push(source.map_or(0, |(y, x)| image[y * width + x]));
            }
        }
    }
}

/// Returns the index whose pixel arrives at `index` when an axis is first mirrored, then moved; `None` outside the
/// image.
fn source(index: usize, shift: isize, length: usize, mirrored: bool) -> Option<usize> {
    let moved = usize::try_from(index as isize - shift).ok().filter(|&moved| moved < length)?;
    Some(if mirrored { length - 1 - moved } else { moved })
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrate_stages::random::Seed;
    use std::collections::BTreeSet;

    /// The distinct images among 200 draws from a 2×2 image.
    fn draws(augment: Augment) -> BTreeSet<Vec<u8>> {
        let mut generator = Seed::new("test", 1, &[]).generator("augment", "1");
        let images = [1, 2, 3, 4].repeat(200);
        let changes = augment.changes(200, Some(&mut generator));
        changed(&changes, images, 2).chunks(4).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn flips_give_the_mirrored_images_and_no_other() {
        let horizontal = draws(Augment { flip: Flip::Horizontal, shift: 0 });
        assert_eq!(horizontal, BTreeSet::from([vec![1, 2, 3, 4], vec![2, 1, 4, 3]]));
        let vertical = draws(Augment { flip: Flip::Vertical, shift: 0 });
        assert_eq!(vertical, BTreeSet::from([vec![1, 2, 3, 4], vec![3, 4, 1, 2]]));
        assert_eq!(draws(Augment { flip: Flip::Both, shift: 0 }).len(), 4);
        assert_eq!(draws(Augment::default()), BTreeSet::from([vec![1, 2, 3, 4]]));
    }

    #[test]
    fn shifts_reach_every_offset_and_fill_with_black() {
        let shifted = draws(Augment { flip: Flip::None, shift: 1 });
        assert_eq!(shifted.len(), 9);
        assert!(shifted.contains(&vec![0, 1, 0, 3]), "one to the right");
        assert!(shifted.contains(&vec![4, 0, 0, 0]), "one up, one to the left");
    }
}
