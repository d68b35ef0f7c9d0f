//! Sums and standard deviations of float64 in NumPy's order, to the last bit. Source: NumPy 2,
//! `numpy/_core/src/umath/loops_utils.h.src` (pairwise summation) and `numpy/_core/_methods.py` (`_mean`, `_var`).

/// Numbers in a block that is not halved.
const BLOCK: usize = 128;

/// Accumulators in a block.
const LANES: usize = 8;

/// Adds numbers that lie side by side, as `np.sum` does: fewer than 8 in turn, others in 8 accumulators, and more than
/// 128 as two halves, the first of which is a multiple of 8.
pub(super) fn sum(values: &[f64]) -> f64 {
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % LANES);
        return sum(first) + sum(second);
    }
    let (lanes, rest) = values.as_chunks::<LANES>();
    let Some((first, others)) = lanes.split_first() else { return rest.iter().sum() };
    let mut sums = *first;
    for lane in others {
        sums.iter_mut().zip(lane).for_each(|(sum, value)| *sum += value);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

/// Returns the mean.
pub(super) fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

/// Returns the population standard deviation (ddof = 0) of numbers that lie side by side, in two passes.
pub(super) fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean) * (value - mean)).collect();
    (sum(&squares) / values.len() as f64).sqrt()
}

/// Returns the standard deviation of each column of a table; NumPy adds its rows in turn, unless there is one column.
pub(super) fn deviations_of_columns(rows: &[Vec<f64>]) -> Vec<f64> {
    let columns = rows.first().map_or(0, Vec::len);
    let column = |column: usize| rows.iter().map(move |row| row[column]);
    if columns == 1 {
        return vec![deviation(&column(0).collect::<Vec<_>>())];
    }
    let in_turn = |index: usize| {
        let count = rows.len() as f64;
        let mean = column(index).sum::<f64>() / count;
        let squares: f64 = column(index).map(|value| (value - mean) * (value - mean)).sum();
        (squares / count).sqrt()
    };
    (0..columns).map(in_turn).collect()
}
