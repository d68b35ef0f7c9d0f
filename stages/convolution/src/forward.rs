//! The convolution itself: weights `[unit, depth]` times the receptive fields of the output's pixels, `[depth, pixel]`.
//!
//! [`crate::direct`] reads the receptive fields from the map if that pays. Else pixels are processed in blocks. The
//! receptive fields of a block are copied into one matrix, small enough for the second-level cache, and multiplied by
//! all weights. One thread computes a block from start to end.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::direct::Direct;
use crate::geometry::{Geometry, Runs};
use crate::kernel::{COLUMNS, Cpu, DEPTH, LEFT, Left, Products, ROWS, Right, TILE, Tile, aligned, multiply, rights};

/// Tiles side by side in a block.
const TILES: usize = 8;
/// Pixels of a block.
const PIXELS: usize = TILES * COLUMNS;
/// The inputs of a block at one depth; one tile longer than needed, so that depths do not share a set of the cache.
type Row = [Right; TILES + 1];

/// The last operations on a sum before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish<'a> {
    /// One number per unit.
    pub(crate) bias: Option<&'a [f32]>,
    /// Replaces numbers below zero by zero.
    pub(crate) relu: bool,
}

/// Convolves images with weights; `geometry` must have an output.
///
/// - `input`: `[batch, channel, height, width]`
/// - `weights`: `[unit, depth]`; depth counts channels, rows and columns of the kernel
/// - returns: `[batch, unit, height, width]`
pub(crate) fn convolve(cpu: Cpu, geometry: &Geometry, input: &[f32], weights: &[f32], finish: Finish<'_>) -> Vec<f32> {
    let output = geometry.output().expect("BUG: a convolution without an output was not refused");
    match Direct::new(geometry, output) {
        Some(direct) => direct.convolve(cpu, geometry, input, weights, finish),
        None => copied(cpu, geometry, output, input, weights, finish),
    }
}

/// [`convolve`] by copies of receptive fields, to an output of any height and width.
pub(crate) fn copied(
    cpu: Cpu,
    geometry: &Geometry,
    output: [usize; 2],
    input: &[f32],
    weights: &[f32],
    finish: Finish<'_>,
) -> Vec<f32> {
    let plane = output[0] * output[1];
    let panels = geometry.units.div_ceil(ROWS);
    let (input, weights) = (&*geometry.sort(input), pack(geometry, weights));
    let mut numbers = vec![0.0; geometry.batch * geometry.units * plane];
    blocks(&mut numbers, geometry, plane).into_par_iter().for_each_init(
        || Scratch::new(panels),
        |scratch, block| cpu.run(Work { geometry, input, output, weights: &weights, finish, block, scratch }),
    );
    numbers
}

/// Copies weights into the order of the multiplication: `[block of depth, panel of units]`.
pub(crate) fn pack(geometry: &Geometry, weights: &[f32]) -> Vec<Left> {
    let (depth, panels) = (geometry.depth(), geometry.units.div_ceil(ROWS));
    let mut packed = vec![LEFT; depth.div_ceil(DEPTH) * panels];
    packed.par_iter_mut().enumerate().for_each(|(index, left)| {
        let (start, first) = (index / panels * DEPTH, index % panels * ROWS);
        let count = DEPTH.min(depth - start);
        for (row, of_unit) in left.iter_mut().zip(weights.chunks_exact(depth).skip(first)) {
            row[..count].copy_from_slice(&of_unit[start..start + count]);
        }
    });
    packed
}

/// Consecutive pixels of the output, counted over images, and the memory of their results.
struct Block<'a> {
    pixels: Range<usize>,
    /// One part per unit for each image that the pixels are in.
    parts: Vec<&'a mut [f32]>,
}

