//! Durability: reported results survive a power cut, whoever wrote them.
//!
//! Another process may have written a record and not yet synced it, or died in between. A process that uses such a
//! record syncs the pack before it reports anything ([`Store::commit`]), as any process of the host can. (Another host
//! cannot sync this one's memory; what a file server shows is taken for durable.)
//!
//! Durable bytes need no sync. The index keeps the durable length of each pack, the largest of:
//! - its length in `pack-ends` when the store was opened; each process raises that after a sync (`pack_lengths.rs`);
//! - the start of the last commit: a commit is synced before the next one of the same process, and a process that takes
//!   a pack over syncs it first;
//! - its length after a sync by this process.
//!
//! A pack with a durable length has a durable name: its first sync is followed by one of its folder. An object is
//! synced before it gets its name; a process that finds it syncs its folder before it commits an artifact that names it
//! (`object.rs`). So each recorded artifact has its objects. A folder with an object has a durable name, and so has a
//! store with the file `format`, with all folders above it (`layout.rs`). The folders in a store get theirs with its
//! first pack.
//!
//! [`Store::commit`]: crate::Store::commit

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::RwLock;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::lock::memory::{read, write};
use crate::records::index::Index;

/// Makes all records durable that this process uses; only compares lengths if they are.
pub(crate) fn sync_used(layout: &Layout, index: &RwLock<Index>) -> Result<(), StoreError> {
    let index_now = read(index);
    let owed = index_now.packs.iter().filter(|pack| pack.needs_sync());
    let owed: Vec<_> = owed.map(|pack| (pack.id.clone(), pack.end)).collect();
    drop(index_now);
    for (id, end) in owed {
        let path = layout.pack(&id);
        let file = disk::open(&path)?;
        sync(layout, index, &id, &file, end)?;
        // A writer cuts off what it could not make durable.
        if file.metadata().map_err(StoreError::io("read", &path))?.len() < end {
            let error = io::Error::other("another process could not make durable what it wrote there; run again");
            return Err(StoreError::io("sync", path)(error));
        }
    }
    Ok(())
}

/// The same for a read-only store, which may lie on a disk that takes no writes and no syncs.
pub(crate) fn sync_read(layout: &Layout, index: &RwLock<Index>) -> Result<(), StoreError> {
    match sync_used(layout, index) {
        Err(error) if error.is(ErrorKind::ReadOnlyFilesystem) || error.is(ErrorKind::InvalidInput) => Ok(()),
        outcome => outcome,
    }
}

