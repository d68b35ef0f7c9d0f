//! The header of a NIfTI file, version 1 or 2, in either byte order. Source: nifti1.h and nifti2.h of the NIfTI Data
//! Format Working Group.
//!
//! Our own table of offsets, as the crate `nifti` reads version 1 alone.

/// Facts of a header.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NiftiHeader {
    pub(super) big_endian: bool,
    /// Lengths of up to seven axes, those of length 1 at the end left out; at least two.
    pub(super) shape: Vec<usize>,
    pub(super) kind: Kind,
    /// Bytes before the first voxel.
    pub(super) offset: usize,
    /// Factor and summand of every voxel.
    pub(super) scale: Option<(f64, f64)>,
    /// Range for display.
    pub(super) display: Option<(f64, f64)>,
    pub(super) place: Place,
}

/// The ways in which a header says where voxels lie in the patient.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) sform: Option<[[f64; 4]; 3]>,
    pub(super) qform: Option<Qform>,
    /// Edges of a voxel in mm.
    pub(super) edges: [f64; 3],
    /// −1 if the third axis is mirrored in `qform`, else 1.
    pub(super) mirror: f64,
}

/// A rotation and a shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Qform {
    /// The imaginary parts b, c, d of a unit quaternion.
    pub(super) quaternion: [f64; 3],
    pub(super) shift: [f64; 3],
    /// Rounding of the header's numbers.
    pub(super) epsilon: f64,
}

/// The type of a voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned(u8),
    Signed(u8),
    Float(u8),
    /// Bytes of red, green, blue and perhaps alpha: 3 or 4.
    Colour(u8),
}

impl Kind {
    fn of(code: i16) -> Result<Self, String> {
        Ok(match code {
            2 => Self::Unsigned(1),
            512 => Self::Unsigned(2),
            768 => Self::Unsigned(4),
            1280 => Self::Unsigned(8),
            256 => Self::Signed(1),
            4 => Self::Signed(2),
            8 => Self::Signed(4),
            1024 => Self::Signed(8),
            16 => Self::Float(4),
            64 => Self::Float(8),
            128 => Self::Colour(3),
            2304 => Self::Colour(4),
            32 | 1792 | 2048 => {
                return Err("its voxels are complex numbers; save their magnitude, for example by nibabel".to_owned());
            }
            1536 => return Err("its voxels are floats of 128 bits; save them as float64".to_owned()),
            1 => return Err("its voxels are single bits; save them as uint8".to_owned()),
            _ => return Err(format!("the file is damaged: there is no type of voxels with code {code}")),
        })
    }

    /// Bytes of a voxel.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Unsigned(bytes) | Self::Signed(bytes) | Self::Float(bytes) | Self::Colour(bytes) => bytes as usize,
        }
    }
}

/// A header's bytes with its byte order and version.
struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    is_second: bool,
}

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes: [u8; N] = *self.bytes[at..].first_chunk().expect("the header is whole");
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.array(at))
    }

    /// A whole number of 16 bits in version 1, of 64 in version 2; at their offsets.
    fn length(&self, first: usize, second: usize) -> i64 {
        if self.is_second { i64::from_le_bytes(self.array(second)) } else { self.i16(first).into() }
    }

    /// A code of 16 bits in version 1, of 32 in version 2.
    fn code(&self, first: usize, second: usize) -> i32 {
        if self.is_second { i32::from_le_bytes(self.array(second)) } else { self.i16(first).into() }
    }

    /// A float of 32 bits in version 1, of 64 in version 2; `index` counts from the offset.
    fn float(&self, first: usize, second: usize, index: usize) -> f64 {
        if self.is_second {
            f64::from_le_bytes(self.array(second + 8 * index))
        } else {
            f32::from_le_bytes(self.array(first + 4 * index)).into()
        }
    }

    fn floats<const N: usize>(&self, first: usize, second: usize) -> [f64; N] {
        std::array::from_fn(|index| self.float(first, second, index))
    }
}

