//! Histograms of grey levels, from which thresholds and scores follow.

/// Pixels by grey level 0..=255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u32; 256],
}

/// A histogram under construction.
///
/// Equal pixels often follow each other; counting them in four lanes in turn avoids waiting for the previous count.
pub(super) struct Counter {
    lanes: [[u32; 256]; 4],
}

impl Default for Counter {
    fn default() -> Self {
        Self { lanes: [[0; 256]; 4] }
    }
}

impl Counter {
    /// Counts consecutive pixels.
    pub(super) fn add(&mut self, pixels: &[u8]) {
        let [first, second, third, fourth] = &mut self.lanes;
        let (chunks, rest) = pixels.as_chunks::<4>();
        for pixels in chunks {
            first[usize::from(pixels[0])] += 1;
            second[usize::from(pixels[1])] += 1;
            third[usize::from(pixels[2])] += 1;
            fourth[usize::from(pixels[3])] += 1;
        }
        for &pixel in rest {
            first[usize::from(pixel)] += 1;
        }
    }

    pub(super) fn histogram(&self) -> Histogram {
        Histogram { counts: std::array::from_fn(|level| self.lanes.iter().map(|lane| lane[level]).sum()) }
    }
}

impl Histogram {
    /// Counts pixels.
    #[cfg(test)]
    pub(crate) fn of(pixels: impl IntoIterator<Item = u8>) -> Self {
        let mut counts = [0; 256];
        for pixel in pixels {
            counts[usize::from(pixel)] += 1;
        }
        Self { counts }
    }

    /// Returns the number of pixels of each grey level.
    pub fn counts(&self) -> &[u32; 256] {
        &self.counts
    }

    /// Returns whether all pixels have one grey level.
    pub(crate) fn is_constant(&self) -> bool {
        self.counts.iter().filter(|&&count| count > 0).count() <= 1
    }

    /// Returns the number of all pixels.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Returns the grey level of that rank, from 0, among the sorted pixels; `rank` is below [`Histogram::total`].
    pub fn ranked(&self, rank: u64) -> u8 {
        let mut seen = 0;
        let level = self.counts.iter().position(|&count| {
            seen += u64::from(count);
            seen > rank
        });
        level.map_or(255, |level| level as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_pixels_are_counted_as_single_ones_are() {
        let pixels: Vec<u8> = (0..1003_u32).map(|index| (index * index % 251) as u8).collect();
        for length in [0, 1, 3, 4, 1000, 1003] {
            let mut counter = Counter::default();
            let (front, back) = pixels[..length].split_at(length / 3);
            counter.add(front);
            counter.add(back);
            assert_eq!(counter.histogram(), Histogram::of(pixels[..length].iter().copied()));
        }
    }

    #[test]
    fn ranks_follow_the_sorted_pixels() {
        let histogram = Histogram::of([9, 3, 3, 200]);
        assert_eq!([0, 1, 2, 3].map(|rank| histogram.ranked(rank)), [3, 3, 9, 200]);
        assert!(!histogram.is_constant() && Histogram::of([7, 7]).is_constant());
    }
}
