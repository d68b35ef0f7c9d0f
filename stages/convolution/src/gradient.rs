//! Gradients of a convolution.
//!
//! The gradient of the input is the convolution of the output's gradient with the mirrored kernel. The gradient of the
//! weights is a product over all pixels of all images: receptive fields, `[depth, pixel]`, times the output's gradient,
//! `[pixel, unit]`. One thread sums a number of it, over the pixels in order. To bound memory, pixels are processed in
//! parts, whose size depends on the sizes of the layer alone.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::forward::{Finish, convolve, copied};
use crate::geometry::{Geometry, Phase, Runs};
use crate::kernel::{COLUMNS, Cpu, DEPTH, LEFT, Left, Products, ROWS, Right, TILE, Tile, aligned, multiply, rights};

/// Pixels that are multiplied at a time: the depth of this product.
const PIXELS: usize = DEPTH;
/// Channels whose weights are mirrored at a time.
const CHANNELS: usize = 16;
/// Panels of depth that one thread processes at a time, at most.
const PANELS: usize = 8;
/// Parts that all panels are divided into, if there are enough, so that threads have equal shares.
const SHARES: usize = 8;
/// Numbers of the output's gradient that are transposed at a time: 4 MB.
const PART: usize = 1 << 20;

/// Computes the gradient of the input, `[batch, channel, height, width]`.
///
/// `None` for padding beyond the reach of the kernel, and for a stride with a dilation.
pub(crate) fn of_input(cpu: Cpu, geometry: &Geometry, weight: &[f32], gradient: &[f32]) -> Option<Vec<f32>> {
    let finish = Finish { bias: None, relu: false };
    if geometry.stride == [1, 1] {
        let backward = geometry.backward()?;
        return Some(convolve(cpu, &backward, gradient, &mirrored(geometry, weight, [0, 0]), finish));
    }
    // Pixels of the input a stride apart meet the same weights, so each such phase is a convolution without a stride.
    let ([down, along], [height, width]) = (geometry.stride, geometry.size);
    let phases = (0..down).flat_map(|row| (0..along).map(move |column| [row, column]));
    let phases: Vec<_> =
        phases.map(|phase| geometry.phase(phase).map(|of_phase| (phase, of_phase))).collect::<Option<_>>()?;
    let mut of_input = vec![0.0; geometry.batch * geometry.channels * height * width];
    for ([row, column], Phase { first, backward, size }) in phases {
        if backward.taps() == 0 || size.contains(&0) {
            continue;
        }
        let weights = mirrored(geometry, weight, first);
        let numbers = copied(cpu, &backward, size, gradient, &weights, finish);
        let planes = numbers.par_chunks_exact(size[0] * size[1]);
        of_input.par_chunks_exact_mut(height * width).zip(planes).for_each(|(of_plane, numbers)| {
            let rows = of_plane.chunks_exact_mut(width).skip(row).step_by(down);
            for (to, from) in rows.zip(numbers.chunks_exact(size[1])) {
                to[column..].iter_mut().step_by(along).zip(from).for_each(|(to, from)| *to = *from);
            }
        });
    }
    Some(of_input)
}

/// Returns the weights a stride apart from the first on, `[channel, unit]`, in the reverse order of rows and columns.
fn mirrored(geometry: &Geometry, weight: &[f32], first: [usize; 2]) -> Vec<f32> {
    let (taps, [height, width]) = (geometry.taps(), geometry.kernel);
    let rows = (first[0]..height).step_by(geometry.stride[0]).rev();
    let places: Vec<usize> = rows
        .flat_map(|row| (first[1]..width).step_by(geometry.stride[1]).rev().map(move |column| row * width + column))
        .collect();
    let (units, count) = (geometry.units, places.len());
    let mut mirrored = vec![0.0; geometry.channels * units * count];
    // Some channels at a time, as the weights of one unit lie side by side.
    mirrored.par_chunks_mut(CHANNELS * units * count).enumerate().for_each(|(block, of_channels)| {
        for unit in 0..units {
            let of_unit = weight[unit * geometry.depth()..].chunks_exact(taps).skip(block * CHANNELS);
            for (of_channel, from) in of_channels.chunks_exact_mut(units * count).zip(of_unit) {
                let to = &mut of_channel[unit * count..(unit + 1) * count];
                to.iter_mut().zip(&places).for_each(|(to, place)| *to = from[*place]);
            }
        }
    });
    mirrored
}

