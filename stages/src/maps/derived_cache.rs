//! A bounded in-process cache of values derived from the same input bytes.
//!
//! A stage stays a function of its inputs, because a key has the digests of all bytes that the value is computed from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrate_engine::stage::StageError;

/// Values by key; beyond the maximum size the oldest are evicted first.
pub(crate) struct DerivedCache<K, V> {
    size_max_bytes: usize,
    size_bytes: fn(&V) -> usize,
    entries: Mutex<Vec<Entry<K, V>>>,
}

struct Entry<K, V> {
    key: K,
    slot: Slot<V>,
    /// 0 until the value is computed.
    size_bytes: usize,
}

/// A value, once it is computed. Its lock is held meanwhile, so that other threads wait for it.
type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

impl<K: Clone + PartialEq, V> DerivedCache<K, V> {
    /// Makes a cache of values with a total `size_bytes` of at most `size_max_bytes`.
    pub(crate) const fn new(size_max_bytes: usize, size_bytes: fn(&V) -> usize) -> Self {
        Self { size_max_bytes, size_bytes, entries: Mutex::new(Vec::new()) }
    }

    /// Returns the value of a key, from the cache or else from `compute`. Other threads wait for a value being computed.
    ///
    /// Errors are not cached. If `compute` uses several threads, none of their jobs may ask for the key: it would deadlock.
    pub(crate) fn get_or_compute(
        &self,
        key: &K,
        compute: impl FnOnce() -> Result<V, StageError>,
    ) -> Result<Arc<V>, StageError> {
        let slot = self.slot(key);
        let mut slot = lock(&slot);
        if let Some(value) = &*slot {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(compute().inspect_err(|_| self.remove(key))?);
        *slot = Some(Arc::clone(&value));
        self.keep(key, (self.size_bytes)(&value));
        Ok(value)
    }

    fn slot(&self, key: &K) -> Slot<V> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.iter().find(|entry| entry.key == *key) {
            return Arc::clone(&entry.slot);
        }
        let slot = Slot::default();
        entries.push(Entry { key: key.clone(), slot: Arc::clone(&slot), size_bytes: 0 });
        slot
    }

    /// Records the size of a value, and evicts the oldest until all fit. A value too large on its own is removed instead.
    fn keep(&self, key: &K, size_bytes: usize) {
        if size_bytes > self.size_max_bytes {
            return self.remove(key);
        }
        let mut entries = lock(&self.entries);
        entries.iter_mut().filter(|entry| entry.key == *key).for_each(|entry| entry.size_bytes = size_bytes);
        let total: usize = entries.iter().map(|entry| entry.size_bytes).sum();
        let mut excess = total.saturating_sub(self.size_max_bytes);
        entries.retain(|entry| {
            let keep = excess == 0 || entry.size_bytes == 0;
            excess = if keep { excess } else { excess.saturating_sub(entry.size_bytes) };
            keep
        });
    }

    fn remove(&self, key: &K) {
        lock(&self.entries).retain(|entry| entry.key != *key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never<V>() -> Result<V, StageError> {
        panic!("it was computed before")
    }

    /// Each value is its own size.
    fn cache() -> DerivedCache<u8, usize> {
        DerivedCache::new(10, |value| *value)
    }

    #[test]
    fn a_value_is_computed_once_and_an_error_is_no_value() {
        let cache = cache();
        assert!(cache.get_or_compute(&1, || Err(StageError::new("unreadable"))).is_err());
        assert_eq!(*cache.get_or_compute(&1, || Ok(7)).unwrap(), 7);
        assert_eq!(*cache.get_or_compute(&1, never).unwrap(), 7);
    }

    #[test]
    fn the_oldest_values_are_evicted_if_there_is_no_room() {
        let cache = cache();
        for key in 0..3 {
            cache.get_or_compute(&key, || Ok(4)).unwrap();
        }
        assert_eq!([1, 2].map(|key| *cache.get_or_compute(&key, never).unwrap()), [4, 4]);
        assert_eq!(*cache.get_or_compute(&0, || Ok(11)).unwrap(), 11, "a value too large is returned, but not kept");
        assert_eq!([1, 2].map(|key| *cache.get_or_compute(&key, never).unwrap()), [4, 4], "and evicts no other");
        assert_eq!(*cache.get_or_compute(&0, || Ok(3)).unwrap(), 3);
        assert_eq!([2, 0].map(|key| *cache.get_or_compute(&key, never).unwrap()), [4, 3]);
    }
}
