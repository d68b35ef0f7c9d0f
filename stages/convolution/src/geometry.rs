//! The receptive fields of a convolution: the numbers of the input that each pixel of the output is computed from.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

/// Sizes of a convolution without groups; lengths are in pixels, `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Geometry {
    /// Images.
    pub(crate) batch: usize,
    /// Channels of the input.
    pub(crate) channels: usize,
    /// Channels of the output.
    pub(crate) units: usize,
    /// Height and width of the input.
    pub(crate) size: [usize; 2],
    /// Height and width of the kernel.
    pub(crate) kernel: [usize; 2],
    /// Pixels of the input between neighbours of the output.
    pub(crate) stride: [usize; 2],
    /// Zeros around the input, on each side.
    pub(crate) padding: [usize; 2],
    /// Pixels of the input between neighbouring weights of a kernel.
    pub(crate) dilation: [usize; 2],
}

impl Geometry {
    /// Returns height and width of the output; `None` if the kernel is larger than the padded input.
    pub(crate) fn output(&self) -> Option<[usize; 2]> {
        let length = |axis: usize| {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            let room = (self.size[axis] + 2 * self.padding[axis]).checked_sub(reach)?;
            Some(room / self.stride[axis] + 1)
        };
        Some([length(0)?, length(1)?])
    }

    /// Returns the number of products in the sum of a pixel: one per channel and weight of the kernel.
    pub(crate) fn depth(&self) -> usize {
        self.channels * self.taps()
    }

    /// Returns the number of weights of one channel of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Returns the length of one channel of the [sorted](Self::sort) input.
    pub(crate) fn plane(&self) -> usize {
        self.size[0] * self.pitch()
    }

    /// Returns the length of a row of the sorted input: the width, rounded up to a multiple of the stride.
    fn pitch(&self) -> usize {
        self.size[1].next_multiple_of(self.stride[1])
    }

    /// Sorts the columns of each row into the order 0, s, 2 s, …, 1, 1 + s, …, so that columns a stride apart are side
    /// by side.
    pub(crate) fn sort<'a>(&self, input: &'a [f32]) -> Cow<'a, [f32]> {
        const ROWS: usize = 64;
        let (step, width, pitch) = (self.stride[1], self.size[1], self.pitch());
        if step == 1 {
            return Cow::Borrowed(input);
        }
        let mut sorted = vec![0.0; input.len() / width * pitch];
        sorted.par_chunks_mut(ROWS * pitch).zip(input.par_chunks(ROWS * width)).for_each(|(sorted, input)| {
            for (sorted, row) in sorted.chunks_exact_mut(pitch).zip(input.chunks_exact(width)) {
                for (index, numbers) in row.chunks(step).enumerate() {
                    numbers
                        .iter()
                        .zip(sorted[index..].iter_mut().step_by(pitch / step))
                        .for_each(|(from, to)| *to = *from);
                }
            }
        });
        Cow::Owned(sorted)
    }

    /// Returns the convolution of the output's gradient with the mirrored kernel, which gives the gradient of the
    /// input.
    ///
    /// `None` for strides, and for padding beyond the reach of the kernel.
    pub(crate) fn backward(&self) -> Option<Self> {
        let padding = |axis: usize| (self.dilation[axis] * (self.kernel[axis] - 1)).checked_sub(self.padding[axis]);
        let size = self.output().filter(|_| self.stride == [1, 1])?;
        let padding = [padding(0)?, padding(1)?];
        Some(Self { channels: self.units, units: self.channels, size, padding, ..*self })
    }

    /// Returns the convolution of the output's gradient with the mirrored weights that some pixels of the input meet:
    /// those a stride apart, from pixel `start` on.
    ///
    /// `None` for dilations, and for padding beyond the reach of these weights.
    pub(crate) fn phase(&self, start: [usize; 2]) -> Option<Phase> {
        let place = |axis: usize| start[axis] + self.padding[axis];
        let first = [0, 1].map(|axis| place(axis) % self.stride[axis]);
        let kernel = [0, 1].map(|axis| self.kernel[axis].saturating_sub(first[axis]).div_ceil(self.stride[axis]));
        let padding = |axis: usize| (kernel[axis].max(1) - 1).checked_sub(place(axis) / self.stride[axis]);
        let output = self.output().filter(|_| self.dilation == [1, 1])?;
        // Without weights no padding matters.
        let padding = if kernel.contains(&0) { [0, 0] } else { [padding(0)?, padding(1)?] };
        let size = [0, 1].map(|axis| self.size[axis].saturating_sub(start[axis]).div_ceil(self.stride[axis]));
        let (channels, units) = (self.units, self.channels);
        let backward = Self { channels, units, size: output, kernel, padding, stride: [1, 1], ..*self };
        Some(Phase { first, backward, size })
    }

    /// Computes the inputs of each weight of a channel, for pixels of the output counted over rows and images.
    ///
    /// Weights count row by row. Runs are in channel 0 of the [sorted](Self::sort) input.
    pub(crate) fn runs(&self, pixels: Range<usize>, output: [usize; 2], runs: &mut Runs) {
        let lines = lines(pixels.clone(), output);
        runs.clear();
        for tap in 0..self.taps() {
            let view = self.view(tap, output[1]);
            lines.iter().filter_map(|line| self.run(&view, line)).for_each(|run| runs.push(run));
            runs.close(pixels.len());
        }
    }

    /// Computes the columns of the output at which a weight meets the input rather than padding.
    fn view(&self, tap: usize, columns: usize) -> View {
        let (step, padding) = (self.stride[1], self.padding[1]);
        let (down, along) = (tap / self.kernel[1] * self.dilation[0], tap % self.kernel[1] * self.dilation[1]);
        let first = padding.saturating_sub(along).div_ceil(step);
        let end = (self.size[1] + padding).saturating_sub(along).div_ceil(step).min(columns);
        let column = first * step + along - padding;
        View { down, columns: first..end, from: column % step * (self.pitch() / step) + column / step }
    }

    /// Computes the inputs of a weight along a line; `None` if all are padding.
    fn run(&self, view: &View, line: &Line) -> Option<Run> {
        let row = (line.row * self.stride[0] + view.down).checked_sub(self.padding[0]);
        let row = row.filter(|&row| row < self.size[0])?;
        let (first, end) = (line.column.max(view.columns.start), view.columns.end.min(line.column + line.count));
        let count = end.checked_sub(first).filter(|&count| count > 0)?;
        let from = (line.image * self.channels * self.size[0] + row) * self.pitch() + view.from;
        Some(Run { to: line.to + first - line.column, from: from + first - view.columns.start, count })
    }
}

