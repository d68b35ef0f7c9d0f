//! What nodes of one process compute alike from the same bytes, kept for a while: the first computes it, and others take it.
//!
//! A stage stays a function of its inputs, as a key names all that the value is made from, by digests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrate_engine::stage::StageError;

/// Values by key, of which the oldest go first where they take more memory than is allowed.
pub(crate) struct Memo<K, V> {
    size_max_bytes: usize,
    entries: Mutex<Vec<Entry<K, V>>>,
}

struct Entry<K, V> {
    key: K,
    place: Arc<Mutex<Option<Arc<V>>>>,
    /// 0 until it is computed.
    size_bytes: usize,
}

impl<K: Clone + PartialEq, V> Memo<K, V> {
    /// Keeps values of at most that size together.
    pub(crate) const fn new(size_max_bytes: usize) -> Self {
        Self { size_max_bytes, entries: Mutex::new(Vec::new()) }
    }

    /// The value of a key; `make` computes it, with its size in bytes, where it is not kept. Who asks meanwhile waits.
    ///
    /// Errors are not kept. Where `make` computes on several threads, no job of theirs may ask, as it would wait for itself.
    pub(crate) fn get(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<(V, usize), StageError>,
    ) -> Result<Arc<V>, StageError> {
        let place = self.place(key);
        let mut place = lock(&place);
        if let Some(value) = &*place {
            return Ok(Arc::clone(value));
        }
        let made = make().inspect_err(|_| self.forget(key))?;
        let value = Arc::new(made.0);
        *place = Some(Arc::clone(&value));
        self.settle(key, made.1);
        Ok(value)
    }

    fn place(&self, key: &K) -> Arc<Mutex<Option<Arc<V>>>> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.iter().find(|entry| entry.key == *key) {
            return Arc::clone(&entry.place);
        }
        let place = Arc::default();
        entries.push(Entry { key: key.clone(), place: Arc::clone(&place), size_bytes: 0 });
        place
    }

    /// Notes the size of a value, and drops the oldest ones until all fit; one that is too large alone is dropped itself.
    fn settle(&self, key: &K, size_bytes: usize) {
        if size_bytes > self.size_max_bytes {
            return self.forget(key);
        }
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
            entry.size_bytes = size_bytes;
        }
        while entries.iter().map(|entry| entry.size_bytes).sum::<usize>() > self.size_max_bytes {
            let oldest = entries.iter().position(|entry| entry.size_bytes > 0).expect("some have a size");
            entries.remove(oldest);
        }
    }

    fn forget(&self, key: &K) {
        lock(&self.entries).retain(|entry| entry.key != *key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never<V>() -> Result<(V, usize), StageError> {
        panic!("it was computed before")
    }

    #[test]
    fn a_value_is_computed_once_and_an_error_is_no_value() {
        let memo = Memo::new(10);
        assert!(memo.get(&1, || Err::<(u8, usize), _>(StageError::new("unreadable"))).is_err());
        assert_eq!(*memo.get(&1, || Ok((7, 1))).unwrap(), 7);
        assert_eq!(*memo.get(&1, never).unwrap(), 7);
    }

    #[test]
    fn the_oldest_values_go_where_there_is_no_room() {
        let memo = Memo::new(10);
        for key in 0..3 {
            memo.get(&key, || Ok((key, 4))).unwrap();
        }
        assert_eq!([1, 2].map(|key| *memo.get(&key, never).unwrap()), [1, 2]);
        assert_eq!(*memo.get(&0, || Ok((8, 11))).unwrap(), 8, "what is too large is given, and not kept");
        assert_eq!([1, 2].map(|key| *memo.get(&key, never).unwrap()), [1, 2], "nor does it drive others out");
        assert_eq!(*memo.get(&0, || Ok((9, 4))).unwrap(), 9);
    }
}
