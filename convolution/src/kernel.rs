//! The innermost product: a tile of 6 × 16 numbers that stays in registers while the sums run.
//!
//! Operands are copied beforehand into the order in which they are read. The sum of every number of a tile runs in order of
//! depth, in blocks that start from zero, so that nothing but the operands' sizes decides how numbers are rounded.

use pulp::{Simd, WithSimd};

/// Rows of a tile.
pub(crate) const ROWS: usize = 6;
/// Columns of a tile: two registers of AVX2.
pub(crate) const COLUMNS: usize = 16;
/// Depth of a block of operands.
pub(crate) const STEP: usize = 8;

/// `[row, depth]` of the left operand.
pub(crate) type Left = [[f32; STEP]; ROWS];
/// `[depth, column]` of the right operand.
pub(crate) type Right = [[f32; COLUMNS]; STEP];
/// `[row, column]` of the product.
pub(crate) type Tile = [[f32; COLUMNS]; ROWS];

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

/// Adds the product of two panels of equal depth to a tile.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(simd: S, left: &[Left], right: &[Right], tile: &mut Tile) {
    const REGISTERS: usize = 2;
    assert_eq!(REGISTERS * S::F32_LANES, COLUMNS, "BUG: registers of another width");
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    for (left, right) in left.iter().zip(right) {
        for depth in 0..STEP {
            let (columns, _) = S::as_simd_f32s(&right[depth]);
            let columns: [S::f32s; REGISTERS] = [columns[0], columns[1]];
            for row in 0..ROWS {
                let number = simd.splat_f32s(left[row][depth]);
                for register in 0..REGISTERS {
                    sums[row][register] = simd.mul_add_f32s(number, columns[register], sums[row][register]);
                }
            }
        }
    }
    for row in 0..ROWS {
        let (columns, _) = S::as_mut_simd_f32s(&mut tile[row]);
        for register in 0..REGISTERS {
            columns[register] = simd.add_f32s(columns[register], sums[row][register]);
        }
    }
}
