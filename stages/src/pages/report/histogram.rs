//! The distribution of the IoU of images. Source: Kang et al. 2021, Figure 3.

/// Number of bins.
pub(super) const BINS: usize = 20;

/// Relative frequencies of values in 0..=1 in bins of 0.05.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// Images in each bin.
    pub(super) counts: [u64; BINS],
}

impl Histogram {
    /// Counts values; a bin includes its lower edge, and the last one both edges, as in `numpy.histogram`.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut counts = [0; BINS];
        for value in values {
            // Compares with the edges themselves, because 0.15 × 20 is less than 3 in floats.
            let bin = (1..BINS).take_while(|&bin| value >= edge(bin)).count();
            counts[bin] += 1;
        }
        Self { counts }
    }

    /// Number of values.
    pub(super) fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of the values in each bin; 0 everywhere without values.
    pub(super) fn shares(&self) -> [f64; BINS] {
        let n = self.n().max(1) as f64;
        self.counts.map(|count| count as f64 / n)
    }
}

/// Returns the lower edge of a bin; that of `BINS` is 1.
pub(super) fn edge(bin: usize) -> f64 {
    bin as f64 / BINS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn bins_have_their_lower_edge_and_the_last_one_both() {
        let counts = Histogram::of([0.0, 0.049, 0.05, 0.15, 0.149999, 0.95, 1.0].into_iter()).counts;
        let expected = [(0, 2), (1, 1), (2, 1), (3, 1), (19, 2)];
        for (bin, count) in counts.into_iter().enumerate() {
            let wanted = expected.iter().find(|(place, _)| *place == bin).map_or(0, |(_, count)| *count);
            assert_eq!(count, wanted, "bin {bin}");
        }
    }

    #[test]
    fn shares_sum_to_one_and_those_of_nothing_are_zero() {
        let shares = Histogram::of([0.0, 0.0, 0.5, 0.99].into_iter()).shares();
        assert_eq!((shares[0], shares[10], shares[19]), (0.5, 0.25, 0.25));
        assert_eq!(Histogram::of(std::iter::empty()).shares(), [0.0; BINS]);
    }

    #[derive(Deserialize)]
    struct Reference {
        values: Vec<f64>,
        counts: Vec<u64>,
    }

    #[test]
    fn counts_are_those_of_numpy() {
        let reference: Reference =
            serde_json::from_str(include_str!("../../../tests/reference/histogram.json")).expect("the file is JSON");
        assert_eq!(Histogram::of(reference.values.into_iter()).counts.to_vec(), reference.counts);
    }
}
