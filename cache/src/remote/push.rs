//! Planned uploads: results of the store that the remote lacks.

use crate::lock::memory::lock;
use crate::remote::client::Remote;
use crate::remote::fetch::pack_name;
use crate::remote::parcel::unpack;
use crate::remote::segment::Entry;
use crate::remote::upload::Present;
use crate::store::Store;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// Results that one thread uploads together.
const KEYS: usize = 64;

impl Remote {
    /// Returns those of the results that the remote lacks, and their bytes; `None` if it does not answer.
    ///
    /// A result there counts only if a trusted key has signed it, where trust is limited.
    pub fn lacked(&self, store: &Store, keys: &[ActionKey]) -> Option<(Vec<ActionKey>, u64)> {
        let found: Vec<(ActionKey, Vec<Entry>)> = {
            let guard = self.catalogue(store, true)?;
            let catalogue = guard.as_ref()?;
            keys.iter().map(|key| (*key, catalogue.find(&key.0))).collect()
        };
        let lacked = std::sync::Mutex::new(Vec::new());
        self.in_parallel(&found, &mut || {}, |(key, places)| {
            let is_there = match store.trust().is_limited() {
                true => places.iter().any(|place| self.is_trusted(store, place)),
                false => !places.is_empty(),
            };
            if !is_there {
                lock(&lacked).push(*key);
            }
        });
        let mut lacked = lacked.into_inner().unwrap_or_default();
        lacked.sort_unstable();
        lacked.dedup();
        let sizes = lacked.iter().filter_map(|key| store.hit(key)).flat_map(|hit| hit.outputs);
        let outputs: std::collections::BTreeSet<_> = sizes.map(|(_, output)| output).collect();
        let bytes = outputs.iter().filter_map(|output| store.artifact(output)).map(|artifact| artifact.size_bytes());
        let bytes = bytes.sum();
        Some((lacked, bytes))
    }

    fn is_trusted(&self, store: &Store, place: &Entry) -> bool {
        let end = place.at.saturating_add(place.len);
        let read = self.call(|bucket| bucket.get(&pack_name(&place.pack.digest), place.at..end));
        read.is_ok_and(|bytes| {
            Digest::of(&bytes) == place.digest && unpack(store, &ActionKey(place.key), &bytes).is_ok()
        })
    }

    /// Uploads results of the store; counts and warnings say how that went.
    ///
    /// - `tick`: called several times a second
    pub fn push(&self, store: &Store, keys: &[ActionKey], tick: &mut dyn FnMut()) {
        let present = Present::default();
        let parts: Vec<_> = keys.chunks(KEYS).collect();
        self.in_parallel(&parts, tick, |keys| self.upload(store, keys, &present));
    }
}