/// Size of a header by the first number of the file, and the byte order.
fn version(bytes: &[u8]) -> Option<(usize, bool)> {
    let size = *bytes.first_chunk()?;
    let sizes = [(i32::from_le_bytes(size), false), (i32::from_be_bytes(size), true)];
    let (size, big_endian) = sizes.into_iter().find(|(size, _)| matches!(size, 348 | 540))?;
    Some((size as usize, big_endian))
}

impl NiftiHeader {
    /// True if the bytes begin as a header does, of a single file or of a pair.
    pub(super) fn is_start_of(bytes: &[u8]) -> bool {
        version(bytes).is_some()
    }

    /// Reads a header. Errors: one that is damaged, of a pair of files, or of a type that is not read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let (size, big_endian) = version(bytes).ok_or("it is no NIfTI file")?;
        let bytes = bytes
            .get(..size)
            .ok_or_else(|| format!("the file is cut short: its header has fewer than {size} bytes"))?;
        let is_second = size == 540;
        let fields = Fields { bytes, big_endian, is_second };
        let magic = if is_second { &bytes[4..8] } else { &bytes[344..348] };
        match magic {
            b"n+1\0" | b"n+2\0" => {}
            b"ni1\0" | b"ni2\0" => {
                return Err("it is the header of a pair (.hdr and .img); join them to one .nii file, for example by \
                            nibabel"
                    .to_owned());
            }
            _ => return Err("it is no NIfTI file, but perhaps ANALYZE 7.5; convert it to .nii".to_owned()),
        }
        let kind = Kind::of(fields.i16(if is_second { 12 } else { 70 }))?;
        let offset = if is_second { fields.length(0, 168) as f64 } else { fields.float(108, 0, 0) };
        if !(size as f64..=1e9).contains(&offset) {
            return Err(format!("the file is damaged: its voxels begin at byte {offset}"));
        }
        let (slope, intercept) = (fields.float(112, 176, 0), fields.float(116, 184, 0));
        let is_scaled = slope != 0.0 && slope.is_finite();
        if is_scaled && !intercept.is_finite() {
            return Err("the file is damaged: it has a slope, but its intercept is no number".to_owned());
        }
        let [max, min] = fields.floats(124, 192);
        Ok(Self {
            big_endian,
            shape: shape(&fields)?,
            kind,
            offset: offset as usize,
            scale: (is_scaled && (slope, intercept) != (1.0, 0.0)).then_some((slope, intercept)),
            display: (max > min && max.is_finite() && min.is_finite()).then_some((min, max)),
            place: Place::read(&fields),
        })
    }
}

/// Reads the lengths of the axes.
fn shape(fields: &Fields<'_>) -> Result<Vec<usize>, String> {
    let count = fields.length(40, 16);
    if !(1..=7).contains(&count) {
        return Err(format!("the file is damaged: it has {count} axes"));
    }
    let lengths = (1..=count as usize).map(|axis| fields.length(40 + 2 * axis, 16 + 8 * axis));
    let lengths: Result<Vec<_>, _> = lengths.map(usize::try_from).collect();
    let mut lengths = lengths.map_err(|_| "the file is damaged: an axis has a negative length")?;
    if lengths.contains(&0) {
        return Err("the picture has no pixels".to_owned());
    }
    while lengths.len() > 2 && lengths.ends_with(&[1]) {
        lengths.pop();
    }
    lengths.resize(lengths.len().max(2), 1);
    Ok(lengths)
}

impl Place {
    fn read(fields: &Fields<'_>) -> Self {
        let [factor, edges @ ..] = fields.floats::<4>(76, 104);
        // As nibabel mends them: an edge of 0 is 1, a negative one is positive.
        let edges = edges.map(|edge: f64| if edge == 0.0 { 1.0 } else { edge.abs() });
        let qform = Qform {
            quaternion: fields.floats(256, 352),
            shift: fields.floats(268, 376),
            epsilon: if fields.is_second { f64::EPSILON } else { f32::EPSILON.into() },
        };
        let sform = [0, 1, 2].map(|row| fields.floats(280 + 16 * row, 400 + 32 * row));
        Self {
            sform: (fields.code(254, 348) != 0).then_some(sform),
            qform: (fields.code(252, 344) != 0).then_some(qform),
            edges,
            mirror: if factor == -1.0 { -1.0 } else { 1.0 },
        }
    }
}
