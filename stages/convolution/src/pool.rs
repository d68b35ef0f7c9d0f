//! Max pooling: the largest number of every window, and its position.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Tensor, module};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernel::Cpu;
use crate::operation::{numbers, tensor};

/// Square windows, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Windows {
    /// Height and width of a window, at least 1.
    pub kernel: usize,
    /// Pixels between neighbouring windows, at least 1.
    pub stride: usize,
    /// Border around the map, never the largest; at most half of `kernel`.
    pub padding: usize,
    /// Keeps windows that reach over the edge.
    pub ceil: bool,
}

/// Computes the largest number of every window of every channel; NaN if the window has one.
///
/// The gradient goes to the first of equal numbers.
///
/// - `input`: `[batch, channel, height, width]`
/// - returns: the same with another height and width
pub fn max_pool2d(input: Tensor<4>, windows: Windows) -> Tensor<4> {
    if let Some(pooling) = Pooling::new(&input, windows) {
        if let Ok(input) = input.clone().try_into_primitive::<Autodiff<Flex>>() {
            let (input, node) = input.into_parts();
            let output = match Gradient.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
                OpsKind::Tracked(step) => {
                    let (output, taps) = pooling.forward::<true>(&input);
                    step.finish(Saved { pooling, taps }, output)
                }
                OpsKind::UnTracked(step) => step.finish(pooling.forward::<false>(&input).0),
            };
            return Tensor::from_primitive::<Autodiff<Flex>>(output);
        }
        if let Ok(input) = input.clone().try_into_primitive::<Flex>() {
            return Tensor::from_primitive::<Flex>(pooling.forward::<false>(&input).0);
        }
    }
    let Windows { kernel, stride, padding, ceil } = windows;
    let padding = [(padding, padding); 2];
    let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding_pairs(padding);
    module::max_pool2d(input, options.with_ceil_mode(ceil))
}

/// A pooling that this crate computes.
#[derive(Clone, Copy, Debug)]
struct Pooling {
    cpu: Cpu,
    windows: Windows,
    batch: usize,
    channels: usize,
    size: [usize; 2],
    output: [usize; 2],
}

impl Pooling {
    /// Returns `None` if Burn must compute the pooling, or refuse it.
    fn new(input: &Tensor<4>, windows: Windows) -> Option<Self> {
        let cpu = Cpu::detect()?;
        let [batch, channels, height, width] = input.dims();
        let Windows { kernel, stride, padding, ceil } = windows;
        // A byte stores the position in a window.
        let fits =
            (1..=15).contains(&kernel) && stride > 0 && padding <= kernel / 2 && batch * channels * height * width > 0;
        let length = |size: usize| {
            let room = (size + 2 * padding).checked_sub(kernel)?;
            let windows = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
            // A window that starts behind the map is empty.
            Some(if (windows - 1) * stride >= size + padding { windows - 1 } else { windows })
        };
        let output = [length(height)?, length(width)?];
        let size = [height, width];
        (fits && input.dtype() == DType::F32).then_some(Self { cpu, windows, batch, channels, size, output })
    }

    /// Computes the largest numbers and, if `POSITIONS`, their positions in the windows, counted row by row.
    fn forward<const POSITIONS: bool>(&self, input: &FlexTensor) -> (FlexTensor, Vec<u8>) {
        let input = input.to_contiguous();
        let (plane, pooled) = (self.size[0] * self.size[1], self.output[0] * self.output[1]);
        let planes = self.batch * self.channels;
        let mut largest = vec![0.0; planes * pooled];
        let mut taps = vec![0; if POSITIONS { planes * pooled } else { planes }];
        let of_plane = if POSITIONS { pooled } else { 1 };
        largest
            .par_chunks_exact_mut(pooled)
            .zip(taps.par_chunks_exact_mut(of_plane))
            .zip(numbers(&input).par_chunks_exact(plane))
            .for_each(|((largest, taps), input)| {
                self.cpu.run(Plane::<POSITIONS> { pooling: self, input, largest, taps });
            });
        (tensor(largest, [self.batch, self.channels, self.output[0], self.output[1]]), taps)
    }

    /// Adds the numbers of one channel's gradient at the positions of the largest numbers.
    fn backward(&self, taps: &[u8], gradient: &[f32], of_input: &mut [f32]) {
        let (Windows { kernel, stride, padding, .. }, width) = (self.windows, self.size[1]);
        let offset = |tap: usize| tap / kernel * width + tap % kernel;
        let offsets: Vec<usize> = (0..kernel * kernel).map(offset).collect();
        let rows = taps.chunks_exact(self.output[1]).zip(gradient.chunks_exact(self.output[1]));
        for (row, (taps, gradient)) in rows.enumerate() {
            for (column, (&tap, number)) in taps.iter().zip(gradient).enumerate() {
                let pixel = row * stride * width + column * stride + offsets[usize::from(tap)];
                of_input[pixel - padding * (width + 1)] += number;
            }
        }
    }
}

