//! Stratified k folds, as scikit-learn's `StratifiedKFold` makes them (version 1.9).

use crate::random::Generator;

/// Returns the fold in 0..k of each image; every fold has the same share of every class, to within one image.
///
/// - `labels`: class index of each image
/// - `random`: with it, a class's images are dealt out in random order; without it, in blocks in the order of the images,
///   as the test indices of `StratifiedKFold(k)`. The counts per fold and class are the same either way.
///
/// The images, sorted by class in order of appearance, are dealt to the folds in turn; this decides the counts.
pub(super) fn stratified(labels: &[u32], folds: usize, mut random: Option<&mut Generator>) -> Vec<usize> {
    let mut out = vec![0; labels.len()];
    let mut dealt = 0;
    for class in in_order_of_appearance(labels) {
        let members: Vec<usize> = (0..labels.len()).filter(|&image| labels[image] == class).collect();
        let mut blocks: Vec<usize> = (dealt..dealt + members.len()).map(|position| position % folds).collect();
        blocks.sort_unstable();
        dealt += members.len();
        if let Some(random) = &mut random {
            random.shuffle(&mut blocks);
        }
        for (image, fold) in members.into_iter().zip(blocks) {
            out[image] = fold;
        }
    }
    out
}

fn in_order_of_appearance(labels: &[u32]) -> Vec<u32> {
    let mut classes = Vec::new();
    for &label in labels {
        if !classes.contains(&label) {
            classes.push(label);
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn generator(seed: u64) -> Generator {
        Seed::new("split", seed, &[]).generator("order", "")
    }

    #[test]
    fn blocks_follow_the_order_of_images() {
        // Class 1 appears first. Dealing 1 1 1 1 1 0 0 to two folds in turn gives fold 0 three of class 1 and one of
        // class 0.
        assert_eq!(stratified(&[1, 0, 1, 1, 1, 0, 1], 2, None), [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn shuffling_keeps_the_counts_of_every_fold_and_class() {
        let labels: Vec<u32> = (0..101).map(|image| u32::from(image % 7 > 2) + u32::from(image % 11 == 0)).collect();
        let count = |folds: &[usize]| {
            let mut counts = vec![[0; 3]; 4];
            for (&fold, &label) in folds.iter().zip(&labels) {
                counts[fold][label as usize] += 1;
            }
            counts
        };
        let plain = stratified(&labels, 4, None);
        let shuffled = stratified(&labels, 4, Some(&mut generator(3)));
        assert_eq!(count(&plain), count(&shuffled));
        assert_ne!(plain, shuffled);
        assert_eq!(shuffled, stratified(&labels, 4, Some(&mut generator(3))));
        assert_ne!(shuffled, stratified(&labels, 4, Some(&mut generator(4))));
    }
}