/// The gradient of input pixels a stride apart, as a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// The first weights that these pixels meet, `[row, column]`.
    pub(crate) first: [usize; 2],
    pub(crate) backward: Geometry,
    /// Height and width of these pixels.
    pub(crate) size: [usize; 2],
}

/// The part of a row that one weight of the kernel meets.
#[derive(Clone, Debug)]
struct View {
    /// Rows below the first of the kernel.
    down: usize,
    /// Columns of the output at which the weight is inside the row.
    columns: Range<usize>,
    /// The offset of the first column's number in the sorted row.
    from: usize,
}

/// Consecutive pixels in one row of the output.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Offset of the first pixel in the block.
    to: usize,
    image: usize,
    row: usize,
    column: usize,
    count: usize,
}

fn lines(pixels: Range<usize>, [rows, columns]: [usize; 2]) -> Vec<Line> {
    let mut lines = Vec::with_capacity(pixels.len().div_ceil(columns) + 1);
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        let (line, column) = (pixel / columns, pixel % columns);
        let count = (columns - column).min(pixels.end - pixel);
        lines.push(Line { to: pixel - pixels.start, image: line / rows, row: line % rows, column, count });
        pixel += count;
    }
    lines
}

/// Numbers that are side by side in a block and in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// Offset in the block.
    to: usize,
    /// Offset in the input.
    from: usize,
    count: usize,
}

/// The runs of all weights of a channel of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    /// Offsets in the block that receive padding.
    padding: Vec<usize>,
    /// The end of each weight's runs and padding in the lists above.
    ends: Vec<(usize, usize)>,
}

impl Runs {
    /// Returns the number of weights.
    pub(crate) fn taps(&self) -> usize {
        self.ends.len()
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.padding.clear();
        self.ends.clear();
    }

    /// Adds a run of the current weight.
    fn push(&mut self, run: Run) {
        let first = self.ends.last().map_or(0, |end| end.0);
        let Some(last) = self.runs[first..].last_mut() else {
            self.padding.extend(0..run.to);
            return self.runs.push(run);
        };
        let (to, from) = (last.to + last.count, last.from + last.count);
        let gap = run.to - to;
        // Runs with the same gap in the block and in the input become one: the gap is copied too, then cleared.
        if run.from.checked_sub(from) == Some(gap) {
            last.count += gap + run.count;
        } else {
            self.runs.push(run);
        }
        self.padding.extend(to..to + gap);
    }

    /// Ends the runs of the current weight, in a block of so many pixels.
    fn close(&mut self, pixels: usize) {
        let first = self.ends.last().map_or(0, |end| end.0);
        let end = self.runs[first..].last().map_or(0, |last| last.to + last.count);
        self.padding.extend(end..pixels);
        self.ends.push((self.runs.len(), self.padding.len()));
    }

    /// Copies the inputs of a weight into a row of a block, zero for padding.
    ///
    /// - `offset`: the start of the channel, from that of channel 0
    #[inline(always)]
    pub(crate) fn copy(&self, tap: usize, input: &[f32], offset: usize, row: &mut [f32]) {
        let input = &input[offset..];
        let (first, end) = (tap.checked_sub(1).map_or((0, 0), |before| self.ends[before]), self.ends[tap]);
        for run in &self.runs[first.0..end.0] {
            copy(&mut row[run.to..run.to + run.count], &input[run.from..run.from + run.count]);
        }
        for &padded in &self.padding[first.1..end.1] {
            row[padded] = 0.0;
        }
    }
}

/// Copies a short run without a call to memcpy; the last eight numbers overlap the ones before.
#[inline(always)]
fn copy(to: &mut [f32], from: &[f32]) {
    const LANES: usize = 8;
    let (chunks, _) = to.as_chunks_mut::<LANES>();
    let (numbers, _) = from.as_chunks::<LANES>();
    chunks.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from);
    match (to.last_chunk_mut::<LANES>(), from.last_chunk::<LANES>()) {
        (Some(to), Some(from)) => *to = *from,
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}