/// One channel of one image.
struct Plane<'a, const POSITIONS: bool> {
    pooling: &'a Pooling,
    input: &'a [f32],
    largest: &'a mut [f32],
    taps: &'a mut [u8],
}

impl<const POSITIONS: bool> WithSimd for Plane<'_, POSITIONS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        match (self.pooling.windows.kernel, self.pooling.windows.stride) {
            (2, 2) => self.pool::<2, 2>(),
            (3, 2) => self.pool::<3, 2>(),
            _ => self.pool::<0, 0>(),
        }
    }
}

impl<const POSITIONS: bool> Plane<'_, POSITIONS> {
    /// Pools windows of kernel `K` and stride `S` side by side; zero for all other windows, one by one.
    #[inline(always)]
    fn pool<const K: usize, const S: usize>(mut self) {
        let Pooling { windows: Windows { padding, .. }, size: [height, width], output: [rows, columns], .. } =
            *self.pooling;
        // Columns with windows inside the map.
        let first = if K == 0 { columns } else { padding.div_ceil(S).min(columns) };
        let room = (width + padding).checked_sub(K).filter(|_| K > 0);
        let end = room.map_or(first, |room| (room / S + 1).clamp(first, columns));
        for row in 0..rows {
            let y = (row * S).checked_sub(padding).filter(|y| K > 0 && y + K <= height && end - first >= LANES);
            let Some(y) = y else {
                (0..columns).for_each(|column| self.window(row, column));
                continue;
            };
            (0..first).chain(end..columns).for_each(|column| self.window(row, column));
            // The last windows overlap the ones before.
            for column in (first..end).step_by(LANES).map(|column| column.min(end - LANES)) {
                let start = y * width + column * S - padding;
                let lines = std::array::from_fn(|down| &self.input[start + down * width..]);
                let (largest, taps) = side_by_side::<K, S>(lines);
                let at = row * columns + column;
                self.largest[at..at + LANES].copy_from_slice(&largest);
                if POSITIONS {
                    self.taps[at..at + LANES].copy_from_slice(&taps.map(|tap| tap as u8));
                }
            }
        }
    }

    /// Pools one window, inside the map or at its edge.
    #[inline(always)]
    fn window(&mut self, row: usize, column: usize) {
        let Pooling { windows: Windows { kernel, stride, padding, .. }, size: [height, width], output, .. } =
            *self.pooling;
        // The part of the window that is inside the map.
        let inside = |start: usize, size: usize| padding.saturating_sub(start)..kernel.min(size + padding - start);
        let (down, along) = (inside(row * stride, height), inside(column * stride, width));
        let mut best = (f32::NEG_INFINITY, down.start * kernel + along.start);
        for tap in down.flat_map(|down| along.clone().map(move |along| down * kernel + along)) {
            let [y, x] = [row * stride + tap / kernel - padding, column * stride + tap % kernel - padding];
            let number = self.input[y * width + x];
            if number > best.0 || number.is_nan() {
                best = (number, tap);
            }
        }
        let at = row * output[1] + column;
        self.largest[at] = best.0;
        if POSITIONS {
            self.taps[at] = best.1 as u8;
        }
    }
}

/// Windows that are computed together.
const LANES: usize = 8;

/// Computes the largest numbers of windows side by side inside the map, and their positions.
///
/// - `lines`: rows of the map, from the start of the first window
#[inline(always)]
fn side_by_side<const K: usize, const S: usize>(lines: [&[f32]; K]) -> ([f32; LANES], [u32; LANES]) {
    let (mut largest, mut taps) = ([f32::NEG_INFINITY; LANES], [0; LANES]);
    for (down, line) in lines.into_iter().enumerate() {
        let line = &line[..(LANES - 1) * S + K];
        for along in 0..K {
            for lane in 0..LANES {
                let number = line[lane * S + along];
                let larger = (number > largest[lane]) | number.is_nan();
                largest[lane] = if larger { number } else { largest[lane] };
                taps[lane] = if larger { (down * K + along) as u32 } else { taps[lane] };
            }
        }
    }
    (largest, taps)
}

/// The state that the gradient is computed from.
#[derive(Clone, Debug)]
struct Saved {
    pooling: Pooling,
    taps: Vec<u8>,
}

#[derive(Debug)]
struct Gradient;

impl Backward<Flex, 1> for Gradient {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { pooling, taps } = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        let Some(node) = parent else { return };
        let ([height, width], pooled) = (pooling.size, pooling.output[0] * pooling.output[1]);
        let mut of_input = vec![0.0; pooling.batch * pooling.channels * height * width];
        of_input
            .par_chunks_exact_mut(height * width)
            .zip(taps.par_chunks_exact(pooled).zip(numbers(&gradient).par_chunks_exact(pooled)))
            .for_each(|(of_input, (taps, gradient))| pooling.backward(taps, gradient, of_input));
        gradients.register::<Flex>(node.id, tensor(of_input, [pooling.batch, pooling.channels, height, width]));
    }
}
