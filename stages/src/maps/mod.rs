//! Heatmaps of class activation maps, thresholds, and scores of their overlap with the annotated lesion.

pub(crate) mod derived_cache;
pub mod heatmap;
pub mod score;
pub mod threshold;
