//! The convolution itself: weights `[unit, depth]` times what every place of the output sees, `[depth, place]`.
//!
//! Places are taken a block at a time: what they see is copied together (only so much as stays in the second cache), and
//! multiplied by all weights. A block of places is computed by one thread, from start to end.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::geometry::{Geometry, Runs};
use crate::kernel::{COLUMNS, Cpu, DEPTH, LEFT, Left, Products, ROWS, Right, TILE, Tile, aligned, multiply, rights};

/// Tiles side by side in a block of places.
const TILES: usize = 8;
const PLACES: usize = TILES * COLUMNS;
/// What a block of places sees at one depth. It is longer than needed, so that depths do not meet in one set of the cache.
type Row = [Right; TILES + 1];

/// What is done to a sum before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish<'a> {
    /// One number for each unit.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether numbers below zero become zero.
    pub(crate) relu: bool,
}

/// Convolves `input`, `[batch, channel, height, width]`, with `weights`, `[unit, depth]`, to `[batch, unit, height, width]`.
///
/// Depth counts channels, rows and columns of the kernel. `geometry` has an output.
pub(crate) fn convolve(cpu: Cpu, geometry: &Geometry, input: &[f32], weights: &[f32], finish: Finish<'_>) -> Vec<f32> {
    let output = geometry.output().expect("BUG: a convolution without an output was not refused");
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

/// Weights in the order in which they are read: `[block of depth, panel of units]`.
fn pack(geometry: &Geometry, weights: &[f32]) -> Vec<Left> {
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

/// Consecutive places, counted over images, with the part of every unit's plane that they are stored in.
struct Block<'a> {
    places: Range<usize>,
    /// For each image that the places are in, one part a unit.
    parts: Vec<&'a mut [f32]>,
}

fn blocks<'a>(numbers: &'a mut [f32], geometry: &Geometry, plane: usize) -> Vec<Block<'a>> {
    let total = geometry.batch * plane;
    let range = |index: usize| index * PLACES..total.min((index + 1) * PLACES);
    let mut blocks: Vec<Block<'a>> =
        (0..total.div_ceil(PLACES)).map(|index| Block { places: range(index), parts: Vec::new() }).collect();
    for (index, mut rest) in numbers.chunks_exact_mut(plane).enumerate() {
        let mut place = index / geometry.units * plane;
        while !rest.is_empty() {
            let block = &mut blocks[place / PLACES];
            let count = rest.len().min(block.places.end - place);
            let (part, others) = rest.split_at_mut(count);
            block.parts.push(part);
            rest = others;
            place += count;
        }
    }
    blocks
}

/// Memory of one thread.
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

/// All units at one block of places.
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
        let count = self.block.places.len().div_ceil(COLUMNS);
        self.geometry.runs(self.block.places.clone(), self.output, runs);
        let (panels, depth) = (tiles.len(), self.geometry.depth());
        for (index, weights) in self.weights.chunks_exact(panels).enumerate() {
            let depths = index * DEPTH..depth.min((index + 1) * DEPTH);
            let right = &mut right[..depths.len()];
            for (row, depth) in right.iter_mut().zip(depths) {
                let (channel, tap) = (depth / runs.taps(), depth % runs.taps());
                runs.copy(tap, self.input, channel * self.geometry.plane(), row.as_flattened_mut());
            }
            let products = Products { tiles: tiles.as_flattened_mut(), across: TILES, first: index == 0 };
            multiply(simd, weights, right, count, products);
        }
        store(simd, self.geometry.units, self.finish, tiles, &mut self.block.parts);
    }
}

/// Finishes sums and puts them where they belong.
#[inline(always)]
fn store<S: Simd>(simd: S, units: usize, finish: Finish<'_>, tiles: &[[Tile; TILES]], parts: &mut [&mut [f32]]) {
    let zero = simd.splat_f32s(0.0);
    for unit in 0..units {
        let bias = simd.splat_f32s(finish.bias.map_or(0.0, |bias| bias[unit]));
        let mut row = [[0.0; COLUMNS]; TILES];
        for (row, tile) in row.iter_mut().zip(&tiles[unit / ROWS]) {
            let ((row, _), (sums, _)) = (S::as_mut_simd_f32s(row), S::as_simd_f32s(&tile[unit % ROWS]));
            for (number, &sum) in row.iter_mut().zip(sums) {
                let sum = simd.add_f32s(sum, bias);
                // NaN is not less than zero, and stays.
                let negative = simd.less_than_f32s(sum, zero);
                *number = if finish.relu { simd.select_f32s(negative, zero, sum) } else { sum };
            }
        }
        let mut row = row.as_flattened();
        for part in parts.iter_mut().skip(unit).step_by(units) {
            let (own, others) = row.split_at(part.len());
            part.copy_from_slice(own);
            row = others;
        }
    }
}
