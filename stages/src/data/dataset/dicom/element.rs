//! Data elements of a DICOM file, as places in its bytes. Source: DICOM PS3.5 2024, sections 7.1, 7.5 and 7.8.
//!
//! Our own, as the parser of the crate `dicom-object` fills as much memory as a damaged length claims: a file of 200
//! bytes took 3 GB. Here a length is compared with the bytes that are left, and no value is copied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::tag::{self, Tag};

/// Most levels of sequences in sequences; real files have about five.
const DEPTH_MAX: usize = 16;
/// Value representations with a length of four bytes after two reserved ones.
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
/// The others, with a length of two bytes.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

/// The encoding of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Each element names its value representation.
    pub(super) explicit: bool,
    /// Numbers are big endian.
    pub(super) big_endian: bool,
}

/// Elements of a data set or of an item, by tag.
#[derive(Clone, Debug)]
pub(super) struct DataSet {
    encoding: Encoding,
    elements: BTreeMap<Tag, Element>,
}

/// The place of a value.
#[derive(Clone, Debug)]
struct Element {
    place: Range<usize>,
    /// The value representation; zeros in implicit encoding.
    vr: [u8; 2],
    /// The value is a sequence of items up to a delimiter.
    undefined: bool,
}

/// The start of an element.
struct Start {
    tag: Tag,
    vr: [u8; 2],
    /// `None` is undefined.
    length: Option<usize>,
    value: usize,
}

impl Encoding {
    pub(super) const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub(super) const EXPLICIT: Self = Self { explicit: true, big_endian: false };

    /// Guesses the encoding of a data set by its first element, whose group is 0x0002 to 0x0028 in any image.
    pub(super) fn guessed(bytes: &[u8]) -> Option<Self> {
        let start: &[u8; 6] = bytes.first_chunk()?;
        let big_endian = match start[..2] {
            [2..=0x28, 0] => false,
            [0, 2..=0x28] => true,
            _ => return None,
        };
        let vr = [start[4], start[5]];
        let explicit = LONG.contains(&&vr) || SHORT.contains(&&vr);
        (explicit || !big_endian).then_some(Self { explicit, big_endian })
    }

    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The message for a value that ends behind its data set.
fn cut() -> String {
    "the file is damaged or cut short: an element ends behind the last byte".to_owned()
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or_else(cut)
}

fn start(bytes: &[u8], at: usize, encoding: Encoding) -> Result<Start, String> {
    let group = encoding.u16(chunk(bytes, at)?);
    let tag = u32::from(group) << 16 | u32::from(encoding.u16(chunk(bytes, at + 2)?));
    let long = |vr, at: usize| -> Result<Start, String> {
        let length = encoding.u32(chunk(bytes, at)?);
        Ok(Start { tag, vr, length: (length != u32::MAX).then_some(length as usize), value: at + 4 })
    };
    // Items and delimiters never have a value representation.
    if !encoding.explicit || group == 0xFFFE {
        return long([0; 2], at + 4);
    }
    let vr = chunk(bytes, at + 4)?;
    if LONG.contains(&&vr) {
        return long(vr, at + 8);
    }
    let length = encoding.u16(chunk(bytes, at + 6)?);
    Ok(Start { tag, vr, length: Some(length.into()), value: at + 8 })
}

/// Returns the ends of a value and of its delimiter. `bytes` ends where the surrounding data set does.
fn ends(bytes: &[u8], start: &Start, encoding: Encoding, depth: usize) -> Result<(usize, usize), String> {
    if let Some(length) = start.length {
        let end = start.value.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(cut)?;
        return Ok((end, end));
    }
    if depth == DEPTH_MAX {
        return Err(format!("the file is damaged: its sequences lie in more than {DEPTH_MAX} others"));
    }
    let encoding = within(start.vr, encoding);
    let mut at = start.value;
    loop {
        let item = self::start(bytes, at, encoding)?;
        match item.tag {
            tag::SEQUENCE_END => return Ok((at, item.value)),
            tag::ITEM => at = item_ends(bytes, &item, encoding, depth)?.1,
            _ => return Err("the file is damaged: a sequence holds something else than items".to_owned()),
        }
    }
}

/// Returns the ends of an item's elements and of its delimiter.
fn item_ends(bytes: &[u8], item: &Start, encoding: Encoding, depth: usize) -> Result<(usize, usize), String> {
    if item.length.is_some() {
        return ends(bytes, item, encoding, depth);
    }
    let mut at = item.value;
    loop {
        let element = start(bytes, at, encoding)?;
        if element.tag == tag::ITEM_END {
            return Ok((at, element.value));
        }
        at = ends(bytes, &element, encoding, depth + 1)?.1;
    }
}

/// The encoding of a sequence's items; unknown ones are implicit, PS3.5 6.2.2.
fn within(vr: [u8; 2], encoding: Encoding) -> Encoding {
    if &vr == b"UN" { Encoding::IMPLICIT } else { encoding }
}

impl DataSet {
    /// Finds the elements at a place, up to the pixels.
    ///
    /// Errors: an element that ends behind it, as in a file that was cut.
    pub(super) fn read(bytes: &[u8], place: Range<usize>, encoding: Encoding) -> Result<Self, String> {
        let (bytes, mut at) = (&bytes[..place.end], place.start);
        let mut elements = BTreeMap::new();
        while at < bytes.len() {
            let start = start(bytes, at, encoding)?;
            let (end, next) = ends(bytes, &start, encoding, 0)?;
            let (undefined, vr) = (start.length.is_none(), start.vr);
            elements.entry(start.tag).or_insert(Element { place: start.value..end, vr, undefined });
            if tag::PIXELS.contains(&start.tag) {
                break;
            }
            at = next;
        }
        Ok(Self { encoding, elements })
    }

