//! Tables of values: palettes and the modality LUT. Source: DICOM PS3.3 2024, C.7.6.3.1.5, C.7.6.3.1.6 and C.11.1.1.

use super::element::DataSet;
use super::tag::{self, Tag};

/// A table; values before its first entry become that, and values behind its last become the last.
#[derive(Clone, Debug)]
pub(super) struct Lut {
    first: i64,
    entries: Vec<u16>,
}

impl Lut {
    /// Reads a table. Errors: a missing or short one; `name` is in the message.
    pub(super) fn read(
        bytes: &[u8],
        set: &DataSet,
        (descriptor, data): (Tag, Tag),
        is_signed: bool,
        name: &str,
    ) -> Result<Self, String> {
        let &[count, first, bits] = set.words(bytes, descriptor).first_chunk().ok_or(format!("it has no {name}"))?;
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        let first = if is_signed { i64::from(first.cast_signed()) } else { i64::from(first) };
        let value = set.value(bytes, data).unwrap_or_default();
        // Entries of 8 bits lie in bytes or, in old files, in words.
        let mut entries: Vec<u16> = if bits <= 8 && value.len() < 2 * count {
            value.iter().copied().map(u16::from).collect()
        } else {
            set.words(bytes, data)
        };
        if entries.len() < count {
            return Err(format!("its {name} is cut short: {} entries in place of {count}", entries.len()));
        }
        entries.truncate(count);
        Ok(Self { first, entries })
    }

    /// Reads the palettes of red, green and blue, as levels 0..=255.
    pub(super) fn palettes(bytes: &[u8], set: &DataSet, is_signed: bool) -> Result<[Self; 3], String> {
        let read = |index: usize| {
            let tags = (tag::PALETTE_DESCRIPTORS[index], tag::PALETTES[index]);
            if !set.has(tags.1) {
                return Err("its palette is missing or segmented, which is not read; \
                            save it as PNG, for example with `dcmj2pnm --write-png`"
                    .to_owned());
            }
            Self::read(bytes, set, tags, is_signed, "palette")
        };
        let mut palettes = [read(0)?, read(1)?, read(2)?];
        // Entries of 16 bits are shown by their high bytes. Some files say 16 bits and mean 8.
        if palettes.iter().flat_map(|palette| &palette.entries).any(|entry| *entry > 255) {
            palettes.iter_mut().flat_map(|palette| &mut palette.entries).for_each(|entry| *entry >>= 8);
        }
        Ok(palettes)
    }

    /// Looks up a value.
    pub(super) fn entry(&self, value: i64) -> u16 {
        let index = value.saturating_sub(self.first).clamp(0, self.entries.len() as i64 - 1);
        self.entries[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_a_table_take_its_ends() {
        let lut = Lut { first: -1, entries: vec![5, 6, 7] };
        assert_eq!([-9, -1, 0, 1, 9].map(|value| lut.entry(value)), [5, 5, 6, 7, 7]);
    }
}
