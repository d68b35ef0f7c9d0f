//! The innermost matrix product: blocks of sums that stay in registers.
//!
//! Operands are copied beforehand into the order in which they are read. Every sum runs in order of depth, in parts
//! that start from zero. So the sizes of the operands alone decide the rounding: neither the start of a block nor the
//! width of registers changes it.

use pulp::{Simd, WithSimd};

/// Rows of a tile.
pub(crate) const ROWS: usize = 6;
/// Columns of a tile: two registers of AVX2, one of AVX-512.
pub(crate) const COLUMNS: usize = 16;
/// Depth that is multiplied at a time.
pub(crate) const DEPTH: usize = 256;

/// A panel of the left operand, `[row, depth]`. Rows are longer than needed, so that they do not share a set of the
/// cache.
pub(crate) type Left = [[f32; DEPTH + 8]; ROWS];
/// `[column]` of the right operand.
pub(crate) type Right = [f32; COLUMNS];
/// `[row, column]` of the product.
pub(crate) type Tile = [[f32; COLUMNS]; ROWS];

/// Allocates memory for `count` [`Right`]s of zeros, once it is [aligned].
pub(crate) fn rights(count: usize) -> Vec<f32> {
    vec![0.0; (count + 1) * COLUMNS]
}

/// Returns that memory from the start of a cache line, which is as long as a register of AVX-512.
pub(crate) fn aligned(rights: &mut [f32]) -> &mut [Right] {
    let start = rights.as_ptr().align_offset(size_of::<Right>()).min(COLUMNS);
    rights[start..].as_chunks_mut().0
}

/// A left operand of zeros.
pub(crate) const LEFT: Left = [[0.0; DEPTH + 8]; ROWS];
/// A product of zeros.
pub(crate) const TILE: Tile = [[0.0; COLUMNS]; ROWS];

/// Instruction sets that the product is compiled for. All give the same numbers, to the last bit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cpu {
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    V4(pulp::x86::V4),
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    V3(pulp::x86::V3),
}

impl Cpu {
    /// Returns the best instruction set of this machine; `None` if there is none, as a product without would be slower
    /// than Burn's.
    pub(crate) fn detect() -> Option<Self> {
        Self::available().next()
    }

    /// Lists the instruction sets of this machine, the best first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [pulp::x86::V4::try_new().map(Self::V4), pulp::x86::V3::try_new().map(Self::V3)];
        #[cfg(not(target_arch = "x86_64"))]
        let all = [const { None::<Self> }; 0];
        all.into_iter().flatten()
    }

    /// Runs a computation that is compiled for each instruction set.
    pub(crate) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::V4(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Self::V3(simd) => Simd::vectorize(simd, work),
        }
    }
}

/// Adds products of panels and tiles to `products`, or stores them if they are the first.
///
/// - `left`: `[panel]`
/// - `right`: the columns of a depth and a tile
/// - `sizes`: the depth, at most [`DEPTH`], and the number of tiles; with `PAIRS` one tile more may be multiplied
/// - `products`: `[panel, tile]`, `across` tiles a panel; the last panel may have fewer
#[inline(always)]
pub(crate) fn multiply<'a, S: Simd, const PAIRS: bool>(
    simd: S,
    left: &[Left],
    right: impl Fn(usize, usize) -> &'a Right,
    sizes: [usize; 2],
    products: Products<'_>,
) {
    // Sums and operands fill the registers: 32 in AVX-512, 16 in AVX2.
    match (S::F32_LANES == COLUMNS, PAIRS) {
        (true, true) => blocks::<S, 2, 2>(simd, left, right, sizes, products),
        (true, false) => blocks::<S, 4, 1>(simd, left, right, sizes, products),
        (false, _) => blocks::<S, 1, 2>(simd, left, right, sizes, products),
    }
}

/// The destination of products.
pub(crate) struct Products<'a> {
    /// `[panel, tile]`; the last panel may have fewer tiles.
    pub(crate) tiles: &'a mut [Tile],
    /// Tiles of a panel.
    pub(crate) across: usize,
    /// True for the first products, which replace the contents.
    pub(crate) first: bool,
}

/// Processes blocks of `P` panels and `N` registers in turn, then the remaining panels one by one.
#[inline(always)]
fn blocks<'a, S: Simd, const P: usize, const N: usize>(
    simd: S,
    left: &[Left],
    right: impl Fn(usize, usize) -> &'a Right,
    [depth, count]: [usize; 2],
    mut products: Products<'_>,
) {
    let (wide, rest) = left.as_chunks::<P>();
    for tile in (0..count).step_by(N * S::F32_LANES / COLUMNS) {
        let right = |depth: usize, along: usize| right(depth, tile + along);
        for (index, left) in wide.iter().enumerate() {
            let sums = block::<S, P, N>(simd, left, right, depth);
            add(simd, sums, index * P, tile, &mut products);
        }
        for (index, left) in rest.iter().enumerate() {
            let sums = block::<S, 1, N>(simd, std::array::from_ref(left), right, depth);
            add(simd, sums, wide.len() * P + index, tile, &mut products);
        }
    }
}

/// Computes the products of some panels with the columns of `N` registers.
#[inline(always)]
fn block<'a, S: Simd, const P: usize, const N: usize>(
    simd: S,
    left: &[Left; P],
    right: impl Fn(usize, usize) -> &'a Right,
    depth: usize,
) -> [[[S::f32s; N]; ROWS]; P] {
    assert!(depth <= DEPTH, "BUG: a depth that the operands do not have");
    let mut sums = [[[simd.splat_f32s(0.0); N]; ROWS]; P];
    for depth in 0..depth {
        let columns: [S::f32s; N] = std::array::from_fn(|index| {
            let column = index * S::F32_LANES;
            S::as_simd_f32s(right(depth, column / COLUMNS)).0[column % COLUMNS / S::F32_LANES]
        });
        for (sums, left) in sums.iter_mut().zip(left) {
            for (sums, left) in sums.iter_mut().zip(left) {
                let number = simd.splat_f32s(left[depth]);
                for (sum, columns) in sums.iter_mut().zip(columns) {
                    *sum = simd.mul_add_f32s(number, columns, *sum);
                }
            }
        }
    }
    sums
}

/// Adds sums to the tiles of panels from `panel` on, from `tile` on.
#[inline(always)]
fn add<S: Simd, const P: usize, const N: usize>(
    simd: S,
    sums: [[[S::f32s; N]; ROWS]; P],
    panel: usize,
    tile: usize,
    products: &mut Products<'_>,
) {
    for (index, sums) in sums.into_iter().enumerate() {
        let tiles = &mut products.tiles[(panel + index) * products.across + tile..];
        for (row, sums) in sums.into_iter().enumerate() {
            for (index, sum) in sums.into_iter().enumerate() {
                let column = index * S::F32_LANES;
                let (registers, _) = S::as_mut_simd_f32s(&mut tiles[column / COLUMNS][row]);
                let to = &mut registers[column % COLUMNS / S::F32_LANES];
                *to = if products.first { sum } else { simd.add_f32s(*to, sum) };
            }
        }
    }
}
