//! Pictures of a case, small enough for hundreds in one page: each is a PNG with a palette.
//!
//! - the image: 256 greys; the heatmap: its 256 grey levels in the colours of *inferno*, so that no level is lost;
//! - a mask beside the ground truth: four colours, as in Figure 4 of Kang et al. 2021. Found tumour is green,
//!   background left out is black, background taken for tumour is red, missed tumour is yellow. The shades are those of
//!   Okabe and Ito, so that people who confuse red and green can distinguish them.

use orchestrate_engine::stage::StageError;
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// The agreement of a pixel of a mask with the ground truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Background that is not in the mask.
    Background,
    /// Tumour that is in the mask.
    Found,
    /// Background that is in the mask.
    Wrong,
    /// Tumour that is not in the mask.
    Missed,
}

impl Agreement {
    /// All of them, each at its index in the palette.
    pub(super) const ALL: [Self; 4] = [Self::Background, Self::Found, Self::Wrong, Self::Missed];

    /// Its colour.
    pub(super) fn colour(self) -> Colour {
        match self {
            Self::Background => [0, 0, 0],
            Self::Found => [0, 158, 115],
            Self::Wrong => [213, 60, 0],
            Self::Missed => [240, 228, 66],
        }
    }

    /// The meaning of the colour, for a legend.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Background => "background left out (right)",
            Self::Found => "tumour found (right)",
            Self::Wrong => "background taken for tumour (wrong)",
            Self::Missed => "tumour missed (wrong)",
        }
    }
}

/// Height and width, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Size {
    /// Number of pixels.
    pub(super) fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// Encodes a grey image, `[height, width]`.
pub(super) fn grey(pixels: &[u8], size: Size) -> Result<Vec<u8>, StageError> {
    encode(pixels, size, &std::array::from_fn::<Colour, 256, _>(|level| [level as u8; 3]), BitDepth::Eight)
}

/// Encodes a heatmap, `[height, width]`, in colours: black is 0, pale yellow is 255.
pub(super) fn heat(levels: &[u8], size: Size) -> Result<Vec<u8>, StageError> {
    let palette = std::array::from_fn::<Colour, 256, _>(|level| {
        let colour = colorous::INFERNO.eval_rational(level, 256);
        [colour.r, colour.g, colour.b]
    });
    encode(levels, size, &palette, BitDepth::Eight)
}

/// Compares a mask with the ground truth, pixel by pixel: indices into [`Agreement::ALL`].
pub(super) fn agreement(mask: impl Iterator<Item = bool>, truth: &[u8]) -> Vec<u8> {
    let agreement = |(in_mask, &truth): (bool, &u8)| match (in_mask, truth != 0) {
        (false, false) => Agreement::Background,
        (true, true) => Agreement::Found,
        (true, false) => Agreement::Wrong,
        (false, true) => Agreement::Missed,
    };
    mask.zip(truth).map(|pixel| agreement(pixel) as u8).collect()
}

/// Encodes a mask beside the ground truth: indices into [`Agreement::ALL`], `[height, width]`.
pub(super) fn overlay(agreement: &[u8], size: Size) -> Result<Vec<u8>, StageError> {
    let rows = agreement.chunks(size.width.max(1));
    // Four pixels a byte, the first in the highest bits; each row starts a byte.
    let packed: Vec<u8> = rows
        .flat_map(|row| row.chunks(4))
        .map(|four| four.iter().enumerate().fold(0, |byte, (place, index)| byte | index << (6 - 2 * place)))
        .collect();
    encode(&packed, size, &Agreement::ALL.map(Agreement::colour), BitDepth::Two)
}

