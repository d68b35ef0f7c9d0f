//! Which numbers of the input a place of the output sees.

use std::ops::Range;

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

    /// Numbers in one channel of the input.
    pub(crate) fn plane(&self) -> usize {
        self.size[0] * self.size[1]
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

    /// The runs that one weight of the kernel sees, for `places` of the output counted over rows and images.
    ///
    /// `tap` counts the weights of a channel row by row. Places whose number is padding have no run. Runs are for channel 0.
    pub(crate) fn runs(&self, tap: usize, places: Range<usize>, output: [usize; 2], runs: &mut Runs) {
        let [rows, columns] = output;
        let [height, width] = self.size;
        runs.clear(self.stride[1]);
        let (down, along) = (tap / self.kernel[1] * self.dilation[0], tap % self.kernel[1] * self.dilation[1]);
        let step = self.stride[1];
        // Columns of the output whose number is inside the row.
        let left = self.padding[1].saturating_sub(along).div_ceil(step);
        let right = (width + self.padding[1]).saturating_sub(along).div_ceil(step).min(columns);
        let mut place = places.start;
        while place < places.end {
            let (line, column) = (place / columns, place % columns);
            let end = columns.min(column + places.end - place);
            let (image, row) = (line / rows, line % rows);
            let y = (row * self.stride[0] + down).wrapping_sub(self.padding[0]);
            let (first, last) = (column.max(left), end.min(right));
            if y < height && first < last {
                let start = (image * self.channels * height + y) * width + first * step + along - self.padding[1];
                runs.push(Run { to: place - places.start + first - column, from: start, count: last - first });
            }
            place += end - column;
        }
        runs.close(places.len());
    }
}

/// Numbers side by side in the output, and in the input but for the stride.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    to: usize,
    from: usize,
    count: usize,
}

/// The runs of one weight of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    step: usize,
    runs: Vec<Run>,
    /// First and number of the places between runs, which see padding.
    gaps: Vec<(usize, usize)>,
}

impl Runs {
    fn clear(&mut self, step: usize) {
        self.step = step;
        self.runs.clear();
        self.gaps.clear();
    }

    fn push(&mut self, run: Run) {
        let last = self.runs.last_mut();
        let end = last.as_ref().map_or(0, |last| last.to + last.count);
        if end < run.to {
            self.gaps.push((end, run.to - end));
        } else if let Some(last) = last.filter(|last| self.step == 1 && last.from + last.count == run.from) {
            last.count += run.count;
            return;
        }
        self.runs.push(run);
    }

    fn close(&mut self, places: usize) {
        let end = self.runs.last().map_or(0, |last| last.to + last.count);
        if end < places {
            self.gaps.push((end, places - end));
        }
    }

    /// Copies what the places see in the channel that starts `offset` numbers after channel 0, zero for padding.
    #[inline(always)]
    pub(crate) fn copy(&self, input: &[f32], offset: usize, row: &mut [f32]) {
        for &(first, count) in &self.gaps {
            row[first..first + count].iter_mut().for_each(|number| *number = 0.0);
        }
        let input = &input[offset..];
        for run in &self.runs {
            let to = &mut row[run.to..run.to + run.count];
            if self.step == 1 {
                copy(to, &input[run.from..run.from + run.count]);
            } else {
                to.iter_mut().zip(input[run.from..].iter().step_by(self.step)).for_each(|(to, from)| *to = *from);
            }
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