/// Computes the gradient of the weights, `[unit, channel, height, width]` of the kernel.
pub(crate) fn of_weight(cpu: Cpu, geometry: &Geometry, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    let output = geometry.output().expect("BUG: a convolution without an output was not refused");
    let input = &*geometry.sort(input);
    let (depth, units) = (geometry.depth(), geometry.units);
    let (panels, across) = (depth.div_ceil(ROWS), units.div_ceil(COLUMNS));
    // Which thread computes a sum does not change it.
    let share = panels.div_ceil(SHARES).next_multiple_of(2).min(PANELS);
    let mut tiles: Vec<Tile> = vec![TILE; panels * across];
    let total = geometry.batch * output[0] * output[1];
    let part = (PART / units / PIXELS).max(1) * PIXELS;
    // The identity convolution of the gradient, whose runs transpose it.
    let turn = Geometry {
        channels: units,
        size: output,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        ..*geometry
    };
    let mut turned = rights(part.min(total.next_multiple_of(PIXELS)) * across);
    let turned: &mut [Turned] = aligned(&mut turned).as_chunks_mut().0;
    for start in (0..total).step_by(part) {
        let pixels = start..total.min(start + part);
        let chunks = chunks(pixels);
        let turned = &mut turned[..chunks.len() * across];
        turned.par_chunks_mut(across).zip(&chunks).for_each(|(right, pixels)| {
            cpu.run(Turn { geometry: &turn, gradient, pixels: pixels.clone(), right });
        });
        let turned = &*turned;
        let runs_of = |pixels: &Range<usize>| {
            let mut runs = Runs::default();
            geometry.runs(pixels.clone(), output, &mut runs);
            runs
        };
        let runs: Vec<Runs> = chunks.par_iter().map(runs_of).collect();
        tiles.par_chunks_mut(share * across).enumerate().for_each_init(
            || vec![LEFT; share],
            |left, (index, tiles)| {
                let first = index * share;
                cpu.run(Work { geometry, input, chunks: &chunks, runs: &runs, turned, across, first, tiles, left });
            },
        );
    }
    let mut of_weight = vec![0.0; units * depth];
    of_weight.par_chunks_mut(COLUMNS * depth).enumerate().for_each(|(column, of_units)| {
        for (panel, tile) in tiles.iter().skip(column).step_by(across).enumerate() {
            for (unit, of_unit) in of_units.chunks_exact_mut(depth).enumerate() {
                let numbers = of_unit[panel * ROWS..].iter_mut();
                numbers.zip(tile).for_each(|(number, row)| *number = row[unit]);
            }
        }
    });
    of_weight
}

/// Computes the gradient of the bias: the sum over all pixels, a thousand at a time so that rounding errors stay small.
pub(crate) fn of_bias(cpu: Cpu, units: usize, plane: usize, gradient: &[f32]) -> Vec<f32> {
    let of_unit = |unit: usize| {
        let planes = gradient.chunks_exact(plane).skip(unit).step_by(units);
        planes.flat_map(|plane| plane.chunks(1024)).map(|numbers| cpu.run(Sum { numbers })).sum()
    };
    (0..units).into_par_iter().map(of_unit).collect()
}

