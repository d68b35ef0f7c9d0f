//! From class activation maps to scores: heatmaps, thresholds, and overlap with the annotated lesion.

pub mod heatmap;
pub(crate) mod memo;
pub mod score;
pub mod threshold;
