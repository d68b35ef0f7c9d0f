//! The convolution with stride 1, without a copy of the receptive fields.
//!
//! Between the rows of a padded map lie as many zeros as padding wants, so neighbours on the right of one row are those
//! on the left of the next. Then the inputs of one weight for consecutive pixels lie side by side, across rows too, and
//! the product reads them from the map itself. It also computes the pixels between the rows, which nobody stores. A
//! band of rows, with its padding, is copied at a time, small enough for the second-level cache; a map without padding
//! is read as it is.
//!
//! Every sum runs in the order of [`crate::forward`], so both give the same bits.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::forward::{Finish, finish, pack};
use crate::geometry::Geometry;
use crate::kernel::{COLUMNS, Cpu, DEPTH, Left, Products, ROWS, Right, TILE, Tile, multiply};

/// Tiles that are computed together.
const TILES: usize = 8;
/// Numbers of a band that stay in the second-level cache: 512 kB.
const BAND: usize = 1 << 17;

/// The division of a map's rows into bands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direct {
    output: [usize; 2],
    /// Rows of the output in a band.
    rows: usize,
    /// Numbers from one row to the next.
    pitch: usize,
}

impl Direct {
    /// Returns `None` if copies of receptive fields cost less than the pixels between rows.
    pub(crate) fn new(geometry: &Geometry, output: [usize; 2]) -> Option<Self> {
        let pitch = geometry.size[1] + geometry.padding[1];
        let reach = geometry.dilation[0] * (geometry.kernel[0] - 1);
        let most = (BAND / (geometry.channels * pitch)).saturating_sub(reach).clamp(1, output[0]);
        let rows = output[0].div_ceil(output[0].div_ceil(most));
        let direct = Self { output, rows, pitch };
        let (pixels, computed) = (rows * output[1], direct.span(rows).next_multiple_of(2 * COLUMNS));
        // A copy costs some sixteen products.
        let pays = (computed - pixels) * geometry.units <= 16 * pixels;
        (geometry.stride == [1, 1] && direct.span(1) >= COLUMNS && pays).then_some(direct)
    }

    /// Returns the number of pixels from the first to the last of some rows.
    fn span(&self, rows: usize) -> usize {
        (rows - 1) * self.pitch + self.output[1]
    }

    /// Convolves images; see [`crate::forward::convolve`].
    pub(crate) fn convolve(
        &self,
        cpu: Cpu,
        geometry: &Geometry,
        input: &[f32],
        weights: &[f32],
        finish: Finish<'_>,
    ) -> Vec<f32> {
        let [height, width] = self.output;
        let mut numbers = vec![0.0; geometry.batch * geometry.units * height * width];
        let weights = &*pack(geometry, weights);
        let bands = height.div_ceil(self.rows);
        let mut parts: Vec<Vec<&mut [f32]>> = (0..geometry.batch * bands).map(|_| Vec::new()).collect();
        for (index, plane) in numbers.chunks_exact_mut(height * width).enumerate() {
            let first = index / geometry.units * bands;
            let rows = plane.chunks_mut(self.rows * width);
            rows.enumerate().for_each(|(band, rows)| parts[first + band].push(rows));
        }
        let scratch = || (Vec::new(), vec![[TILE; TILES]; geometry.units.div_ceil(ROWS)]);
        parts.into_par_iter().enumerate().for_each_init(scratch, |(padded, tiles), (index, parts)| {
            let (image, first) = (index / bands, index % bands * self.rows);
            let of_image = geometry.channels * geometry.size[0] * geometry.size[1];
            let input = &input[image * of_image..(image + 1) * of_image];
            let rows = first..height.min(first + self.rows);
            let (map, plane) = if geometry.padding == [0, 0] {
                (&input[first * self.pitch..], geometry.size[0] * self.pitch)
            } else {
                let plane = self.pad(geometry, input, rows.clone(), padded);
                (&padded[..], plane)
            };
            let offsets = self.offsets(geometry, plane);
            let span = self.span(rows.len());
            cpu.run(Work { direct: self, map, offsets: &offsets, span, weights, finish, parts, tiles });
        });
        numbers
    }

