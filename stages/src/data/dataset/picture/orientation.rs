//! The orientation tag, which says how a viewer turns the stored picture; as Pillow's `ImageOps.exif_transpose`.

use super::directory::Structure;

/// The tag in directories of TIFF and Exif.
pub(super) const TAG: u16 = 274;

/// One of eight ways to turn or mirror a picture; values 1..=8 of the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u8);

impl Orientation {
    /// The picture as it is stored.
    pub(super) const UPRIGHT: Self = Self(1);

    /// Takes the value of a tag. Other values than 1..=8 turn nothing.
    pub(super) fn new(tag: u64) -> Self {
        u8::try_from(tag).ok().filter(|tag| (1..=8).contains(tag)).map_or(Self::UPRIGHT, Self)
    }

    /// Finds the tag in an Exif block, or else in XMP.
    pub(super) fn find(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Self {
        exif.and_then(in_exif).or_else(|| xmp.and_then(in_xmp)).map_or(Self::UPRIGHT, Self::new)
    }

    /// Turns a picture `[height, width]`; returns the new height, width and values.
    pub(super) fn applied<T: Copy>(self, height: usize, width: usize, values: Vec<T>) -> (usize, usize, Vec<T>) {
        if self == Self::UPRIGHT {
            return (height, width, values);
        }
        let swaps = self.0 > 4;
        let (rows, columns) = if swaps { (width, height) } else { (height, width) };
        // Where the tag 5..=8 swaps the axes, `row` and `column` count along the other axis of the source.
        let (row_turned, column_turned) = match self.0 {
            2 => (false, true),
            3 | 7 => (true, true),
            4 | 8 => (true, false),
            6 => (false, true),
            _ => (false, false),
        };
        let mut turned = Vec::with_capacity(values.len());
        for row in 0..rows {
            let row = if row_turned { rows - 1 - row } else { row };
            for column in 0..columns {
                let column = if column_turned { columns - 1 - column } else { column };
                turned.push(if swaps { values[column * width + row] } else { values[row * width + column] });
            }
        }
        (rows, columns, turned)
    }
}

/// Reads the tag of the first directory of an Exif block, with or without its signature.
fn in_exif(mut block: &[u8]) -> Option<u64> {
    for _ in 0..2 {
        block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    }
    let structure = Structure::open(block)?;
    structure.number(&structure.first()?, TAG)
}

/// Finds `tiff:Orientation="6"` or `<tiff:Orientation>6<` in XMP.
fn in_xmp(xmp: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    let places = xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let digit = |rest: &[u8]| match rest {
        [b'=', b'"', digit, ..] | [b'>', digit, ..] if digit.is_ascii_digit() => Some(u64::from(digit - b'0')),
        _ => None,
    };
    places.filter_map(|(at, _)| digit(&xmp[at + NAME.len()..])).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A viewer shows "ab" over "cd" over "ef"; the letters by Pillow's `exif_transpose`.
    #[test]
    fn every_tag_turns_as_pillow_does() {
        let stored = b"abcdef".to_vec();
        for (tag, expected) in [
            (1, "abcdef"),
            (2, "badcfe"),
            (3, "fedcba"),
            (4, "efcdab"),
            (5, "acebdf"),
            (6, "ecafdb"),
            (7, "fdbeca"),
            (8, "bdface"),
            (9, "abcdef"),
        ] {
            let (height, width, turned) = Orientation::new(tag).applied(3, 2, stored.clone());
            assert_eq!(String::from_utf8(turned).unwrap(), expected, "tag {tag}");
            assert_eq!((height, width), if (5..=8).contains(&tag) { (2, 3) } else { (3, 2) });
        }
    }

    #[test]
    fn xmp_counts_only_without_exif() {
        let xmp: &[u8] = b"<x tiff:Orientation=\"6\"/>";
        let exif: &[u8] = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
        assert_eq!(Orientation::find(Some(exif), Some(xmp)), Orientation(3));
        assert_eq!(Orientation::find(None, Some(xmp)), Orientation(6));
        assert_eq!(Orientation::find(None, Some(b"<tiff:Orientation>8</tiff:Orientation>")), Orientation(8));
        assert_eq!(Orientation::find(Some(b"damaged"), None), Orientation::UPRIGHT);
    }
}
