//! The innermost product: a tile of 6 × 16 numbers that stays in registers while the sums run.
//!
//! Operands are copied beforehand into the order in which they are read. The sum of every number of a tile runs in order of
//! depth, in blocks that start from zero, so that nothing but the operands' sizes decides how numbers are rounded.

use pulp::{Simd, WithSimd};

/// Rows of a tile.
pub(crate) const ROWS: usize = 6;
/// Columns of a tile: two registers of AVX2.
pub(crate) const COLUMNS: usize = 16;
/// Depth that is multiplied at a time.
pub(crate) const DEPTH: usize = 256;

/// `[row, depth]` of the left operand. Rows are longer than needed, so that they do not meet in one set of the cache.
pub(crate) type Left = [[f32; DEPTH + 8]; ROWS];
/// `[column]` of the right operand.
pub(crate) type Right = [f32; COLUMNS];
/// `[row, column]` of the product.
pub(crate) type Tile = [[f32; COLUMNS]; ROWS];

/// A left operand of zeros.
pub(crate) const LEFT: Left = [[0.0; DEPTH + 8]; ROWS];
/// A product of zeros.
pub(crate) const TILE: Tile = [[0.0; COLUMNS]; ROWS];

/// Instructions of this machine that the product is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    #[cfg(target_arch = "x86_64")]
    simd: pulp::x86::V3,
    #[cfg(not(target_arch = "x86_64"))]
    simd: std::convert::Infallible,
}

impl Cpu {
    /// AVX2 with FMA; `None` where the machine has none, as a product without them would be slower than Burn's.
    pub(crate) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return pulp::x86::V3::try_new().map(|simd| Self { simd });
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Runs something that was compiled for those instructions.
    pub(crate) fn run<W: WithSimd>(self, work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        return Simd::vectorize(self.simd, work);
        #[cfg(not(target_arch = "x86_64"))]
        match self.simd {}
    }
}

/// Adds a product to a tile, or puts it there if it is the first.
///
/// `right` is `[depth, tile, column]`, of which one tile is read, and no deeper than [`DEPTH`].
#[inline(always)]
pub(crate) fn multiply<S: Simd, const W: usize>(
    simd: S,
    left: &Left,
    right: &[[Right; W]],
    tile: usize,
    product: &mut Tile,
    first: bool,
) {
    const REGISTERS: usize = 2;
    assert_eq!(REGISTERS * S::F32_LANES, COLUMNS, "BUG: registers of another width");
    assert!(tile < W && right.len() <= DEPTH, "BUG: a tile or a depth that the operands do not have");
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    for (depth, row) in (0..DEPTH).zip(right) {
        let (columns, _) = S::as_simd_f32s(&row[tile]);
        let columns: [S::f32s; REGISTERS] = [columns[0], columns[1]];
        for (sums, left) in sums.iter_mut().zip(left) {
            let number = simd.splat_f32s(left[depth]);
            for (sum, columns) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_f32s(number, columns, *sum);
            }
        }
    }
    for (row, sums) in product.iter_mut().zip(sums) {
        let (columns, _) = S::as_mut_simd_f32s(row);
        for (column, sum) in columns.iter_mut().zip(sums) {
            *column = if first { sum } else { simd.add_f32s(*column, sum) };
        }
    }
}
