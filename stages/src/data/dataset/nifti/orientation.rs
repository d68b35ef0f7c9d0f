//! Places of voxels in the patient, and the axes nearest to right, front and top. Source: nifti1.h; the choices are
//! those of nibabel 5.4 (`get_best_affine`, `io_orientation`, `as_closest_canonical`).

use super::header::{Place, Qform};

/// Three rows: a voxel's indices to right, front and top in mm.
pub(super) type Affine = [[f64; 4]; 3];
type Matrix = [[f64; 3]; 3];

/// For each of right, front and top: the axis of the file and whether it runs the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axes(pub(super) [(usize, bool); 3]);

impl Place {
    /// Returns the affine: sform, else qform, else the edges alone with a first axis to the left.
    ///
    /// Errors: a quaternion longer than 1; a number that is not finite.
    pub(super) fn affine(&self, shape: [usize; 3]) -> Result<Affine, String> {
        let affine = match (self.sform, self.qform) {
            (Some(sform), _) => sform,
            (None, Some(qform)) => qform.affine(self.edges, self.mirror)?,
            (None, None) => {
                let edges = [-self.edges[0], self.edges[1], self.edges[2]];
                std::array::from_fn(|row| {
                    let mut numbers = [0.0; 4];
                    numbers[row] = edges[row];
                    numbers[3] = -edges[row] * (shape[row] as f64 - 1.0) / 2.0;
                    numbers
                })
            }
        };
        if affine.as_flattened().iter().all(|number| number.is_finite()) {
            Ok(affine)
        } else {
            Err("the file is damaged: its affine is not finite".to_owned())
        }
    }
}

impl Qform {
    fn affine(self, edges: [f64; 3], mirror: f64) -> Result<Affine, String> {
        let [b, c, d] = self.quaternion;
        let square = 1.0 - (b * b + c * c + d * d);
        if square < -3.0 * self.epsilon || square.is_nan() {
            return Err("the file is damaged: its quaternion is longer than 1".to_owned());
        }
        let a = if square.abs() < 3.0 * self.epsilon { 0.0 } else { square.sqrt() };
        let scale = 2.0 / (a * a + b * b + c * c + d * d);
        let (bb, cc, dd) = (scale * b * b, scale * c * c, scale * d * d);
        let (bc, bd, cd) = (scale * b * c, scale * b * d, scale * c * d);
        let (ab, ac, ad) = (scale * a * b, scale * a * c, scale * a * d);
        let rotation = [
            [1.0 - (cc + dd), bc - ad, bd + ac],
            [bc + ad, 1.0 - (bb + dd), cd - ab],
            [bd - ac, cd + ab, 1.0 - (bb + cc)],
        ];
        Ok(std::array::from_fn(|row| {
            let [first, second, third] = rotation[row];
            [first * edges[0], second * edges[1], third * edges[2] * mirror, self.shift[row]]
        }))
    }
}

impl Axes {
    /// Assigns each axis of the file to the direction in which it changes most, the clearest axis first.
    ///
    /// Errors: axes of which two have one direction, or one has none.
    pub(super) fn of(affine: &Affine) -> Result<Self, String> {
        let length = |axis: usize| affine.iter().map(|row| row[axis] * row[axis]).sum::<f64>().sqrt();
        let lengths = [0, 1, 2].map(length);
        let unit: Matrix = std::array::from_fn(|row| std::array::from_fn(|axis| affine[row][axis] / lengths[axis]));
        let singular = "the file is damaged: its affine maps the volume to a plane";
        let mut rotation = nearest_rotation(unit).ok_or(singular)?;
        let strongest = |axis: usize| rotation.iter().map(|row| row[axis] * row[axis]).fold(0.0, f64::max);
        let strengths = [0, 1, 2].map(strongest);
        let mut order = [0, 1, 2];
        order.sort_by(|one, other| strengths[*other].total_cmp(&strengths[*one]));
        let mut axes = [None; 3];
        for axis in order {
            let column = rotation.map(|row| row[axis]);
            // The first of equals.
            let largest = (0..3).rev().max_by(|one, other| column[*one].abs().total_cmp(&column[*other].abs()));
            let row = largest.filter(|row| column[*row].abs() > 1e-8).ok_or(singular)?;
            axes[row] = Some((axis, column[row] < 0.0));
            rotation[row] = [0.0; 3];
        }
        match axes {
            [Some(right), Some(front), Some(top)] => Ok(Self([right, front, top])),
            _ => Err(singular.to_owned()),
        }
    }

