//! Stratified k folds that keep groups together, as scikit-learn's `StratifiedGroupKFold` makes them (version 1.9).
//!
//! If two groups, or two folds, are equally good, their order decides, and then the folds can differ from scikit-learn's.
//! They are no worse:
//!
//! - groups are sorted as texts: of `2` and `10` the latter is first. NumPy sorts numbers, as pandas reads them, as such;
//!   `astype(str)` gives our folds, and so do numbers of equal length, `02` and `10`;
//! - classes are in the order of the data set; NumPy sorts their names;
//! - with eight or more classes, or with one class and eight or more folds, NumPy adds in another order, so equal sums
//!   differ in the last bit elsewhere;
//! - with `shuffle` the random order is our own, and no seed of scikit-learn gives it.
//!
//! A fold without images, and a class with fewer images than folds, are errors here and at most a warning there.

use crate::random::Generator;

/// Returns the fold in 0..k of each image, with every group in one fold and classes as even as this allows.
///
/// - `labels`: class index of each image
/// - `groups`: group of each image
/// - `random`: with it, similar groups are taken in random order; without it, sorted by name, as in
///   `StratifiedGroupKFold(k)`
///
/// Groups with images spread least evenly over the classes come first. Each goes to the fold that leaves the shares of the
/// classes most equal: the smallest mean over classes of the standard deviation over folds, then the smaller fold. Sums
/// run in NumPy's order, so that ties fall the same way.
pub(super) fn grouped(labels: &[u32], groups: &[&str], folds: usize, random: Option<&mut Generator>) -> Vec<usize> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let mut names = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    let class_of = |label| classes.binary_search(label).expect("every label is in the list made of them");
    let group_of = |group| names.binary_search(group).expect("every group is in the list made of them");

    let mut totals = vec![0.0; classes.len()];
    let mut counts = vec![vec![0.0; classes.len()]; names.len()];
    for (label, group) in labels.iter().zip(groups) {
        totals[class_of(label)] += 1.0;
        counts[group_of(group)][class_of(label)] += 1.0;
    }

    let mut order: Vec<usize> = (0..names.len()).collect();
    if let Some(random) = random {
        random.shuffle(&mut order);
    }
    let spread: Vec<f64> = counts.iter().map(|counts| standard_deviation(counts.iter().copied())).collect();
    order.sort_by(|&a, &b| spread[b].total_cmp(&spread[a]));

    let mut fold_counts = vec![vec![0.0; classes.len()]; folds];
    let mut fold_of_group = vec![0; names.len()];
    for group in order {
        let fold = best_fold(&mut fold_counts, &totals, &counts[group]);
        add(&mut fold_counts[fold], &counts[group], 1.0);
        fold_of_group[group] = fold;
    }
    groups.iter().map(|group| fold_of_group[group_of(group)]).collect()
}

/// Returns the fold that a group with these counts per class unbalances least.
fn best_fold(fold_counts: &mut [Vec<f64>], totals: &[f64], group: &[f64]) -> usize {
    let mut best = (0, f64::INFINITY, f64::INFINITY);
    for fold in 0..fold_counts.len() {
        add(&mut fold_counts[fold], group, 1.0);
        let deviations = totals
            .iter()
            .enumerate()
            .map(|(class, total)| standard_deviation(fold_counts.iter().map(|counts| counts[class] / total)));
        let imbalance = deviations.sum::<f64>() / totals.len() as f64;
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

/// Population standard deviation (ddof = 0), in two passes.
fn standard_deviation(values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let count = values.len() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    (squares / count).sqrt()
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
        let labels: Vec<u32> = (0..60).map(|image| image / 4 % 3).collect();
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
