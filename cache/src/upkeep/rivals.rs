//! Rivals: results of one key with different outputs, recorded by two hosts at the same moment.
//!
//! Every reader uses the same one of them (`Index::location`). The others are dead bytes, which go when their pack is
//! rewritten. They are no damage; but the stage gives other bytes each time, and results made from the other outputs
//! may still be in use.

use crate::files::disk;
use crate::format::record::Kind;
use crate::lock::memory::lock;
use crate::store::Store;
use crate::upkeep::problem::Problem;
use crate::value::artifact::ActionKey;

impl Store {
    /// Names the keys with rivals among all that were looked up.
    pub(super) fn rivals(&self) -> Vec<Problem> {
        let index = self.index();
        let keys: Vec<_> = lock(&index.rivals).iter().copied().map(ActionKey).collect();
        let name = |key: &ActionKey| {
            let used = index.location(Kind::Result, &key.0)?;
            let all = index.results(key);
            // Some may be out of use since.
            let others: Vec<_> = all.iter().filter(|other| index.are_rivals(&[used, **other])).collect();
            let pack = |place: u32| index.packs[place as usize].path.display();
            let first = others.first()?;
            let file = disk::open(&index.packs[used.pack as usize].path).ok();
            let result = file.and_then(|file| index.result(&used, &file).ok()?);
            let node = result.map_or_else(|| "an unknown node".to_owned(), |result| result.node);
            let message = format!(
                "has the result of {node} (key {}) that everybody uses; another one, with different outputs, is in {}",
                key.0.short(),
                pack(first.pack)
            );
            Some(Problem::new(&*index.packs[used.pack as usize].path, message))
        };
        keys.iter().filter_map(name).collect()
    }
}