    /// Copies the inputs of some rows of the output, with padding; returns the length of a channel.
    fn pad(&self, geometry: &Geometry, input: &[f32], rows: Range<usize>, padded: &mut Vec<f32>) -> usize {
        let ([height, width], [above, left]) = (geometry.size, geometry.padding);
        let count = rows.len() + geometry.dilation[0] * (geometry.kernel[0] - 1);
        let plane = count * self.pitch + left;
        padded.clear();
        padded.resize(geometry.channels * plane, 0.0);
        for (padded, channel) in padded.chunks_exact_mut(plane).zip(input.chunks_exact(height * width)) {
            for (row, padded) in padded.chunks_exact_mut(self.pitch).enumerate() {
                let row = (rows.start + row).checked_sub(above).filter(|&row| row < height);
                if let Some(row) = row {
                    padded[left..left + width].copy_from_slice(&channel[row * width..(row + 1) * width]);
                }
            }
        }
        plane
    }

    /// Returns, for each depth, the place of the first pixel's number in the map.
    fn offsets(&self, geometry: &Geometry, plane: usize) -> Vec<usize> {
        let of_tap = |tap: usize| {
            let [down, along] = [tap / geometry.kernel[1], tap % geometry.kernel[1]];
            down * geometry.dilation[0] * self.pitch + along * geometry.dilation[1]
        };
        (0..geometry.depth()).map(|depth| depth / geometry.taps() * plane + of_tap(depth % geometry.taps())).collect()
    }
}

/// The computation of all units of one band.
struct Work<'a, 'b> {
    direct: &'a Direct,
    map: &'a [f32],
    /// `[depth]`.
    offsets: &'a [usize],
    /// Pixels of the band, those between rows too.
    span: usize,
    weights: &'a [Left],
    finish: Finish<'a>,
    /// The band's rows of the output, `[unit]`.
    parts: Vec<&'b mut [f32]>,
    /// `[panel]`.
    tiles: &'a mut [[Tile; TILES]],
}

impl WithSimd for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let panels = self.tiles.len();
        for first in (0..self.span).step_by(TILES * COLUMNS) {
            let count = (self.span - first).div_ceil(COLUMNS).min(TILES);
            // The last tiles overlap the ones before.
            let starts: [usize; TILES] = std::array::from_fn(|tile| (first + tile * COLUMNS).min(self.span - COLUMNS));
            let parts = self.weights.chunks_exact(panels).zip(self.offsets.chunks(DEPTH));
            for (index, (weights, offsets)) in parts.enumerate() {
                let right = |depth: usize, tile: usize| -> &Right {
                    self.map[offsets[depth] + starts[tile]..].first_chunk().expect("BUG: a tile beyond the map")
                };
                let products = Products { tiles: self.tiles.as_flattened_mut(), across: TILES, first: index == 0 };
                multiply::<S, true>(simd, weights, right, [offsets.len(), count], products);
            }
            self.store(simd, &starts[..count]);
        }
    }
}

impl Work<'_, '_> {
    /// Finishes the sums of some tiles and copies those inside rows into the output.
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, starts: &[usize]) {
        let of_tile = |(tile, &start): (usize, &usize)| self.direct.runs(start).map(move |run| (tile, run));
        let runs: Vec<(usize, Run)> = starts.iter().enumerate().flat_map(of_tile).collect();
        for (unit, part) in self.parts.iter_mut().enumerate() {
            let mut numbers = [[0.0; COLUMNS]; TILES];
            for (numbers, tile) in numbers.iter_mut().zip(&self.tiles[unit / ROWS][..starts.len()]) {
                *numbers = finish(simd, self.finish, unit, &tile[unit % ROWS]);
            }
            for (tile, Run { from, to, count }) in &runs {
                match part[*to..].first_chunk_mut().filter(|_| *count == COLUMNS) {
                    Some(part) => *part = numbers[*tile],
                    None => part[*to..to + count].copy_from_slice(&numbers[*tile][*from..from + count]),
                }
            }
        }
    }
}

/// Pixels of a tile that are side by side in a band of the output.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Offset in the tile.
    from: usize,
    /// Offset in the band.
    to: usize,
    count: usize,
}

impl Direct {
    /// Lists the runs of a tile; without padding it is one.
    fn runs(self, start: usize) -> impl Iterator<Item = Run> {
        let width = self.output[1];
        let whole = Run { from: 0, to: start, count: COLUMNS };
        let of_row = move |row: usize| {
            let first = start.max(row * self.pitch);
            let end = (row * self.pitch + width).min(start + COLUMNS);
            let to = row * width + first - row * self.pitch;
            end.checked_sub(first).filter(|&count| count > 0).map(|count| Run { from: first - start, to, count })
        };
        let rows = if self.pitch == width { 0..0 } else { start / self.pitch..(start + COLUMNS).div_ceil(self.pitch) };
        (self.pitch == width).then_some(whole).into_iter().chain(rows.filter_map(of_row))
    }
}
