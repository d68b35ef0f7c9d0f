//! Min-max of f32 values to grey levels, several values at a time.

/// The smallest and the largest of some values.
pub(super) type Range = (f32, f32);

/// The smallest and the largest of the values so far, NaN ignored, in 32 lanes that a processor compares in parallel.
pub(super) struct Extremes {
    smallest: [f32; 32],
    largest: [f32; 32],
}

impl Default for Extremes {
    fn default() -> Self {
        Self { smallest: [f32::INFINITY; 32], largest: [f32::NEG_INFINITY; 32] }
    }
}

impl Extremes {
    pub(super) fn of(values: &[f32]) -> Self {
        let mut extremes = Self::default();
        extremes.add(values);
        extremes
    }

    #[inline(always)]
    pub(super) fn add(&mut self, values: &[f32]) {
        let (chunks, rest) = values.as_chunks::<32>();
        // Copies of a known length stay in registers.
        let (mut smallest, mut largest) = (self.smallest, self.largest);
        for values in chunks {
            for ((smallest, largest), &value) in smallest.iter_mut().zip(&mut largest).zip(values) {
                widen(smallest, largest, value);
            }
        }
        for ((smallest, largest), &value) in smallest.iter_mut().zip(&mut largest).zip(rest) {
            widen(smallest, largest, value);
        }
        (self.smallest, self.largest) = (smallest, largest);
    }

    /// Returns the range; (inf, -inf) of no values.
    pub(super) fn range(&self) -> Range {
        (
            self.smallest.iter().copied().fold(f32::INFINITY, f32::min),
            self.largest.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        )
    }
}

#[inline(always)]
fn widen(smallest: &mut f32, largest: &mut f32, value: f32) {
    *smallest = if value < *smallest { value } else { *smallest };
    *largest = if value > *largest { value } else { *largest };
}

/// Min-max to 0..=1, × 255, truncated; 0 if all values are equal.
#[inline(always)]
pub(super) fn grey_levels(values: &[f32], (min, max): Range, levels: &mut [u8]) {
    let span = max - min;
    if span == 0.0 {
        return levels.fill(0);
    }
    for (level, value) in levels.iter_mut().zip(values) {
        *level = truncated((value - min) / span * 255.0);
    }
}

/// Truncates a number in 0..=255.
///
/// From 2^23 on floats are whole numbers, so the last bits of the sum with it are the nearest one, perhaps one too large.
/// Processors vectorise this, unlike a cast, which checks the range of every value.
#[inline(always)]
pub(super) fn truncated(value: f32) -> u8 {
    const WHOLE: f32 = 8_388_608.0;
    let nearest = value + WHOLE;
    let excess = u32::from(nearest - WHOLE > value);
    (nearest.to_bits() - excess) as u8
}
