//! Random flips and shifts of training images.

use crate::train::{Augment, Flip};
use orchestrate_stages::random::Generator;

/// One random change, for an image and, where there is one, for its mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    horizontal: bool,
    vertical: bool,
    down: isize,
    right: isize,
}

impl Change {
    /// Takes four random numbers, whatever the params, so that turning one change on leaves the others as they were.
    pub(crate) fn draw(augment: Augment, generator: &mut Generator) -> Self {
        let horizontal = generator.below(2) == 1 && matches!(augment.flip, Flip::Horizontal | Flip::Both);
        let vertical = generator.below(2) == 1 && matches!(augment.flip, Flip::Vertical | Flip::Both);
        let mut shift = || generator.below(2 * augment.shift + 1) as isize - augment.shift as isize;
        let (down, right) = (shift(), shift());
        Self { horizontal, vertical, down, right }
    }

    /// Appends the changed image.
    ///
    /// - `image`: grey levels or a mask, `[height, width]`; what comes in is 0
    pub(crate) fn append(self, pixels: &mut Vec<u8>, image: &[u8], width: usize) {
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

/// The place that comes to lie at `place` when an axis is mirrored first and moved then.
fn source(place: usize, shift: isize, length: usize, mirrored: bool) -> Option<usize> {
    let moved = usize::try_from(place as isize - shift).ok().filter(|&moved| moved < length)?;
    Some(if mirrored { length - 1 - moved } else { moved })
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrate_stages::random::Seed;
    use std::collections::BTreeSet;

    /// All images that 200 draws give of a 2×2 image.
    fn draws(augment: Augment) -> BTreeSet<Vec<u8>> {
        let mut generator = Seed::new("test", 1, &[]).generator("augment", "1");
        (0..200)
            .map(|_| {
                let mut pixels = Vec::new();
                Change::draw(augment, &mut generator).append(&mut pixels, &[1, 2, 3, 4], 2);
                pixels
            })
            .collect()
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