    /// Finds the elements of the file's header, PS3.10 7.1, and where they end.
    pub(super) fn read_header(bytes: &[u8], mut at: usize) -> Result<(Self, usize), String> {
        let encoding = Encoding::EXPLICIT;
        let mut elements = BTreeMap::new();
        while at < bytes.len() && bytes[at..].starts_with(&[2, 0]) {
            let start = start(bytes, at, encoding)?;
            let (end, next) = ends(bytes, &start, encoding, 0)?;
            elements.insert(start.tag, Element { place: start.value..end, vr: start.vr, undefined: false });
            at = next;
        }
        Ok((Self { encoding, elements }, at))
    }

    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(super) fn has(&self, tag: Tag) -> bool {
        self.elements.get(&tag).is_some_and(|element| !element.place.is_empty())
    }

    pub(super) fn vr(&self, tag: Tag) -> [u8; 2] {
        self.elements.get(&tag).map_or([0; 2], |element| element.vr)
    }

    /// The bytes of a value; `None` if it is missing, empty or a sequence of undefined length.
    pub(super) fn value<'a>(&self, bytes: &'a [u8], tag: Tag) -> Option<&'a [u8]> {
        let element = self.elements.get(&tag).filter(|element| !element.undefined)?;
        Some(&bytes[element.place.clone()]).filter(|value| !value.is_empty())
    }

    /// A text without the spaces and zeros around it. Bytes that are not UTF-8 are taken for Latin-1, so that different
    /// ones stay different.
    pub(super) fn text<'a>(&self, bytes: &'a [u8], tag: Tag) -> Option<Cow<'a, str>> {
        let value = self.value(bytes, tag)?;
        let text = match std::str::from_utf8(value) {
            Ok(text) => Cow::Borrowed(text.trim_matches([' ', '\0'])),
            Err(_) => {
                let text: String = value.iter().copied().map(char::from).collect();
                Cow::Owned(text.trim_matches([' ', '\0']).to_owned())
            }
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Numbers that are written as text, DS and IS. Errors: one that is none; the message names the attribute.
    pub(super) fn decimals(&self, bytes: &[u8], tag: Tag, name: &str) -> Result<Vec<f64>, String> {
        let Some(text) = self.text(bytes, tag) else { return Ok(Vec::new()) };
        let number = |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let numbers: Option<Vec<f64>> = text.split('\\').map(number).collect();
        numbers.ok_or_else(|| format!("its {name} is no number"))
    }

    /// The first number that is written as text.
    pub(super) fn decimal(&self, bytes: &[u8], tag: Tag, name: &str) -> Result<Option<f64>, String> {
        Ok(self.decimals(bytes, tag, name)?.first().copied())
    }

    /// Binary numbers of 16 bits.
    pub(super) fn words(&self, bytes: &[u8], tag: Tag) -> Vec<u16> {
        let value = self.value(bytes, tag).unwrap_or_default();
        value.as_chunks().0.iter().map(|&pair| self.encoding.u16(pair)).collect()
    }

    pub(super) fn word(&self, bytes: &[u8], tag: Tag) -> Option<u16> {
        Some(self.encoding.u16(*self.value(bytes, tag)?.first_chunk()?))
    }

    /// The items of a sequence, none if it is missing.
    pub(super) fn items(&self, bytes: &[u8], tag: Tag) -> Result<Vec<Self>, String> {
        let encoding = within(self.vr(tag), self.encoding);
        let places = self.item_places(bytes, tag)?;
        places.into_iter().map(|place| Self::read(bytes, place, encoding)).collect()
    }

    /// The first item of a sequence.
    pub(super) fn item(&self, bytes: &[u8], tag: Tag) -> Result<Option<Self>, String> {
        Ok(self.items(bytes, tag)?.into_iter().next())
    }

    /// The places of a sequence's items, or of the fragments of compressed pixels.
    pub(super) fn item_places(&self, bytes: &[u8], tag: Tag) -> Result<Vec<Range<usize>>, String> {
        let Some(element) = self.elements.get(&tag) else { return Ok(Vec::new()) };
        let encoding = within(element.vr, self.encoding);
        let (bytes, mut at, mut places) = (&bytes[..element.place.end], element.place.start, Vec::new());
        while at < bytes.len() {
            let item = start(bytes, at, encoding)?;
            if item.tag != tag::ITEM {
                return Err("the file is damaged: a sequence holds something else than items".to_owned());
            }
            let (end, next) = item_ends(bytes, &item, encoding, 0)?;
            places.push(item.value..end);
            at = next;
        }
        Ok(places)
    }

    /// True if the value is encapsulated: items up to a delimiter.
    pub(super) fn is_encapsulated(&self, tag: Tag) -> bool {
        self.elements.get(&tag).is_some_and(|element| element.undefined)
    }
}