/// Makes a pack and its name durable, and notes that it is durable up to `end`.
pub(crate) fn sync(layout: &Layout, index: &RwLock<Index>, id: &str, file: &File, end: u64) -> Result<(), StoreError> {
    disk::sync(file, &layout.pack(id))?;
    let (durable, is_only) = {
        let index = read(index);
        (index.pack_number(id).map_or(0, |number| index.packs[number].durable), index.packs.len() <= 1)
    };
    if durable == 0 {
        disk::sync_dir(&layout.packs())?;
    }
    if durable == 0 && is_only {
        disk::sync_dir(&layout.dir)?;
    }
    let mut index = write(index);
    if let Some(number) = index.pack_number(id) {
        let pack = &mut index.packs[number];
        pack.durable = pack.durable.max(end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::files::fault::synced;
    use crate::format::layout::Access;
    use crate::store::{PutContent, Store};
    use crate::tests::crash::{key, result};
    use crate::value::digest::Digest;

    /// A store in a temporary folder.
    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// Opens the store, and forgets what was synced before.
        fn open(&self, access: Access) -> Store {
            let store = Store::open(self.0.path(), access).unwrap();
            synced();
            store
        }

        fn root(&self) -> PathBuf {
            self.0.path().to_owned()
        }

        fn packs(&self) -> PathBuf {
            self.0.path().join("packs")
        }

        /// The only pack.
        fn pack(&self) -> PathBuf {
            let mut packs = std::fs::read_dir(self.packs()).unwrap();
            let pack = packs.next().unwrap().unwrap().path();
            assert!(packs.next().is_none(), "there is one pack");
            pack
        }
    }

    fn record(store: &Store, name: &str, bytes: &[u8]) {
        let files = vec![("file".to_owned(), PutContent::Bytes(bytes.to_vec()))];
        let (output, _) = store.put_artifact(files).unwrap();
        store.put_result(&key(name), result(name, output)).unwrap();
    }

    const BOTH: [Access; 2] = [Access::ReadWrite, Access::ReadOnly];

    #[test]
    fn what_a_live_process_has_just_written_is_made_durable_once_by_who_finds_it() {
        for access in BOTH {
            let dir = Dir::new();
            let writer = dir.open(Access::ReadWrite);
            record(&writer, "a", b"a");
            writer.commit().unwrap();
            let reader = dir.open(access);
            reader.commit().unwrap();
            assert!(synced().is_empty(), "nothing was looked up");
            assert!(reader.hit(&key("a")).is_some());
            reader.commit().unwrap();
            assert_eq!(synced(), [dir.pack(), dir.packs(), dir.root()]);
            assert!(reader.outputs(&[(key("a"), &["out".to_owned()])]).0[0]);
            reader.commit().unwrap();
            assert!(synced().is_empty(), "it is known to be durable");
            // Only the last commit may not be durable.
            record(&writer, "b", b"b");
            writer.commit().unwrap();
            reader.refresh().unwrap();
            assert!(reader.hit(&key("a")).is_some());
            synced();
            reader.commit().unwrap();
            assert!(synced().is_empty());
            assert!(reader.outputs(&[(key("b"), &["out".to_owned()])]).0[0]);
            reader.commit().unwrap();
            assert_eq!(synced(), [dir.pack()]);
        }
    }

    #[test]
    fn hits_in_a_store_that_was_closed_sync_nothing() {
        for access in BOTH {
            let dir = Dir::new();
            let writer = dir.open(Access::ReadWrite);
            for name in ["a", "b"] {
                record(&writer, name, name.as_bytes());
                writer.commit().unwrap();
            }
            drop(writer);
            let reader = dir.open(access);
            assert!(reader.hit(&key("a")).is_some() && reader.hit(&key("b")).is_some());
            reader.commit().unwrap();
            drop(reader);
            assert!(synced().is_empty());
        }
    }

    #[test]
    fn hits_of_a_process_that_was_killed_are_synced_by_the_first_who_finds_them() {
        let dir = Dir::new();
        let killed = dir.open(Access::ReadWrite);
        record(&killed, "a", b"a");
        killed.commit().unwrap();
        std::mem::forget(killed);
        for first in [true, false] {
            let reader = dir.open(Access::ReadWrite);
            assert!(reader.hit(&key("a")).is_some());
            reader.commit().unwrap();
            assert_eq!(!synced().is_empty(), first);
        }
    }

    #[test]
    fn a_result_is_written_after_the_pack_of_another_that_has_its_bytes_is_durable() {
        let dir = Dir::new();
        let one = dir.open(Access::ReadWrite);
        record(&one, "a", b"same");
        one.commit().unwrap();
        let pack = dir.pack();
        let two = dir.open(Access::ReadWrite);
        record(&two, "b", b"same");
        two.commit().unwrap();
        let paths = synced();
        assert_eq!(paths[..3], [pack, dir.packs(), dir.root()]);
        assert_eq!(paths.len(), 5, "its own pack is new: {paths:?}");
    }

    #[test]
    fn whoever_takes_a_pack_over_syncs_what_its_last_writer_may_not_have() {
        let dir = Dir::new();
        let killed = dir.open(Access::ReadWrite);
        record(&killed, "a", b"a");
        killed.commit().unwrap();
        killed.writer.release();
        let next = dir.open(Access::ReadWrite);
        record(&next, "b", b"b");
        next.commit().unwrap();
        assert_eq!(synced(), [dir.pack(), dir.packs(), dir.root(), dir.pack()]);
        std::mem::forget(killed);
    }

    #[test]
    fn what_is_forgotten_by_another_is_made_durable_before_what_takes_its_place() {
        let dir = Dir::new();
        let one = dir.open(Access::ReadWrite);
        record(&one, "a", b"a");
        one.commit().unwrap();
        one.forget_result(&key("a"));
        let pack = dir.pack();
        let two = dir.open(Access::ReadWrite);
        record(&two, "a", b"other");
        two.commit().unwrap();
        assert_eq!(synced()[0], pack);
    }

    #[test]
    fn an_object_that_another_put_there_gets_a_durable_name_before_it_is_named() {
        let dir = Dir::new();
        let (one, two) = (dir.open(Access::ReadWrite), dir.open(Access::ReadWrite));
        let bytes = vec![7; 100_000];
        record(&one, "a", &bytes);
        let folder = crate::format::object::folder(&two.layout, &Digest::of(&bytes));
        assert_eq!(synced().last(), Some(&folder));
        record(&two, "b", &bytes);
        assert!(synced().is_empty());
        two.commit().unwrap();
        assert_eq!(synced()[0], folder);
        record(&two, "c", &bytes);
        two.commit().unwrap();
        assert_eq!(synced().len(), 1, "its pack alone, as the name is durable by now");
        record(&one, "d", &bytes);
        one.commit().unwrap();
        assert!(!synced().contains(&folder), "it has synced it itself");
    }

    #[test]
    fn a_folder_of_objects_that_another_has_just_made_gets_a_durable_name() {
        let dir = Dir::new();
        let store = dir.open(Access::ReadWrite);
        let bytes = vec![7; 100_000];
        std::fs::create_dir(crate::format::object::folder(&store.layout, &Digest::of(&bytes))).unwrap();
        record(&store, "a", &bytes);
        assert!(synced().contains(&store.layout.objects()));
    }

    #[test]
    fn a_new_store_has_durable_folders_above_it_before_it_says_that_it_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b/store");
        synced();
        Store::open(&root, Access::ReadWrite).unwrap();
        let paths = synced();
        let place = |path: &Path| paths.iter().position(|synced| synced == path);
        let format = place(&root.join("format")).unwrap();
        for path in [&root, &dir.path().join("a/b"), &dir.path().join("a"), dir.path()] {
            assert!(place(path).is_some_and(|place| place < format), "{}: {paths:?}", path.display());
        }
        Store::open(&root, Access::ReadWrite).unwrap();
        assert!(synced().is_empty());
    }

    #[test]
    fn what_cannot_be_synced_is_not_reported() {
        let dir = Dir::new();
        let writer = dir.open(Access::ReadWrite);
        record(&writer, "a", b"a");
        writer.commit().unwrap();
        let reader = dir.open(Access::ReadWrite);
        assert!(reader.hit(&key("a")).is_some());
        crate::files::fault::after(0);
        let refused = reader.commit();
        crate::files::fault::off();
        assert!(refused.is_err());
        reader.commit().unwrap();
        // The writer could not make it durable, and took it back.
        record(&writer, "b", b"b");
        writer.commit().unwrap();
        reader.refresh().unwrap();
        assert!(reader.hit(&key("b")).is_some());
        let file = File::options().write(true).open(dir.pack()).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let refused = reader.commit().unwrap_err().to_string();
        assert!(refused.contains("could not make durable"), "{refused}");
    }
}
