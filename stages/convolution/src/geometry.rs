//! Which numbers of the input a place of the output sees.

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
    /// Steps between places.
    pub(crate) stride: [usize; 2],
    /// Zeros around the input, on each side.
    pub(crate) padding: [usize; 2],
    /// Steps between the weights of a kernel.
    pub(crate) dilation: [usize; 2],
}

impl Geometry {
    /// Height and width of the output; `None` where the kernel is larger than the padded input.
    pub(crate) fn output(&self) -> Option<[usize; 2]> {
        let length = |axis: usize| {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            let room = (self.size[axis] + 2 * self.padding[axis]).checked_sub(reach)?;
            Some(room / self.stride[axis] + 1)
        };
        Some([length(0)?, length(1)?])
    }

    /// Numbers that a place of the output is a sum of: one for each channel and weight of the kernel.
    pub(crate) fn depth(&self) -> usize {
        self.channels * self.taps()
    }

    /// Weights of one channel of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Numbers in one channel of the input that was [sorted](Self::sort).
    pub(crate) fn plane(&self) -> usize {
        self.size[0] * self.pitch()
    }

    /// Numbers in a row of the input that was sorted: as many for each of the columns between two steps.
    fn pitch(&self) -> usize {
        self.size[1].next_multiple_of(self.stride[1])
    }

    /// The input with the columns of each row in the order 0, s, 2 s, …, 1, 1 + s, …: what is a stride apart is side by side.
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

    /// The convolution that gives the gradient of the input from that of the output, by the kernel mirrored.
    ///
    /// `None` for strides, and for more padding than the kernel reaches.
    pub(crate) fn backward(&self) -> Option<Self> {
        let padding = |axis: usize| (self.dilation[axis] * (self.kernel[axis] - 1)).checked_sub(self.padding[axis]);
        let size = self.output().filter(|_| self.stride == [1, 1])?;
        let padding = [padding(0)?, padding(1)?];
        Some(Self { channels: self.units, units: self.channels, size, padding, ..*self })
    }

    /// What each weight of a channel of the kernel sees, for `places` of the output counted over rows and images.
    ///
    /// Weights are counted row by row. Runs are in channel 0 of the input that was [sorted](Self::sort).
    pub(crate) fn runs(&self, places: Range<usize>, output: [usize; 2], runs: &mut Runs) {
        let lines = lines(places.clone(), output);
        runs.clear();
        for tap in 0..self.taps() {
            let view = self.view(tap, output[1]);
            lines.iter().filter_map(|line| self.run(&view, line)).for_each(|run| runs.push(run));
            runs.close(places.len());
        }
    }

    /// Where a weight sees more than padding, in an output of so many columns.
    fn view(&self, tap: usize, columns: usize) -> View {
        let (step, padding) = (self.stride[1], self.padding[1]);
        let (down, along) = (tap / self.kernel[1] * self.dilation[0], tap % self.kernel[1] * self.dilation[1]);
        let first = padding.saturating_sub(along).div_ceil(step);
        let end = (self.size[1] + padding).saturating_sub(along).div_ceil(step).min(columns);
        let column = first * step + along - padding;
        View { down, columns: first..end, from: column % step * (self.pitch() / step) + column / step }
    }

    /// What a weight sees of a line, if it sees more than padding.
    fn run(&self, view: &View, line: &Line) -> Option<Run> {
        let row = (line.row * self.stride[0] + view.down).checked_sub(self.padding[0]);
        let row = row.filter(|&row| row < self.size[0])?;
        let (first, end) = (line.column.max(view.columns.start), view.columns.end.min(line.column + line.count));
        let count = end.checked_sub(first).filter(|&count| count > 0)?;
        let from = (line.image * self.channels * self.size[0] + row) * self.pitch() + view.from;
        Some(Run { to: line.to + first - line.column, from: from + first - view.columns.start, count })
    }
}

/// What a weight of the kernel sees of a row.
#[derive(Clone, Debug)]
struct View {
    /// Rows below the kernel's first.
    down: usize,
    /// Columns of the output whose number is in the row.
    columns: Range<usize>,
    /// Where the number of the first of them is in the sorted row.
    from: usize,
}

/// Consecutive places in one row of the output.
#[derive(Clone, Copy, Debug)]
struct Line {
    to: usize,
    image: usize,
    row: usize,
    column: usize,
    count: usize,
}

fn lines(places: Range<usize>, [rows, columns]: [usize; 2]) -> Vec<Line> {
    let mut lines = Vec::with_capacity(places.len().div_ceil(columns) + 1);
    let mut place = places.start;
    while place < places.end {
        let (line, column) = (place / columns, place % columns);
        let count = (columns - column).min(places.end - place);
        lines.push(Line { to: place - places.start, image: line / rows, row: line % rows, column, count });
        place += count;
    }
    lines
}

/// Numbers side by side in the output and in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    to: usize,
    from: usize,
    count: usize,
}

/// The runs of all weights of a channel of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    /// Places that see padding.
    padding: Vec<usize>,
    /// Where runs and padding of each weight end.
    ends: Vec<(usize, usize)>,
}

impl Runs {
    /// Number of weights.
    pub(crate) fn taps(&self) -> usize {
        self.ends.len()
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.padding.clear();
        self.ends.clear();
    }

    /// Adds a run of the weight that is not closed yet.
    fn push(&mut self, run: Run) {
        let first = self.ends.last().map_or(0, |end| end.0);
        let Some(last) = self.runs[first..].last_mut() else {
            self.padding.extend(0..run.to);
            return self.runs.push(run);
        };
        let (to, from) = (last.to + last.count, last.from + last.count);
        let gap = run.to - to;
        // Rows that are as far from each other in the input are one run: what is between them is copied too, then cleared.
        if run.from.checked_sub(from) == Some(gap) {
            last.count += gap + run.count;
        } else {
            self.runs.push(run);
        }
        self.padding.extend(to..to + gap);
    }

    fn close(&mut self, places: usize) {
        let first = self.ends.last().map_or(0, |end| end.0);
        let end = self.runs[first..].last().map_or(0, |last| last.to + last.count);
        self.padding.extend(end..places);
        self.ends.push((self.runs.len(), self.padding.len()));
    }

    /// Copies what the places see by a weight in the channel that starts `offset` numbers after channel 0, zero for padding.
    #[inline(always)]
    pub(crate) fn copy(&self, tap: usize, input: &[f32], offset: usize, row: &mut [f32]) {
        let input = &input[offset..];
        let (first, end) = (tap.checked_sub(1).map_or((0, 0), |before| self.ends[before]), self.ends[tap]);
        for run in &self.runs[first.0..end.0] {
            copy(&mut row[run.to..run.to + run.count], &input[run.from..run.from + run.count]);
        }
        for &place in &self.padding[first.1..end.1] {
            row[place] = 0.0;
        }
    }
}

/// Copies a short run without a call; the last eight numbers overlap the ones before.
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
