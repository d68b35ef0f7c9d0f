//! Tables: classification metrics, summaries over folds and images, comparisons between groups, and tidy data.

pub(crate) mod bootstrap;
pub mod classify;
pub mod compare;
pub(crate) mod first_seen;
pub mod table;
pub mod tidy;

#[cfg(test)]
mod tests;
