//! The images of all inputs, known before any figure is made.

use std::collections::{BTreeSet, HashMap};

use orchestrate_engine::stage::{InputProblem, Item, StageError};
use rayon::prelude::*;

use super::lesion::{LESION_SIZE, LesionSizes, SizeBins};
use super::query::Query;
use crate::artifact::{Scores, Table as _};

/// The images that a query needs; empty for a query that needs none, so that ordinary tables read no names twice.
#[derive(Default)]
pub(super) struct ImageList {
    /// Names of all images, sorted.
    pub(super) names: Vec<String>,
    ids: HashMap<String, u32>,
    /// Bins by the size of the lesion.
    pub(super) bins: Option<SizeBins>,
}

impl ImageList {
    pub(super) fn of(query: &Query, items: &[Item]) -> Result<Self, StageError> {
        let label = items.iter().find_map(|item| item.label(LESION_SIZE));
        query.check_lesion_axis(label).map_err(InputProblem::failure)?;
        let needs_sizes = query.keeps_images || query.lesion_sizes == Some(LesionSizes::Tertiles);
        let sizes = if needs_sizes { sizes(items)? } else { BTreeSet::new() };
        let bins = query.lesion_sizes.as_ref().map(|lesions| lesions.bins(&sizes));
        if !query.keeps_images {
            return Ok(Self { bins, ..Self::default() });
        }
        let mut names: Vec<String> = sizes.into_iter().map(|(name, _)| name).collect();
        names.dedup();
        let ids = names.iter().zip(0..).map(|(name, id)| (name.clone(), id)).collect();
        Ok(Self { names, ids, bins })
    }

    /// The index of an image in the list, if it is there.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }
}

/// Reads name and size of the lesion of every image, each once; items that are no scores have none.
fn sizes(items: &[Item]) -> Result<BTreeSet<(String, u32)>, StageError> {
    let read = |item: &Item| -> Result<BTreeSet<(String, u32)>, StageError> {
        if !item.files.iter().any(|file| file.name == "scores.parquet") {
            return Ok(BTreeSet::new());
        }
        let rows = Scores::open(item)?;
        Ok(rows.text("image")?.into_iter().zip(rows.unsigned("truth_pixels")?).collect())
    };
    items.par_iter().map(read).try_reduce(BTreeSet::new, |mut all, mut some| {
        if all.len() < some.len() {
            std::mem::swap(&mut all, &mut some);
        }
        all.extend(some);
        Ok(all)
    })
}
