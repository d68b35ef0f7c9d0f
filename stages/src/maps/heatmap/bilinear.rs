//! Bilinear resampling of f32 values, as PyTorch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing.

/// From one size to another: what the sizes decide is found once for all maps.
pub(super) struct Bilinear {
    /// By the row of the result.
    rows: Vec<Tap>,
    /// Columns of the result from left to right.
    columns: Vec<Span>,
    /// Columns of what is resized.
    from_width: usize,
    /// Columns of the result.
    width: usize,
}

/// Target positions that follow each other and lie between the same two source positions.
struct Span {
    first: usize,
    second: usize,
    /// The weight of the second for each of them.
    weights: Vec<f32>,
}

/// The two source positions of a target position and the weight of the second.
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

impl Bilinear {
    /// Resizes from `size` to `to`, both (height, width), at least 1.
    pub(super) fn new(size: (usize, usize), to: (usize, usize)) -> Self {
        let span = |taps: &[Tap]| {
            let weights = taps.iter().map(|tap| tap.weight).collect();
            Span { first: taps[0].first, second: taps[0].second, weights }
        };
        let columns = taps(size.1, to.1).chunk_by(|a, b| a.first == b.first).map(span).collect();
        Self { rows: taps(size.0, to.0), columns, from_width: size.1, width: to.1 }
    }

    /// Stretches every row of `values` to the width of the result; two stretched rows then make each row of it.
    pub(super) fn stretch(&self, values: &[f32], stretched: &mut Vec<f32>) {
        stretched.clear();
        for row in values.chunks_exact(self.from_width) {
            for Span { first, second, weights } in &self.columns {
                let (first, second) = (row[*first], row[*second]);
                stretched.extend(weights.iter().map(|&weight| mix(first, second, weight)));
            }
        }
    }

    /// Makes some rows of the result in `row`, and gives each to `take` with its number.
    #[inline(always)]
    pub(super) fn rows(
        &self,
        stretched: &[f32],
        wanted: impl Iterator<Item = usize>,
        row: &mut Vec<f32>,
        mut take: impl FnMut(usize, &[f32]),
    ) {
        let width = self.width;
        row.resize(width, 0.0);
        for number in wanted {
            let tap = &self.rows[number];
            let [first, second] = [tap.first, tap.second].map(|from| &stretched[from * width..(from + 1) * width]);
            for ((out, &first), &second) in row.iter_mut().zip(first).zip(second) {
                *out = mix(first, second, tap.weight);
            }
            take(number, row);
        }
    }
}

#[inline(always)]
fn mix(first: f32, second: f32, weight: f32) -> f32 {
    (1.0 - weight) * first + weight * second
}

/// Pixel centres lie at half-integer positions; positions beyond the first and last centre take their value.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let step = from as f32 / to as f32;
    (0..to)
        .map(|target| {
            let position = (step * (target as f32 + 0.5) - 0.5).max(0.0);
            let first = (position as usize).min(from - 1);
            let second = (first + 1).min(from - 1);
            Tap { first, second, weight: (position - first as f32).clamp(0.0, 1.0) }
        })
        .collect()
}
