//! The images of all inputs: what must be known of them before any figure is made.

use std::collections::{BTreeSet, HashMap};

use orchestrate_engine::stage::{Item, StageError};
use rayon::prelude::*;

use super::lesion::{LESION_SIZE, LesionSizes, Parts};
use super::query::Query;
use crate::artifact::{Scores, Table as _};

/// The images that the layout asks for; nothing where it asks for none, so that ordinary tables read no names twice.
#[derive(Default)]
pub(super) struct Images {
    /// Names of all images, sorted.
    pub(super) names: Vec<String>,
    ids: HashMap<String, u32>,
    /// Parts by the size of the lesion.
    pub(super) parts: Option<Parts>,
}

impl Images {
    pub(super) fn of(query: &Query, items: &[Item]) -> Result<Self, StageError> {
        if let Some(item) = items.iter().find(|item| query.lesion_sizes.is_some() && item.label(LESION_SIZE).is_some())
        {
            let label = item.label(LESION_SIZE).unwrap_or_default();
            let message = format!(
                "an axis is named `{LESION_SIZE}` (`{label}` for one), as the dimension that `lesion_sizes` makes; rename it"
            );
            return Err(StageError::input("scores", message));
        }
        let mut images = Self::default();
        let is_scores = items.iter().any(|item| item.files.iter().any(|file| file.name == "scores.parquet"));
        if is_scores && (query.keeps_images || query.lesion_sizes == Some(LesionSizes::Tertiles)) {
            let sizes = sizes(items)?;
            images.parts = query.lesion_sizes.as_ref().map(|lesions| lesions.parts(&sizes));
            if query.keeps_images {
                images.names = sizes.into_iter().map(|(name, _)| name).collect();
                images.names.dedup();
                images.ids = images.names.iter().zip(0..).map(|(name, id)| (name.clone(), id)).collect();
            }
        } else {
            images.parts = query.lesion_sizes.as_ref().map(|lesions| lesions.parts(&BTreeSet::new()));
        }
        Ok(images)
    }

    /// The place of an image in the list of all, if there is one.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }
}

/// Name and size of the lesion of every image, each once.
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
