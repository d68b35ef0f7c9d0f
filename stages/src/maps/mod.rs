//! From class activation maps to scores: heatmaps, thresholds, and overlap with the annotated lesion.

pub(crate) mod derived_cache;
pub mod heatmap;
pub mod score;
pub mod threshold;
