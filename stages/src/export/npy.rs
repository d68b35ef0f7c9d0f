//! NumPy's file format, version 1.0, for one f32 array `[height, width]`. Source: `numpy.lib.format` of NumPy.
//!
//! No crate is used: they also parse Python literals, which takes a parser generator and a C compiler. One kind of
//! array is a header and its values.

/// A header is padded to a multiple of so many bytes.
const ALIGNMENT: usize = 64;

/// Encodes grey levels as little-endian f32, row by row.
pub(super) fn encode(levels: &[u8], (height, width): (usize, usize)) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    const BEFORE: usize = 6 + 2 + 2;
    let length = (BEFORE + header.len() + 1).next_multiple_of(ALIGNMENT) - BEFORE;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(length).expect("the header is some hundred bytes at most").to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(levels.iter().flat_map(|&level| f32::from(level).to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn numpy_reads_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        std::fs::write(&path, encode(&[0, 1, 2, 253, 254, 255], (2, 3))).unwrap();
        let script = "import sys, numpy as np; a = np.load(sys.argv[1]); print(a.dtype, a.shape, a.tolist())";
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        match Command::new(python).args(["-c", script]).arg(&path).output() {
            Ok(output) if output.status.success() => {
                let expected = "float32 (2, 3) [[0.0, 1.0, 2.0], [253.0, 254.0, 255.0]]";
                assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
            }
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("ModuleNotFoundError") => {
                eprintln!("skipped: Python has no NumPy");
            }
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("skipped: there is no Python ({error})"),
        }
    }

    #[test]
    fn values_begin_at_a_multiple_of_64_bytes() {
        let bytes = encode(&[7; 6], (2, 3));
        assert_eq!((bytes.len() - 6 * 4) % ALIGNMENT, 0);
        assert_eq!(&bytes[bytes.len() - 4..], 7.0_f32.to_le_bytes());
    }
}
