//! Findings about the pictures themselves: sizes, samples, intensities.

use std::collections::BTreeMap;

use super::super::raster::Samples;
use super::{Audited, counted};
use crate::artifact::Audit;

impl Audited<'_> {
    /// Sizes, channels, depths, ranges of intensities, pixels without a value, text in pixels.
    pub(super) fn pictures(&self, audit: &mut Audit) {
        let all = || 0..self.facts.len();
        let size = |index: usize| self.facts[index].size;
        let remedy = if self.params.size.is_none() { "; set `size` to resize all" } else { "" };
        self.odd_ones(audit, "sizes", size, |(height, width)| format!("{width} × {height}"), remedy);
        let known: Vec<usize> = all().filter(|&index| self.facts[index].samples.is_some()).collect();
        if !known.is_empty() {
            let samples = |index: usize| self.facts[index].samples;
            self.odd_ones(audit, "samples", samples, |samples| samples.map(told).unwrap_or_default(), "");
        }
        let ranges: Vec<(f64, f64)> = self.facts.iter().filter_map(|facts| facts.range).collect();
        if !ranges.is_empty() {
            let min = ranges.iter().fold(f64::INFINITY, |min, range| min.min(range.0));
            let max = ranges.iter().fold(f64::NEG_INFINITY, |max, range| max.max(range.1));
            let window = self.params.window.unwrap_or_default();
            let images = counted(ranges.len(), "image");
            let message = format!("intensities of {images} from {min} to {max}, made grey levels by window {window}");
            audit.note("intensities", ranges.len(), message);
        }
        let flat: Vec<usize> = all().filter(|&index| self.facts[index].is_constant).collect();
        let message = format!("{} of one grey level alone", counted(flat.len(), "image"));
        audit.warn("intensities", flat.len(), message, self.named(&flat));
        let padded: Vec<usize> = all().filter(|&index| self.facts[index].excluded > 0).collect();
        if !padded.is_empty() {
            let images = counted(padded.len(), "image");
            let message = format!("{images} with pixels without a value (padding, NaN), which no range counts");
            audit.note("intensities", padded.len(), message);
        }
        let burned: Vec<usize> = all().filter(|&index| self.facts[index].burned_in).collect();
        let message = format!("{} with text burned into the pixels, by their headers", counted(burned.len(), "image"));
        audit.warn("privacy", burned.len(), message, self.named(&burned));
    }

    /// Notes the values that images have, and warns of the images that have another than most.
    fn odd_ones<T: Ord + Copy>(
        &self,
        audit: &mut Audit,
        topic: &str,
        value: impl Fn(usize) -> T,
        told: impl Fn(T) -> String,
        remedy: &str,
    ) {
        let mut counts: BTreeMap<T, usize> = BTreeMap::new();
        (0..self.facts.len()).for_each(|index| *counts.entry(value(index)).or_default() += 1);
        let Some((&usual, &most)) = counts.iter().max_by_key(|(_, count)| **count) else { return };
        if counts.len() == 1 {
            audit.note(topic, most, format!("all are {}", told(usual)));
            return;
        }
        let odd: Vec<usize> = (0..self.facts.len()).filter(|&index| value(index) != usual).collect();
        let others: Vec<_> = counts.iter().filter(|(other, _)| **other != usual).collect();
        let shown = |(other, count): (T, usize)| format!("{} ({})", told(other), counted(count, "image"));
        let mut listed = vec![shown((usual, most))];
        listed.extend(others.iter().take(super::NAMED_MAX).map(|(other, count)| shown((**other, **count))));
        if others.len() >= listed.len() {
            listed.push(format!("and {} more", others.len() + 1 - listed.len()));
        }
        let message = format!("pictures differ: {}{remedy}", listed.join("; "));
        audit.warn(topic, odd.len(), message, self.named(&odd));
    }
}

/// Formats channels and depth: `grey, 8 bits`.
fn told(samples: Samples) -> String {
    let channels = match samples.channels {
        1 => "grey",
        2 => "grey with alpha",
        3 => "in colour",
        _ => "in colour with alpha",
    };
    format!("{channels}, {}", samples.depth)
}
