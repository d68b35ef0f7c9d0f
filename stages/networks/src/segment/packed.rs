//! Masks in memory, one bit per pixel: every worker process has its own, an eighth of the decoded table.

use orchestrate_stages::artifact::Masks;

/// Masks of one size, in data set order.
pub(super) struct Packed {
    /// Pixels per mask.
    size: usize,
    /// Eight pixels per byte, the first in the lowest bit; each mask starts with a new byte.
    bytes: Vec<u8>,
}

impl Packed {
    pub(super) fn new(masks: &Masks) -> Self {
        let size = masks.height * masks.width;
        let pack = |pixels: &[u8]| pixels.iter().rev().fold(0, |byte, &pixel| (byte << 1) | pixel);
        let bytes = masks.pixels.chunks_exact(size.max(1)).flat_map(|mask| mask.chunks(8).map(pack)).collect();
        Self { size, bytes }
    }

    /// Returns the mask of an image, 0 or 1, row by row.
    pub(super) fn mask(&self, image: usize) -> Vec<u8> {
        let mut pixels: Vec<u8> =
            self.bytes_of(image).iter().flat_map(|byte| (0..8).map(move |place| (byte >> place) & 1)).collect();
        pixels.truncate(self.size);
        pixels
    }

    fn bytes_of(&self, image: usize) -> &[u8] {
        let length = self.size.div_ceil(8);
        &self.bytes[image * length..(image + 1) * length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_come_out_as_they_went_in() {
        for (height, width) in [(1, 1), (1, 8), (3, 3), (4, 8)] {
            let size = height * width;
            let pixels: Vec<u8> = (0..3 * size).map(|place| u8::from(place < 2 * size && place % 3 == 1)).collect();
            let names = ["a", "b", "c"].map(str::to_owned).to_vec();
            let packed = Packed::new(&Masks { names, height, width, pixels: pixels.clone() });
            for (image, mask) in pixels.chunks(size).enumerate() {
                assert_eq!(packed.mask(image), mask, "{height} × {width}");
            }
        }
    }
}