fn encode(data: &[u8], size: Size, palette: &[Colour], depth: BitDepth) -> Result<Vec<u8>, StageError> {
    let failed = |error: png::EncodingError| StageError::new(format!("a picture cannot be encoded: {error}"));
    let side = |length: usize| u32::try_from(length).map_err(|_| StageError::new("a picture is too large"));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(size.width)?, side(size.height)?);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(depth);
    encoder.set_palette(palette.concat());
    encoder.set_compression(Compression::High);
    encoder.set_filter(if depth == BitDepth::Eight { Filter::Adaptive } else { Filter::NoFilter });
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

/// Returns the border of a mask as the path of an SVG, in pixels: along the edges between foreground and background.
pub(super) fn outline(mask: &[u8], size: Size) -> String {
    let Size { height, width } = size;
    let inside = |row: usize, column: usize| row < height && column < width && mask[row * width + column] != 0;
    let mut path = String::new();
    // Joins the edges below and beside each pixel to runs along rows and along columns.
    let mut run = |across: usize, along: usize, differs: &dyn Fn(usize, usize) -> bool, horizontal: bool| {
        for line in 0..=across {
            let mut start = None;
            for place in 0..=along {
                match (place < along && differs(line, place), start) {
                    (true, None) => start = Some(place),
                    (false, Some(from)) => {
                        path += &match horizontal {
                            true => format!("M{from} {line}h{}", place - from),
                            false => format!("M{line} {from}v{}", place - from),
                        };
                        start = None;
                    }
                    _ => {}
                }
            }
        }
    };
    run(height, width, &|row, column| inside(row.wrapping_sub(1), column) != inside(row, column), true);
    run(width, height, &|column, row| inside(row, column.wrapping_sub(1)) != inside(row, column), false);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 2, width: 2 };

    fn rgb(png: &[u8]) -> Vec<Colour> {
        let image = image::load_from_memory(png).expect("it was just encoded").to_rgb8();
        image.pixels().map(|pixel| pixel.0).collect()
    }

    /// ```text
    /// mask  1 1   truth  1 0   found   wrong     green  red
    ///       0 0          1 0   missed  right     yellow black
    /// ```
    #[test]
    fn colours_of_an_overlay_worked_by_hand() {
        let indices = agreement([true, true, false, false].into_iter(), &[1, 0, 1, 0]);
        assert_eq!(indices, [1, 2, 3, 0]);
        let colours = rgb(&overlay(&indices, SIZE).unwrap());
        assert_eq!(colours, [[0, 158, 115], [213, 60, 0], [240, 228, 66], [0, 0, 0]]);
    }

    #[test]
    fn rows_that_end_within_a_byte_keep_their_pixels() {
        let size = Size { height: 2, width: 5 };
        let indices = [0, 1, 2, 3, 1, 3, 2, 1, 0, 2];
        let expected: Vec<_> = indices.iter().map(|&index| Agreement::ALL[usize::from(index)].colour()).collect();
        assert_eq!(rgb(&overlay(&indices, size).unwrap()), expected);
    }

    #[test]
    fn greys_and_heat_keep_every_level() {
        let size = Size { height: 16, width: 16 };
        let levels: Vec<u8> = (0..=255).collect();
        assert_eq!(rgb(&grey(&levels, size).unwrap()), levels.iter().map(|&level| [level; 3]).collect::<Vec<_>>());
        let heat = rgb(&heat(&levels, size).unwrap());
        let different: std::collections::BTreeSet<_> = heat.iter().collect();
        assert!(different.len() > 250 && heat[0] < [5; 3] && heat[255][0] > 240, "{heat:?}");
    }

    /// ```text
    /// 1 1      ┌───┐
    /// 0 1      └─┐ │   four horizontal edges (one of them two long), four vertical ones
    ///            └─┘
    /// ```
    #[test]
    fn outline_follows_the_edges_of_the_pixels() {
        let path = outline(&[1, 1, 0, 1], SIZE);
        assert_eq!(path, "M0 0h2M0 1h1M1 2h1M0 0v1M1 1v1M2 0v2");
        assert_eq!(outline(&[0; 4], SIZE), "");
    }
}
