//! Stratified k folds that keep groups together, as scikit-learn's `StratifiedGroupKFold` makes them (version 1.9).
//!
//! If two groups, or two folds, are equally good, the order of groups and of sums decides. It is that of NumPy for
//! labels and groups that pandas reads from CSV. There, a column of numbers alone is sorted by size, and any other by
//! characters; `column.rs` has the rule, and `sums.rs` the sums. Folds can still differ from scikit-learn's, but are no
//! worse:
//!
//! - if `7` and `007` are both groups: pandas makes them one number;
//! - if labels or groups are given to scikit-learn in other types than pandas' own: `dtype=str` sorts numbers as texts,
//!   and class indices sort classes in another order than their names;
//! - if pandas reads a column as text though all of it are numbers: whole numbers of 2⁶³ or more beside negative ones,
//!   or of more than 2⁶⁴ beside decimals;
//! - if values are missing or `NA`, which pandas reads as NaN; here they are an error, or a text;
//! - with `shuffle` the random order is our own, and no seed of scikit-learn gives it.
//!
//! A fold without images, and a class with fewer images than folds, are errors here and at most a warning there.

use std::collections::HashMap;

use super::column::sort_as_numpy;
use super::sums::{deviation, deviations_of_columns, mean};
use crate::random::Generator;

/// Returns the fold in 0..k of each image, with every group in one fold and classes as even as this allows.
///
/// - `labels`: class of each image
/// - `groups`: group of each image
/// - `random`: with it, similar groups are taken in random order; without it, sorted, as in `StratifiedGroupKFold(k)`
///
/// Groups with images spread least evenly over the classes come first. Each goes to the fold that leaves the shares of
/// the classes most equal: the smallest mean over classes of the standard deviation over folds, then the smaller fold.
pub(super) fn grouped(labels: &[&str], groups: &[&str], folds: usize, random: Option<&mut Generator>) -> Vec<usize> {
    let (classes, class_of) = unique(labels);
    let (names, group_of) = unique(groups);

    let mut totals = vec![0.0; classes];
    let mut counts = vec![vec![0.0; classes]; names];
    for (&class, &group) in class_of.iter().zip(&group_of) {
        totals[class] += 1.0;
        counts[group][class] += 1.0;
    }

    let mut order: Vec<usize> = (0..names).collect();
    if let Some(random) = random {
        random.shuffle(&mut order);
    }
    let spread: Vec<f64> = counts.iter().map(|counts| deviation(counts)).collect();
    order.sort_by(|&a, &b| spread[b].total_cmp(&spread[a]));

    let mut fold_counts = vec![vec![0.0; classes]; folds];
    let mut fold_of_group = vec![0; names];
    for group in order {
        let fold = best_fold(&mut fold_counts, &totals, &counts[group]);
        add(&mut fold_counts[fold], &counts[group], 1.0);
        fold_of_group[group] = fold;
    }
    group_of.into_iter().map(|group| fold_of_group[group]).collect()
}

/// Returns the number of different values, and the place of each value among them, sorted.
fn unique(values: &[&str]) -> (usize, Vec<usize>) {
    let mut names = values.to_vec();
    sort_as_numpy(&mut names);
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
    (names.len(), values.iter().map(|value| places[value]).collect())
}

/// Returns the fold that a group with these counts per class unbalances least.
fn best_fold(fold_counts: &mut [Vec<f64>], totals: &[f64], group: &[f64]) -> usize {
    let mut best = (0, f64::INFINITY, f64::INFINITY);
    for fold in 0..fold_counts.len() {
        add(&mut fold_counts[fold], group, 1.0);
        let shares = |counts: &Vec<f64>| counts.iter().zip(totals).map(|(count, total)| count / total).collect();
        let shares: Vec<Vec<f64>> = fold_counts.iter().map(shares).collect();
        let imbalance = mean(&deviations_of_columns(&shares));
        add(&mut fold_counts[fold], group, -1.0);
        let images: f64 = fold_counts[fold].iter().sum();
        if imbalance < best.1 || (is_close(imbalance, best.1) && images < best.2) {
            best = (fold, imbalance, images);
        }
    }
    best.0
}

fn add(counts: &mut [f64], group: &[f64], sign: f64) {
    for (count, more) in counts.iter_mut().zip(group) {
        *count += sign * more;
    }
}

/// NumPy's `isclose` with its default tolerances, for two numbers of at least 0.
fn is_close(value: f64, reference: f64) -> bool {
    reference.is_finite() && (value - reference).abs() <= 1e-8 + 1e-5 * reference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn generator(seed: u64) -> Generator {
        Seed::new("split", seed, &[]).generator("order", "")
    }

    #[test]
    fn no_group_is_in_two_folds_with_and_without_shuffling() {
        let labels: Vec<&str> = (0..60).map(|image| ["x", "y", "z"][image / 4 % 3]).collect();
        let names: Vec<String> = (0..60).map(|image| format!("patient {}", image / 4)).collect();
        let groups: Vec<&str> = names.iter().map(String::as_str).collect();
        let fold_sizes = |folds: &[usize]| {
            for (group, folds) in groups.chunks(4).zip(folds.chunks(4)) {
                assert!(folds.iter().all(|&fold| fold == folds[0]), "{group:?} {folds:?}");
            }
            let mut sizes = vec![0; 5];
            folds.iter().for_each(|&fold| sizes[fold] += 1);
            sizes
        };
        let plain = grouped(&labels, &groups, 5, None);
        let shuffled = grouped(&labels, &groups, 5, Some(&mut generator(1)));
        // 15 groups of 4, five of each class: every fold gets one of each.
        assert_eq!(fold_sizes(&plain), [12; 5]);
        assert_eq!(fold_sizes(&shuffled), [12; 5]);
        assert_ne!(plain, shuffled);
    }
}
