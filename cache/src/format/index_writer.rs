//! Writing of index files (`index_file.rs`), page by page, with the filter in memory.

use std::path::Path;

use crate::error::StoreError;
use crate::files::frame::crc;
use crate::files::{clock, disk};
use crate::format::filter::Filter;
use crate::format::index_file::{
    BrokenIndex, CoveredPack, Entry, Header, IndexFile, PAGE_ENTRIES, encode_page, home, pages_at, path,
};

/// Entries of a page by design; the rest is room for uneven numbers.
const PAGE_ENTRIES_MEANT: u64 = PAGE_ENTRIES as u64 * 3 / 4;
/// Bytes written at a time.
const BUFFER: usize = 1 << 20;

/// An index file that is being written.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    id: String,
    header: Header,
    header_len: usize,
    file: tempfile::NamedTempFile,
    filter: Filter,
    /// The entries of the present page.
    page: Vec<Entry>,
    /// Encoded pages that are not yet written.
    buffer: Vec<u8>,
    written: u64,
}

impl IndexWriter {
    /// Begins an index file of at most so many entries, with an unfinished file in `dir`.
    pub(crate) fn begin(dir: &Path, id: &str, packs: Vec<CoveredPack>, most: u64) -> Result<Self, StoreError> {
        let homes = u32::try_from(most.div_ceil(PAGE_ENTRIES_MEANT).max(1)).expect("fewer than 2^39 records");
        let header = Header { homes, packs, ..Header::default() };
        let header_len = header.encode(id).len();
        let file = disk::temporary(dir, "index-")?;
        let (page, buffer) = Default::default();
        let written = pages_at(header_len);
        Ok(Self { id: id.to_owned(), header, header_len, file, filter: Filter::new(most), page, buffer, written })
    }

    /// Adds the next entry; numbers ascend.
    pub(crate) fn push(&mut self, entry: Entry) -> Result<(), StoreError> {
        let home = home(entry.number, self.header.homes);
        while self.header.pages < home || self.page.len() == PAGE_ENTRIES {
            self.end_page()?;
        }
        self.header.counts[usize::from(entry.kind)] += 1;
        self.filter.insert(entry.number);
        self.page.push(entry);
        Ok(())
    }

    /// Makes the file durable and gives it its name in the folder of packs: a power cut leaves none half written.
    pub(crate) fn finish(mut self, packs: &Path) -> Result<IndexFile, StoreError> {
        while self.header.pages < self.header.homes || !self.page.is_empty() {
            self.end_page()?;
        }
        let filter = self.filter.encode();
        self.header.filter_crc = crc(&[&filter]);
        self.header.filter_len = u32::try_from(filter.len()).expect("a filter has less than 4 GiB");
        self.buffer.extend(filter);
        self.flush()?;
        let header = self.header.encode(&self.id);
        assert_eq!(header.len(), self.header_len, "BUG: the length of a header depends on its packs alone");
        disk::write_at(self.file.as_file(), &header, 0, self.file.path())?;
        let path = path(packs, &self.id);
        disk::protect(self.file.as_file(), clock::now(), &path, self.file.path())?;
        disk::sync(self.file.as_file(), self.file.path())?;
        disk::rename(self.file.path(), &path)?;
        // The temporary name is gone, so there is nothing left to remove.
        let _ = self.file.into_temp_path().keep();
        disk::sync_dir(packs)?;
        IndexFile::open(&self.id, path.clone()).map_err(|error| match error {
            BrokenIndex::Read(source) => StoreError::io("open", path)(source),
            BrokenIndex::Damaged(_) => StoreError::io("read back", path)(std::io::Error::other(error)),
        })
    }

