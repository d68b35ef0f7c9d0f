//! Points of a stage as mixed-radix codes: the first axis is the slowest digit, so ascending codes are in gather order.

use crate::spec::Spec;

/// The most points of one stage: more are a slip of the pen.
const MAX_POINTS: usize = 20_000_000;

/// The points of a stage's nodes.
#[derive(Clone, Debug)]
pub struct Points {
    /// Indices into the spec's axes, in the order of declaration.
    axes: Vec<usize>,
    /// Number of values of each axis.
    radices: Vec<u32>,
    /// The weight of each axis' digit in a code.
    weights: Vec<u32>,
    /// Existing codes, ascending; `None` if all exist.
    codes: Option<Vec<u32>>,
    total: usize,
}

impl Points {
    /// Lists all points over some axes, without those that `exclude` or `zip` removes. Errors: the number of points, if
    /// too large.
    pub(super) fn new(spec: &Spec, mut axes: Vec<usize>) -> Result<Self, usize> {
        axes.sort_unstable();
        let lengths: Vec<_> = axes.iter().map(|axis| spec.axes[*axis].values.len()).collect();
        let total = lengths.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
        let total = total.ok_or(usize::MAX)?;
        if total > MAX_POINTS {
            return Err(total);
        }
        let radices: Vec<u32> =
            lengths.iter().map(|length| u32::try_from(*length).expect("at most MAX_POINTS")).collect();
        // Weights may overflow where an axis has no values: then there are no codes.
        let weight = |position: usize| {
            radices[position + 1..].iter().fold(1, |product: u32, radix| product.wrapping_mul(*radix))
        };
        let weights = (0..radices.len()).map(weight).collect();
        let mut points = Self { axes, radices, weights, codes: None, total };
        let filter = Filter::new(spec, &points.axes);
        if !filter.is_empty() {
            let last = u32::try_from(total).expect("at most MAX_POINTS");
            points.codes = Some((0..last).filter(|code| filter.keeps(&points, *code)).collect());
        }
        Ok(points)
    }

    /// Indices into the spec's axes.
    pub fn axes(&self) -> &[usize] {
        &self.axes
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.codes.as_ref().map_or(self.total, Vec::len)
    }

    /// Returns whether every point is excluded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The codes in gather order.
    pub(super) fn codes(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match &self.codes {
            Some(codes) => Box::new(codes.iter().copied()),
            None => Box::new(0..u32::try_from(self.total).expect("at most MAX_POINTS")),
        }
    }

    /// The rank of a code among the existing ones.
    pub(super) fn rank(&self, code: u32) -> Option<usize> {
        match &self.codes {
            Some(codes) => codes.binary_search(&code).ok(),
            None => Some(code as usize),
        }
    }

    /// The value index at one position of a code.
    pub fn value(&self, code: u32, position: usize) -> usize {
        (code / self.weight(position) % self.radices[position]) as usize
    }

    /// Sets the values at some positions to the first: siblings along those axes get the same code.
    pub fn without(&self, code: u32, positions: &[usize]) -> u32 {
        let steps = |position: &usize| code / self.weight(*position) % self.radices[*position] * self.weight(*position);
        code - positions.iter().map(steps).sum::<u32>()
    }

    /// The weight in a code of the digit at a position.
    pub(super) fn weight(&self, position: usize) -> u32 {
        self.weights[position]
    }

    /// Number of values of the axis at a position.
    pub(super) fn radix(&self, position: usize) -> u32 {
        self.radices[position]
    }

    /// The position of an axis of the spec among the stage's own.
    pub(super) fn position(&self, axis: usize) -> Option<usize> {
        self.axes.iter().position(|own| *own == axis)
    }
}

/// The entries of `exclude` and `zip` that concern a stage, as positions among its axes.
struct Filter {
    exclude: Vec<Vec<(usize, usize)>>,
    zip: Vec<Vec<usize>>,
}

impl Filter {
    fn new(spec: &Spec, axes: &[usize]) -> Self {
        let position = |axis: &usize| axes.iter().position(|own| own == axis);
        let exclude = spec
            .exclude
            .iter()
            .filter_map(|point| point.get_ref().iter().map(|(axis, value)| Some((position(axis)?, *value))).collect())
            .collect();
        let zip = spec.zip.iter().map(|group| group.iter().filter_map(position).collect::<Vec<_>>());
        Self { exclude, zip: zip.filter(|group| group.len() > 1).collect() }
    }

    fn is_empty(&self) -> bool {
        self.exclude.is_empty() && self.zip.is_empty()
    }

    fn keeps(&self, points: &Points, code: u32) -> bool {
        let value = |position: &usize| points.value(code, *position);
        let excluded = |point: &Vec<(usize, usize)>| point.iter().all(|(position, index)| value(position) == *index);
        let together = |group: &Vec<usize>| group.windows(2).all(|pair| value(&pair[0]) == value(&pair[1]));
        !self.exclude.iter().any(excluded) && self.zip.iter().all(together)
    }
}