/// A sum in sixteen lanes.
struct Sum<'a> {
    numbers: &'a [f32],
}

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f32 {
        let (lanes, rest) = self.numbers.as_chunks::<16>();
        let mut sums = [0.0; 16];
        lanes.iter().for_each(|lane| sums.iter_mut().zip(lane).for_each(|(sum, number)| *sum += number));
        sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
    }
}

/// Computes the gradient before a ReLU from that after it and the output of the ReLU.
pub(crate) fn before_relu(cpu: Cpu, gradient: &mut [f32], output: &[f32]) {
    gradient.par_chunks_mut(1 << 14).zip(output.par_chunks(1 << 14)).for_each(|(gradient, output)| {
        cpu.run(BeforeRelu { gradient, output });
    });
}

/// Clears the gradients of outputs that are not above zero.
struct BeforeRelu<'a> {
    gradient: &'a mut [f32],
    output: &'a [f32],
}

impl WithSimd for BeforeRelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.gradient.iter_mut().zip(self.output).for_each(|(gradient, &output)| {
            *gradient = if output > 0.0 { *gradient } else { 0.0 };
        });
    }
}

fn chunks(pixels: Range<usize>) -> Vec<Range<usize>> {
    let end = pixels.end;
    pixels.step_by(PIXELS).map(|start| start..end.min(start + PIXELS)).collect()
}

/// A panel of the output's gradient, `[pixel, unit]`.
type Turned = [Right; PIXELS];

/// Transposes `[unit, pixel]` to panels of `[pixel, unit]`.
struct Turn<'a> {
    geometry: &'a Geometry,
    gradient: &'a [f32],
    pixels: Range<usize>,
    right: &'a mut [Turned],
}

impl WithSimd for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let mut runs = Runs::default();
        let count = self.pixels.len();
        self.geometry.runs(self.pixels, self.geometry.size, &mut runs);
        let mut rows = [[0.0; PIXELS]; COLUMNS];
        for (panel, right) in self.right.iter_mut().enumerate() {
            for (column, row) in rows.iter_mut().enumerate() {
                let unit = panel * COLUMNS + column;
                if unit < self.geometry.channels {
                    runs.copy(0, self.gradient, unit * self.geometry.plane(), &mut row[..count]);
                } else {
                    row.fill(0.0);
                }
            }
            for (pixel, numbers) in right[..count].iter_mut().enumerate() {
                *numbers = std::array::from_fn(|column| rows[column][pixel]);
            }
        }
    }
}

/// The computation of some panels of depth, for all units.
struct Work<'a> {
    geometry: &'a Geometry,
    input: &'a [f32],
    chunks: &'a [Range<usize>],
    /// `[chunk]`.
    runs: &'a [Runs],
    /// `[chunk, across]`.
    turned: &'a [Turned],
    across: usize,
    first: usize,
    /// `[panel, across]`.
    tiles: &'a mut [Tile],
    /// The buffer of one thread, `[panel]`.
    left: &'a mut [Left],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let panels = self.tiles.len() / self.across;
        let chunks = self.chunks.iter().zip(self.runs).zip(self.turned.chunks_exact(self.across));
        for ((chunk, runs), right) in chunks {
            let rows = self.left[..panels].as_flattened_mut();
            for (row, depth) in rows.iter_mut().zip(self.first * ROWS..self.geometry.depth()) {
                let (channel, tap) = (depth / runs.taps(), depth % runs.taps());
                runs.copy(tap, self.input, channel * self.geometry.plane(), &mut row[..chunk.len()]);
            }
            let (left, across) = (&self.left[..panels], self.across);
            let even = across / 2 * 2;
            let products = Products { tiles: &mut *self.tiles, across, first: false };
            multiply::<S, true>(simd, left, |pixel, column| &right[column][pixel], [chunk.len(), even], products);
            let products = Products { tiles: &mut self.tiles[even..], across, first: false };
            let last = |pixel: usize, column: usize| &right[even + column][pixel];
            multiply::<S, false>(simd, left, last, [chunk.len(), across - even], products);
        }
    }
}
