//! Pictures that occur twice, equal or nearly equal.

use std::collections::{BTreeSet, HashMap};

use super::{Audited, NAMED_MAX, counted};
use crate::artifact::Audit;
use crate::data::alike;

/// Pairs of pictures, and the first of them by index.
#[derive(Default)]
struct Pairs {
    count: usize,
    first: BTreeSet<(usize, usize)>,
}

impl Audited<'_> {
    /// Equal pictures by digest, and nearly equal ones by hash.
    pub(super) fn twins(&self, audit: &mut Audit) {
        let mut by_digest: HashMap<_, Vec<usize>> = HashMap::new();
        let mut equal = Kinds::default();
        for (index, facts) in self.facts.iter().enumerate().filter(|(_, facts)| !facts.is_constant) {
            let earlier = by_digest.entry(facts.digest).or_default();
            earlier.iter().for_each(|&earlier| equal.add(self, earlier, index));
            earlier.push(index);
        }
        equal.tell(self, audit, "equal to another");
        let hashes: Vec<u64> = self.facts.iter().map(|facts| facts.hash).collect();
        let mut nearly = Kinds::default();
        alike::pairs(&hashes, |left, right| {
            if self.facts[left].digest != self.facts[right].digest {
                nearly.add(self, left, right);
            }
        });
        nearly.tell(
            self,
            audit,
            &format!("nearly equal to another (at most {} of 64 bits of dHash)", alike::DISTANCE_MAX),
        );
    }
}

/// Pairs by the relation of their images.
#[derive(Default)]
struct Kinds {
    /// In two classes.
    classes: Pairs,
    /// Of different patients, or of an unknown one, in one class.
    patients: Pairs,
    /// Of one patient in one class.
    same: Pairs,
}

impl Kinds {
    fn add(&mut self, read: &Audited<'_>, left: usize, right: usize) {
        let (a, b) = (&read.listing.images[left], &read.listing.images[right]);
        let pairs = match () {
            () if a.label != b.label => &mut self.classes,
            () if a.patient.is_some() && a.patient == b.patient => &mut self.same,
            () => &mut self.patients,
        };
        pairs.count += 1;
        // Pairs come in any order.
        pairs.first.insert((left, right));
        if pairs.first.len() > NAMED_MAX {
            pairs.first.pop_last();
        }
    }

    fn tell(self, read: &Audited<'_>, audit: &mut Audit, relation: &str) {
        let name = |&(left, right): &(usize, usize)| format!("{} and {}", read.names[left], read.names[right]);
        for (pairs, of) in [(self.classes, "in two classes"), (self.patients, "of different or unknown patients")] {
            let all = read.facts.len() * read.facts.len().saturating_sub(1) / 2;
            let share = 100.0 * pairs.count as f64 / all.max(1) as f64;
            let message =
                format!("{} of pictures {of} ({share:.2} % of all pairs), {relation}", counted(pairs.count, "pair"));
            audit.warn("twins", pairs.count, message, pairs.first.iter().map(name).collect());
        }
        if self.same.count > 0 {
            let message = format!("{} of pictures of one patient, {relation}", counted(self.same.count, "pair"));
            audit.note("twins", self.same.count, message);
        }
    }
}
