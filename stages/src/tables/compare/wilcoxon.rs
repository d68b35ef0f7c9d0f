//! Wilcoxon's signed-rank test of paired differences. Sources: Wilcoxon 1945; Hollander, Wolfe and Chicken 2013,
//! *Nonparametric Statistical Methods*, section 3.1; the choice of the distribution is that of SciPy 1.17,
//! `scipy.stats.wilcoxon(d)` with its defaults.

/// The most differences with an exact distribution, if none are tied or zero.
const EXACT_MAX: usize = 50;

/// The most differences with an exact distribution, if some are tied or zero.
const EXACT_WITH_TIES_MAX: usize = 13;

/// Returns the smaller sum of ranks and the two-sided probability.
///
/// Zero differences are dropped and tied ones share their mean rank. The distribution is exact for up to 50 differences
/// without ties and zeros and for up to 13 with them, else the normal one with its variance corrected for ties and
/// without correction for continuity. `None` if all differences are zero.
pub(super) fn wilcoxon(differences: &[f64]) -> Option<(f64, f64)> {
    let mut nonzero: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    if nonzero.is_empty() {
        return None;
    }
    nonzero.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the ranks, so that the mean of several is a whole number.
    let mut ranks = Vec::with_capacity(nonzero.len());
    let mut ties = 0.0;
    for tied in nonzero.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = ranks.len() + 1;
        ranks.extend(std::iter::repeat_n(2 * first + tied.len() - 1, tied.len()));
        ties += (tied.len() as f64).powi(3) - tied.len() as f64;
    }
    let total: usize = ranks.iter().sum();
    let positive: usize =
        nonzero.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0).map(|(_, rank)| rank).sum();
    let is_plain = ties == 0.0 && nonzero.len() == differences.len();
    let exact_max = if is_plain { EXACT_MAX } else { EXACT_WITH_TIES_MAX };
    let p = if differences.len() <= exact_max {
        exact(&ranks, positive)
    } else {
        let n = nonzero.len() as f64;
        let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0;
        let z = (positive as f64 / 2.0 - n * (n + 1.0) / 4.0) / variance.sqrt();
        // Twice the upper tail of the normal distribution.
        libm::erfc(z.abs() / std::f64::consts::SQRT_2)
    };
    Some((positive.min(total - positive) as f64 / 2.0, p))
}

/// Returns the two-sided probability over all signs of the ranks.
fn exact(ranks: &[usize], positive: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    // Counts the ways to each sum; at most 2^50, so a float holds the count exactly.
    let mut ways = vec![0.0_f64; total + 1];
    ways[0] = 1.0;
    for &rank in ranks {
        for sum in (rank..=total).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all = 2.0_f64.powi(ranks.len() as i32);
    let (at_most, at_least) = (ways[..=positive].iter().sum::<f64>(), ways[positive..].iter().sum::<f64>());
    (2.0 * at_most.min(at_least) / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Ranks 1, 2, 3 with one negative of rank 1: of the 8 ways to sign them, the sums 5 and 6 are at least as large as
    /// 5, so p = 2 · 2 / 8.
    #[test]
    fn three_differences_worked_by_hand() {
        assert_eq!(wilcoxon(&[-0.1, 0.2, 0.3]), Some((1.0, 0.5)));
        assert_eq!(wilcoxon(&[0.1, -0.2, -0.3]), Some((1.0, 0.5)));
    }

    /// |d| = 1, 1, 2 has the ranks 1.5, 1.5, 3; all positive is one way of 8, and the zero is dropped.
    #[test]
    fn ties_share_their_mean_rank_and_zeros_are_dropped() {
        assert_eq!(wilcoxon(&[1.0, 0.0, 1.0, 2.0]), Some((0.0, 0.25)));
        assert_eq!(wilcoxon(&[-1.0, 1.0, 2.0]), Some((1.5, 0.75)));
        assert_eq!(wilcoxon(&[0.0, -0.0]), None);
        assert_eq!(wilcoxon(&[]), None);
    }

    #[test]
    fn values_are_those_of_scipy() {
        let reference: Value = serde_json::from_str(include_str!("../../../tests/reference/wilcoxon.json")).unwrap();
        for (name, case) in reference["cases"].as_object().unwrap() {
            let differences: Vec<f64> =
                case["differences"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
            let (w, p) = wilcoxon(&differences).unwrap();
            let (their_w, their_p) = (case["w"].as_f64().unwrap(), case["p"].as_f64().unwrap());
            assert_eq!(w, their_w, "{name}");
            assert!((p - their_p).abs() <= 1e-12 * their_p, "{name}: {p} against {their_p}");
        }
    }
}
