//! Grey levels computed from a histogram: percentiles and Otsu's method.

use crate::maps::heatmap::Histogram;

/// Returns the q-th percentile, q in 0..=100, interpolated linearly between ranks, as by default in NumPy.
pub(super) fn percentile(histogram: &Histogram, q: f64) -> f64 {
    let last = histogram.total().saturating_sub(1);
    let place = last as f64 * (q / 100.0);
    let (rank, fraction) = (place.floor(), place.fract());
    let low = f64::from(histogram.ranked(rank as u64));
    let high = f64::from(histogram.ranked((rank as u64 + 1).min(last)));
    // From the nearer end, as in NumPy, so that the last digit agrees.
    if fraction < 0.5 { low + (high - low) * fraction } else { high - (high - low) * (1.0 - fraction) }
}

/// Returns the grey level that separates two classes with the largest variance between them. Source: Otsu 1979; ties and
/// precision as in scikit-image's `threshold_otsu` on a u8 image.
pub(super) fn otsu(histogram: &Histogram) -> f64 {
    let counts = histogram.counts();
    let (Some(first), Some(last)) = (counts.iter().position(|&n| n > 0), counts.iter().rposition(|&n| n > 0)) else {
        return 0.0;
    };
    let all = counts.iter().map(|&n| u64::from(n)).sum::<u64>();
    let all_moment: u64 = (0..).zip(counts).map(|(level, &n)| level * u64::from(n)).sum();
    let (mut below, mut moment) = (0, 0);
    let mut best = (first, f64::NEG_INFINITY);
    for (level, &n) in counts.iter().enumerate().take(last).skip(first) {
        below += u64::from(n);
        moment += level as u64 * u64::from(n);
        let above = all - below;
        let distance = moment as f64 / below as f64 - (all_moment - moment) as f64 / above as f64;
        // scikit-image multiplies the two weights in f32, which decides near ties.
        let variance = f64::from(below as f32 * above as f32) * (distance * distance);
        if variance > best.1 {
            best = (level, variance);
        }
    }
    best.0 as f64
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        qs: Vec<f64>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        counts: Vec<(u8, usize)>,
        percentiles: Vec<f64>,
        otsu: f64,
    }

    fn reference() -> (Vec<f64>, Vec<(Histogram, Case)>) {
        let json = include_str!("../../../tests/reference/threshold.json");
        let reference: Reference = serde_json::from_str(json).unwrap();
        let with_histogram = |case: Case| {
            let pixels = case.counts.iter().flat_map(|&(level, count)| std::iter::repeat_n(level, count));
            (Histogram::of(pixels), case)
        };
        (reference.qs, reference.cases.into_iter().map(with_histogram).collect())
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        let (qs, cases) = reference();
        for (histogram, case) in cases {
            let ours: Vec<_> = qs.iter().map(|&q| percentile(&histogram, q)).collect();
            for (ours, theirs) in ours.iter().zip(&case.percentiles) {
                // JSON numbers may lose their last bit on the way in.
                assert!((ours - theirs).abs() <= f64::EPSILON * 256.0, "{ours} against {theirs}");
            }
        }
    }

    #[test]
    fn otsu_is_that_of_scikit_image() {
        for (histogram, case) in reference().1 {
            assert_eq!(otsu(&histogram), case.otsu);
        }
    }

    /// Two pixels of 0 and two of 10: every level from 0 to 9 separates them equally well, and the first is taken.
    #[test]
    fn otsu_takes_the_lowest_of_equal_levels() {
        assert_eq!(otsu(&Histogram::of([0, 10, 0, 10])), 0.0);
        assert_eq!(otsu(&Histogram::of([7, 7])), 7.0);
    }
}