fn blocks<'a>(numbers: &'a mut [f32], geometry: &Geometry, plane: usize) -> Vec<Block<'a>> {
    let total = geometry.batch * plane;
    let range = |index: usize| index * PIXELS..total.min((index + 1) * PIXELS);
    let mut blocks: Vec<Block<'a>> =
        (0..total.div_ceil(PIXELS)).map(|index| Block { pixels: range(index), parts: Vec::new() }).collect();
    for (index, mut rest) in numbers.chunks_exact_mut(plane).enumerate() {
        let mut pixel = index / geometry.units * plane;
        while !rest.is_empty() {
            let block = &mut blocks[pixel / PIXELS];
            let count = rest.len().min(block.pixels.end - pixel);
            let (part, others) = rest.split_at_mut(count);
            block.parts.push(part);
            rest = others;
            pixel += count;
        }
    }
    blocks
}

/// The buffers of one thread.
struct Scratch {
    runs: Runs,
    /// Rows `[depth]`, once they are [aligned].
    right: Vec<f32>,
    /// `[panel, tile]`.
    tiles: Vec<[Tile; TILES]>,
}

impl Scratch {
    fn new(panels: usize) -> Self {
        Self { runs: Runs::default(), right: rights(DEPTH * (TILES + 1)), tiles: vec![[TILE; TILES]; panels] }
    }
}

/// The computation of all units of one block.
struct Work<'a, 'b> {
    geometry: &'a Geometry,
    input: &'a [f32],
    output: [usize; 2],
    weights: &'a [Left],
    finish: Finish<'a>,
    block: Block<'b>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Scratch { runs, right, tiles } = &mut *self.scratch;
        let right: &mut [Row] = aligned(right).as_chunks_mut().0;
        let count = self.block.pixels.len().div_ceil(COLUMNS);
        self.geometry.runs(self.block.pixels.clone(), self.output, runs);
        let (panels, depth) = (tiles.len(), self.geometry.depth());
        for (index, weights) in self.weights.chunks_exact(panels).enumerate() {
            let depths = index * DEPTH..depth.min((index + 1) * DEPTH);
            let right = &mut right[..depths.len()];
            for (row, depth) in right.iter_mut().zip(depths) {
                let (channel, tap) = (depth / runs.taps(), depth % runs.taps());
                runs.copy(tap, self.input, channel * self.geometry.plane(), row.as_flattened_mut());
            }
            let right = &*right;
            let products = Products { tiles: tiles.as_flattened_mut(), across: TILES, first: index == 0 };
            multiply::<S, true>(simd, weights, |depth, tile| &right[depth][tile], [right.len(), count], products);
        }
        store(simd, self.geometry.units, self.finish, tiles, &mut self.block.parts);
    }
}

/// Finishes the sums of a block and copies them into the output.
#[inline(always)]
fn store<S: Simd>(simd: S, units: usize, finishing: Finish<'_>, tiles: &[[Tile; TILES]], parts: &mut [&mut [f32]]) {
    for unit in 0..units {
        let mut row = [[0.0; COLUMNS]; TILES];
        for (row, tile) in row.iter_mut().zip(&tiles[unit / ROWS]) {
            *row = finish(simd, finishing, unit, &tile[unit % ROWS]);
        }
        let mut row = row.as_flattened();
        for part in parts.iter_mut().skip(unit).step_by(units) {
            let (own, others) = row.split_at(part.len());
            part.copy_from_slice(own);
            row = others;
        }
    }
}

/// Adds the bias to sums of a unit, and rectifies them.
#[inline(always)]
pub(crate) fn finish<S: Simd>(simd: S, finish: Finish<'_>, unit: usize, sums: &Right) -> Right {
    let (zero, bias) = (simd.splat_f32s(0.0), simd.splat_f32s(finish.bias.map_or(0.0, |bias| bias[unit])));
    let mut numbers = [0.0; COLUMNS];
    let ((to, _), (sums, _)) = (S::as_mut_simd_f32s(&mut numbers), S::as_simd_f32s(sums));
    for (number, &sum) in to.iter_mut().zip(sums) {
        let sum = simd.add_f32s(sum, bias);
        // NaN is not less than zero, so it stays.
        let negative = simd.less_than_f32s(sum, zero);
        *number = if finish.relu { simd.select_f32s(negative, zero, sum) } else { sum };
    }
    numbers
}