    fn end_page(&mut self) -> Result<(), StoreError> {
        self.buffer.extend(encode_page(&self.id, self.header.pages, &self.page));
        self.page.clear();
        self.header.pages += 1;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        disk::write_at(self.file.as_file(), &self.buffer, self.written, self.file.path())?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index_file::{KINDS, PAGE, number_of};
    use crate::value::digest::Digest;

    fn entry(name: u32, kind: u8) -> Entry {
        let number = number_of(&Digest::of(&name.to_le_bytes()));
        Entry { number, kind, pack: name % 3, group_at: name, record: name as u16 }
    }

    fn written(dir: &Path, mut entries: Vec<Entry>) -> IndexFile {
        entries.sort_unstable();
        let pack = |id: u32| {
            let id = format!("{id:012x}-1-0");
            CoveredPack { id, start: 0, end: 7, commit: 2, last: (3, 4), is_sealed: true, oldest_ms: 5 }
        };
        let mut writer = IndexWriter::begin(dir, "a-0-0", (0..3).map(pack).collect(), entries.len() as u64).unwrap();
        entries.into_iter().for_each(|entry| writer.push(entry).unwrap());
        writer.finish(dir).unwrap()
    }

    #[test]
    fn every_entry_is_found_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0, 1, 200, 5000, 100_000] {
            let file = written(dir.path(), (0..count).map(|name| entry(name, 1)).collect());
            file.check().unwrap();
            assert_eq!(file.header.counts, [0, u64::from(count), 0, 0, 0, 0]);
            for name in 0..count {
                assert_eq!(file.find(entry(name, 1).number).unwrap(), [entry(name, 1)]);
            }
            let absent = |name| file.find(entry(name, 1).number).unwrap().is_empty();
            assert!((count..count + 1000).all(absent));
            assert_eq!(std::fs::metadata(&file.path).unwrap().len(), file.size_bytes());
            std::fs::remove_file(file.path).unwrap();
        }
        assert_eq!(KINDS, 6);
    }

    #[test]
    fn entries_of_one_number_overflow_to_later_pages_and_ranges_cross_them() {
        let dir = tempfile::tempdir().unwrap();
        let same = |record: u16| Entry { number: u64::MAX / 2, kind: 3, pack: 0, group_at: 0, record };
        let mut all: Vec<_> = (0..1000).map(same).chain((0..3000).map(|name| entry(name, 1))).collect();
        let file = written(dir.path(), all.clone());
        assert_eq!(file.find(u64::MAX / 2).unwrap().len(), 1000);
        assert!((0..3000).all(|name| file.find(entry(name, 1).number).unwrap() == [entry(name, 1)]));
        all.sort_unstable();
        for (first, last) in [(0, u64::MAX), (u64::MAX / 3, u64::MAX / 3 * 2), (7, 7), (u64::MAX - 1, u64::MAX)] {
            let expected: Vec<_> = all.iter().copied().filter(|entry| (first..=last).contains(&entry.number)).collect();
            assert_eq!(file.range(first, last).unwrap(), expected);
        }
        assert_eq!(file.scan().map(Result::unwrap).collect::<Vec<_>>(), all);
    }

    #[test]
    fn any_changed_byte_is_noticed_by_a_check_and_never_answers() {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path(), (0..300).map(|name| entry(name, 1)).collect());
        let whole = std::fs::read(&file.path).unwrap();
        let path = dir.path().join("b.index");
        for at in (0..whole.len()).step_by(7).chain(0..200) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            // The gap between header and pages is never read.
            let is_gap = (file.header.encode("a-0-0").len()..PAGE).contains(&at);
            let checked = IndexFile::open("a-0-0", path.clone()).and_then(|file| file.check());
            assert_eq!(checked.is_ok(), is_gap, "byte {at}");
            let Ok(opened) = IndexFile::open("a-0-0", path.clone()) else { continue };
            for name in 0..300 {
                let found = opened.find(entry(name, 1).number);
                assert!(found.is_err() || found.is_ok_and(|found| found == [entry(name, 1)]), "byte {at}");
            }
        }
        for len in (0..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(IndexFile::open("a-0-0", path.clone()).and_then(|file| file.check()).is_err(), "{len} bytes");
        }
        assert!(IndexFile::open("other", file.path).is_err(), "a copy under another name is none");
    }
}