    /// Returns the shape along right, front and top.
    pub(super) fn shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.0.map(|(axis, _)| shape[axis])
    }

    /// Returns the affine of the volume whose axes run right, front and top.
    pub(super) fn affine(&self, affine: &Affine, shape: [usize; 3]) -> Affine {
        std::array::from_fn(|row| {
            let mut numbers = [0.0, 0.0, 0.0, affine[row][3]];
            for (place, (axis, flipped)) in self.0.into_iter().enumerate() {
                numbers[place] = if flipped { -affine[row][axis] } else { affine[row][axis] };
                if flipped {
                    numbers[3] += affine[row][axis] * (shape[axis] as f64 - 1.0);
                }
            }
            numbers
        })
    }
}

/// Returns the orthogonal factor of the polar decomposition, `None` for a singular matrix.
///
/// Newton's iteration, each step the mean of a matrix and its inverse transposed. Source: Higham 1986.
fn nearest_rotation(mut matrix: Matrix) -> Option<Matrix> {
    for _ in 0..100 {
        let inverse = inverse_transposed(&matrix)?;
        let mut change = 0.0_f64;
        for (number, other) in matrix.as_flattened_mut().iter_mut().zip(inverse.as_flattened()) {
            let mean = f64::midpoint(*number, *other);
            change = change.max((mean - *number).abs());
            *number = mean;
        }
        if change < 1e-15 {
            break;
        }
    }
    matrix.as_flattened().iter().all(|number| number.is_finite()).then_some(matrix)
}

/// Returns the inverse, transposed: cofactors over the determinant.
fn inverse_transposed(matrix: &Matrix) -> Option<Matrix> {
    let cofactor = |row: usize, column: usize| {
        let (r1, r2, c1, c2) = ((row + 1) % 3, (row + 2) % 3, (column + 1) % 3, (column + 2) % 3);
        matrix[r1][c1] * matrix[r2][c2] - matrix[r1][c2] * matrix[r2][c1]
    };
    let cofactors: Matrix = std::array::from_fn(|row| std::array::from_fn(|column| cofactor(row, column)));
    let determinant: f64 = (0..3).map(|column| matrix[0][column] * cofactors[0][column]).sum();
    // Of unit columns, so that this is the volume of a skewed cube.
    (determinant.abs() > 1e-12).then(|| cofactors.map(|row| row.map(|number| number / determinant)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_permutes_axes() {
        // The first axis runs to the front, the second to the left, the third to the top.
        let affine = [[0.0, -2.0, 0.0, 5.0], [3.0, 0.0, 0.0, 6.0], [0.0, 0.0, 4.0, 7.0]];
        let axes = Axes::of(&affine).unwrap();
        assert_eq!(axes, Axes([(1, true), (0, false), (2, false)]));
        assert_eq!(axes.shape([10, 20, 30]), [20, 10, 30]);
        let expected = [[2.0, 0.0, 0.0, 5.0 - 2.0 * 19.0], [0.0, 3.0, 0.0, 6.0], [0.0, 0.0, 4.0, 7.0]];
        assert_eq!(axes.affine(&affine, [10, 20, 30]), expected);
    }

    #[test]
    fn two_axes_of_one_direction_are_an_error() {
        let affine = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        assert!(Axes::of(&affine).unwrap_err().starts_with("the file is damaged: its affine"));
    }
}
