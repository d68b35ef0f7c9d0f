//! Transfer syntaxes: the encoding of elements and of pixels. Source: DICOM PS3.6 2024, table A-1.

use super::element::Encoding;

/// Encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) encoding: Encoding,
    /// The data set is compressed as a whole.
    pub(super) deflated: bool,
    pub(super) pixels: Pixels,
}

/// Encoding of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pixels {
    Plain,
    Jpeg,
    Jpeg2000,
    Rle,
    /// A codec that is not read: its name.
    Unread(&'static str),
}

impl Syntax {
    pub(super) const fn plain(encoding: Encoding) -> Self {
        Self { encoding, deflated: false, pixels: Pixels::Plain }
    }

    /// Looks up a UID. A syntax that is not known has explicit elements, PS3.5 A.4, and pixels that are not read.
    pub(super) fn of(uid: &str) -> Self {
        let encapsulated = |pixels| Self { pixels, ..Self::plain(Encoding::EXPLICIT) };
        match uid.strip_prefix("1.2.840.10008.1.2").unwrap_or("?") {
            "" => Self::plain(Encoding::IMPLICIT),
            ".1" => Self::plain(Encoding::EXPLICIT),
            ".1.99" => Self { deflated: true, ..Self::plain(Encoding::EXPLICIT) },
            ".2" => Self::plain(Encoding { explicit: true, big_endian: true }),
            ".4.50" | ".4.51" | ".4.57" | ".4.70" => encapsulated(Pixels::Jpeg),
            ".4.80" | ".4.81" => encapsulated(Pixels::Unread("JPEG-LS")),
            ".4.90" | ".4.91" => encapsulated(Pixels::Jpeg2000),
            ".4.110" | ".4.111" | ".4.112" => encapsulated(Pixels::Unread("JPEG XL")),
            ".4.201" | ".4.202" | ".4.203" => encapsulated(Pixels::Unread("HTJ2K")),
            ".5" => encapsulated(Pixels::Rle),
            other if other.starts_with(".4.10") => encapsulated(Pixels::Unread("a video codec")),
            _ => encapsulated(Pixels::Unread("a codec that is not known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_name_encodings() {
        let of = |rest: &str| Syntax::of(&format!("1.2.840.10008.1.2{rest}"));
        assert_eq!(of(""), Syntax::plain(Encoding::IMPLICIT));
        assert!(of(".2").encoding.big_endian && of(".1.99").deflated);
        assert_eq!(
            (of(".4.70").pixels, of(".4.91").pixels, of(".5").pixels),
            (Pixels::Jpeg, Pixels::Jpeg2000, Pixels::Rle)
        );
        assert_eq!(of(".4.80").pixels, Pixels::Unread("JPEG-LS"));
        assert_eq!(of(".4.102").pixels, Pixels::Unread("a video codec"));
        assert_eq!(Syntax::of("1.2.3").pixels, Pixels::Unread("a codec that is not known"));
    }
}
