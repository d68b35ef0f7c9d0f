//! Seals: short packs that nobody appends to any more.
//!
//! A pack that may grow is opened by everybody who opens the store, in case it has grown. Each process that appends has
//! one, so their number is that of the most processes at one time. The longest of a host beyond [`GROWING_MAX`] are
//! sealed by a process of that host: locks may not reach others.

use std::sync::RwLock;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::format::names::pack_host;
use crate::format::pack::Pack;
use crate::format::record::Draft;
use crate::lock::memory::{read, write};
use crate::lock::wait::{Hold, try_lock};
use crate::records::durable;
use crate::records::index::Index;

/// Growing packs that a store keeps.
const GROWING_MAX: usize = 8;

impl Index {
    /// The ids of a host's packs that are to be sealed.
    pub(crate) fn surplus(&self, host: &str) -> Vec<String> {
        let is_growing = |pack: &&Pack| !pack.is_sealed() && pack.is_sound() && pack_host(&pack.id) == host;
        let mut growing: Vec<_> = self.packs.iter().filter(is_growing).collect();
        growing.sort_by_key(|pack| std::cmp::Reverse(pack.end));
        let surplus = growing.len().saturating_sub(GROWING_MAX);
        growing[..surplus].iter().map(|pack| pack.id.clone()).collect()
    }
}

/// Seals some packs, and leaves those to which another process appends.
pub(crate) fn seal(layout: &Layout, index: &RwLock<Index>, ids: &[String]) -> Result<(), StoreError> {
    for id in ids {
        let path = layout.pack(id);
        let Ok(file) = disk::open_to_write(&path) else { continue };
        if !try_lock(&file, Hold::Alone, &path).unwrap_or(false) || !disk::is_at(&file, &path) {
            continue;
        }
        let (bytes, start, is_growing) = {
            let mut index = write(index);
            let number = index.read_pack(layout, id)?;
            let pack = &index.packs[number];
            (pack.encode(&[Draft::seal()]), pack.end, !pack.is_sealed() && pack.is_sound())
        };
        let len = file.metadata().map_err(StoreError::io("read", &path))?.len();
        if !is_growing || len != start {
            continue;
        }
        // A commit begins only once the one before it is durable.
        durable::sync(layout, index, id, &file, start)?;
        disk::write_at(&file, &bytes, start, &path)?;
        durable::sync(layout, index, id, &file, start + bytes.len() as u64)?;
        write(index).read_pack(layout, id)?;
    }
    Ok(())
}

/// Makes the packs durable that an index file is to cover.
pub(crate) fn sync_uncovered(layout: &Layout, index: &RwLock<Index>) -> Result<(), StoreError> {
    let is_owed = |pack: &&Pack| pack.young > 0 && pack.durable < pack.end;
    let owed: Vec<_> = read(index).packs.iter().filter(is_owed).map(|pack| (pack.id.clone(), pack.end)).collect();
    for (id, end) in owed {
        durable::sync(layout, index, &id, &disk::open(&layout.pack(&id))?, end)?;
    }
    Ok(())
}
