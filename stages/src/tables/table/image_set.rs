//! Sets of images, by which a table notices that it counts an image several times.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::summary::Coordinates;
use crate::artifact::Repeats;

/// The images that have a value in one figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum ImageSet {
    /// Their numbers, for scores.
    Numbers(Arc<[u32]>),
    /// The sum of hashes of the input, for metrics; see [`crate::artifact::Metrics::image_hashes`].
    Hash(u64),
    /// Nothing is known about them.
    #[default]
    Unknown,
}

/// Numbers of the images of all inputs, in the order in which threads meet them; no result depends on that order.
///
/// Inputs of a sweep share their sets, so each set is held once.
#[derive(Default)]
pub(super) struct ImageNumbers(Mutex<Known>);

#[derive(Default)]
struct Known {
    of_name: HashMap<String, u32>,
    sets: HashSet<Arc<[u32]>>,
}

impl ImageNumbers {
    /// Returns the number of each image of a list.
    pub(super) fn of(&self, names: &[String]) -> Vec<u32> {
        let Known { of_name, .. } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |name: &String| {
            let next = of_name.len() as u32;
            of_name.get(name).copied().unwrap_or_else(|| *of_name.entry(name.clone()).or_insert(next))
        };
        names.iter().map(number).collect()
    }

    /// Returns the set of some of the images.
    pub(super) fn set(&self, numbers: Vec<u32>) -> ImageSet {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = known.sets.get(&numbers[..]) {
            return ImageSet::Numbers(Arc::clone(set));
        }
        let set: Arc<[u32]> = numbers.into();
        known.sets.insert(Arc::clone(&set));
        ImageSet::Numbers(set)
    }
}

/// Returns the distinct images of groups, each with its number of images and their set, if any image is in several.
pub(super) fn repeats<'a>(groups: impl Iterator<Item = (&'a Coordinates, u64, &'a ImageSet)>) -> Option<Repeats> {
    let mut times: Vec<u64> = Vec::new();
    let mut hashes: Vec<(&Coordinates, u64, u64)> = Vec::new();
    for (coordinates, n, set) in groups {
        match set {
            ImageSet::Numbers(numbers) => {
                let end = numbers.iter().max().map_or(0, |&last| last as usize + 1);
                times.resize(times.len().max(end), 0);
                numbers.iter().for_each(|&number| times[number as usize] += 1);
            }
            ImageSet::Hash(hash) => hashes.push((coordinates, n, *hash)),
            ImageSet::Unknown => {}
        }
    }
    let images = times.iter().filter(|&&times| times > 0).count() as u64;
    let found = Repeats { images, times: times.into_iter().max().unwrap_or(0) };
    Some(found).filter(|found| found.times > 1).or_else(|| repeated_hashes(&hashes))
}

/// Finds repeats of metrics, of whose images only sums of hashes are known: equal sets, as of two trainings on one
/// fold, or axes along which the sets have equal unions, as of two divisions into folds.
fn repeated_hashes(groups: &[(&Coordinates, u64, u64)]) -> Option<Repeats> {
    let mut equal: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for &(_, n, hash) in groups {
        equal.entry(hash).or_insert((n, 0)).1 += 1;
    }
    let found = Repeats {
        images: equal.values().map(|(n, _)| n).sum(),
        times: equal.values().map(|(_, times)| *times).max().unwrap_or(0),
    };
    if found.times > 1 {
        return Some(found);
    }
    let axes = groups.first().map_or(0, |(coordinates, ..)| coordinates.len());
    let unions = (0..axes).map(|axis| {
        let mut unions: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for (coordinates, n, hash) in groups {
            let union = unions.entry(coordinates[axis]).or_default();
            *union = (union.0 + n, union.1.wrapping_add(*hash) & (u64::MAX >> 1));
        }
        unions.into_values().collect::<Vec<_>>()
    });
    let repeated = |unions: &Vec<(u64, u64)>| unions.len() > 1 && unions.iter().all(|union| *union == unions[0]);
    let unions = unions.into_iter().find(repeated)?;
    Some(Repeats { images: unions[0].0, times: unions.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(groups: &[([usize; 2], u64, ImageSet)]) -> Option<(u64, u64)> {
        let groups: Vec<_> = groups.iter().map(|(at, n, set)| (at.to_vec(), *n, set)).collect();
        repeats(groups.iter().map(|(at, n, set)| (at, *n, *set))).map(|found| (found.images, found.times))
    }

    #[test]
    fn images_in_several_groups_are_counted_once() {
        let numbers = ImageNumbers::default();
        let set = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            numbers.set(numbers.of(&names))
        };
        let group = |at, names: &[&str]| (at, names.len() as u64, set(names));
        assert_eq!(found(&[group([0, 0], &["a", "b"]), group([1, 0], &["c"])]), None);
        assert_eq!(found(&[group([0, 0], &["a", "b"]), group([0, 1], &["b"]), group([1, 0], &["c"])]), Some((3, 2)));
        assert_eq!(found(&[([0, 0], 3, ImageSet::Unknown), ([0, 1], 3, ImageSet::Unknown)]), None);
    }

    /// Folds along the first axis, of hashes 5 and 7 or 4 and 8, whose sum is 12 in both divisions.
    #[test]
    fn metrics_repeat_images_where_sets_or_their_unions_are_equal() {
        let group = |at, hash| (at, 10, ImageSet::Hash(hash));
        let trainings = [group([0, 0], 5), group([0, 1], 5), group([1, 0], 7), group([1, 1], 7)];
        assert_eq!(found(&trainings), Some((20, 2)));
        let divisions = [group([0, 0], 5), group([1, 0], 7), group([0, 1], 4), group([1, 1], 8)];
        assert_eq!(found(&divisions), Some((20, 2)));
        assert_eq!(found(&divisions[..2]), None);
        assert_eq!(found(&trainings[..3]), Some((20, 2)), "a training may be missing");
    }
}
