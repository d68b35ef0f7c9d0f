//! A vector of numbers in a MATLAB file: level 5, plain or compressed, and v7.3. Sources: The MathWorks, *MAT-File
//! Format*, level 5; hdf5-pure for v7.3, which is HDF5.
//!
//! A level 5 file is a header of 128 bytes and elements of a tag (type, length) and data, padded to 8 bytes. A variable
//! is an element of type matrix; its data are elements again: flags with the class, dimensions, name, values. A
//! compressed variable is such an element in a zlib stream. Crates for level 5 lost: they had no release for long, and
//! inflate without a limit.

use std::borrow::Cow;
use std::io::Read;

use crate::data::hdf5;
use flate2::read::ZlibDecoder;

/// The most bytes of all variables, so that a small file cannot allocate all memory.
const BYTES_MAX: u64 = 1 << 26;
/// The most bytes of the variable; as numbers they may take eight times as many.
const VALUES_MAX: u64 = 1 << 23;

const HEADER: usize = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Returns the numbers of the variable `name`, or of the only variable, whatever its name.
///
/// Errors: no MATLAB file; no such variable (the variables are listed); a variable that is no vector of real numbers.
pub(crate) fn vector(bytes: &[u8], name: &str) -> Result<Vec<f64>, String> {
    let level_5 = bytes.len() >= HEADER && bytes.starts_with(b"MATLAB 5.0");
    let (shape, values) = if level_5 { level_5_variable(bytes, name)? } else { hdf5_variable(bytes, name)? };
    if shape.iter().filter(|&&length| length != 1).count() > 1 {
        return Err(format!("`{name}` has the shape {shape:?}; one number an image is expected"));
    }
    if shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length)) != Some(values.len() as u64) {
        return Err(format!("`{name}` has {} numbers for the shape {shape:?}", values.len()));
    }
    Ok(values)
}

/// Returns the index of the wanted name, of the only one that equals it in another case, or of the only one at all.
fn choose(names: &[&str], wanted: &str) -> Result<usize, String> {
    let only = (names.len() == 1).then_some(0);
    let mut alike = (0..names.len()).filter(|&index| names[index].eq_ignore_ascii_case(wanted));
    let alike = alike.next().filter(|_| alike.next().is_none());
    let index = names.iter().position(|name| *name == wanted).or(alike).or(only);
    index.ok_or_else(|| format!("it has no variable `{wanted}`; the variables are: {}", names.join(", ")))
}

fn hdf5_variable(bytes: &[u8], wanted: &str) -> Result<(Vec<u64>, Vec<f64>), String> {
    let file = hdf5::open(bytes.to_vec())?;
    let unreadable = |error: &hdf5_pure::Error| format!("cannot read `{wanted}`: {}", hdf5::sentence(error));
    let names = file.root().datasets().map_err(|error| unreadable(&error))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = names[choose(&names, wanted)?];
    let dataset = file.dataset(name).map_err(|error| unreadable(&error))?;
    hdf5::numbers(&dataset, VALUES_MAX).map_err(|problem| format!("cannot read `{name}`: {problem}"))
}

fn level_5_variable(bytes: &[u8], wanted: &str) -> Result<(Vec<u64>, Vec<f64>), String> {
    let order = match &bytes[126..HEADER] {
        b"IM" => Order::Little,
        b"MI" => Order::Big,
        _ => return Err("its header names no order of bytes".to_owned()),
    };
    let mut variables: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut left = BYTES_MAX;
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let (element, after) = Element::read(rest, order).ok_or("it is cut short")?;
        rest = after;
        match element.kind {
            MATRIX => variables.push(element.data.into()),
            COMPRESSED => {
                let mut inflated = Vec::new();
                let mut reader = ZlibDecoder::new(element.data).take(left + 1);
                reader.read_to_end(&mut inflated).map_err(|error| format!("a variable is damaged: {error}"))?;
                let too_large = || format!("its variables have more than {} MiB", BYTES_MAX >> 20);
                left = left.checked_sub(inflated.len() as u64).ok_or_else(too_large)?;
                let (element, _) = Element::read(&inflated, order).ok_or("a variable is cut short")?;
                if element.kind == MATRIX {
                    variables.push(element.data.to_vec().into());
                }
            }
            _ => {}
        }
    }
    let matrices = variables.iter().map(|data| Matrix::read(data, order));
    let mut matrices: Vec<_> = matrices.collect::<Option<_>>().ok_or("a variable is damaged")?;
    let names: Vec<&str> = matrices.iter().map(|matrix| matrix.name.as_str()).collect();
    let index = choose(&names, wanted)?;
    let Matrix { name, shape, values } = matrices.swap_remove(index);
    let values = values.ok_or_else(|| format!("`{name}` is no matrix of real numbers"))?;
    if values.data.len() as u64 > VALUES_MAX {
        return Err(format!("`{name}` has {} bytes, too many for one number an image", values.data.len()));
    }
    Ok((shape, numbers(values, order).ok_or_else(|| format!("`{name}` is damaged"))?))
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// Returns the bytes of a number from the lowest to the highest.
    fn lowest_first<const N: usize>(self, bytes: &[u8]) -> Option<[u8; N]> {
        let mut number = *bytes.first_chunk()?;
        if let Self::Big = self {
            number.reverse();
        }
        Some(number)
    }

    fn u32(self, bytes: &[u8]) -> Option<u32> {
        self.lowest_first(bytes).map(u32::from_le_bytes)
    }
}

/// A tag with its data.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl<'a> Element<'a> {
    /// Splits off the first element.
    fn read(bytes: &'a [u8], order: Order) -> Option<(Self, &'a [u8])> {
        let first = order.u32(bytes)?;
        // The tag itself holds up to four bytes, and their length in the upper half of its first word.
        if first >> 16 != 0 {
            let data = bytes.get(4..8)?.get(..(first >> 16) as usize)?;
            return Some((Self { kind: first & 0xFFFF, data }, &bytes[8..]));
        }
        let length = order.u32(bytes.get(4..)?)? as usize;
        let rest = &bytes[8..];
        let data = rest.get(..length)?;
        // Compressed elements have no padding; that of the last element may be missing.
        let padded = if first == COMPRESSED { length } else { length.next_multiple_of(8) };
        Some((Self { kind: first, data }, rest.get(padded..).unwrap_or_default()))
    }
}

/// A variable; only matrices of real numbers have values.
struct Matrix<'a> {
    name: String,
    shape: Vec<u64>,
    values: Option<Element<'a>>,
}

impl<'a> Matrix<'a> {
    fn read(data: &'a [u8], order: Order) -> Option<Self> {
        let (flags, rest) = Element::read(data, order)?;
        let flags = order.u32(flags.data)?;
        let (class, complex) = (flags & 0xFF, flags & 0x0800 != 0);
        let (shape, rest) = Element::read(rest, order)?;
        let shape =
            shape.data.chunks_exact(4).map(|length| Some(u64::from(order.u32(length)?))).collect::<Option<_>>()?;
        let (name, rest) = Element::read(rest, order)?;
        let name = String::from_utf8_lossy(name.data).into_owned();
        // Classes 6 to 15 are double, single and the integers; the rest are cells, structs, texts and sparse matrices.
        if !(6..=15).contains(&class) || complex {
            return Some(Self { name, shape, values: None });
        }
        let (values, _) = Element::read(rest, order)?;
        Some(Self { name, shape, values: Some(values) })
    }
}

/// Returns values of any stored type, as MATLAB stores doubles that are small whole numbers as bytes.
fn numbers(element: Element<'_>, order: Order) -> Option<Vec<f64>> {
    fn all<const N: usize>(data: &[u8], order: Order, number: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
        let chunks = data.chunks_exact(N);
        if !chunks.remainder().is_empty() {
            return None;
        }
        chunks.map(|chunk| order.lowest_first(chunk).map(&number)).collect()
    }
    let data = element.data;
    match element.kind {
        1 => all(data, order, |bytes| f64::from(i8::from_le_bytes(bytes))),
        2 => all(data, order, |bytes| f64::from(u8::from_le_bytes(bytes))),
        3 => all(data, order, |bytes| f64::from(i16::from_le_bytes(bytes))),
        4 => all(data, order, |bytes| f64::from(u16::from_le_bytes(bytes))),
        5 => all(data, order, |bytes| f64::from(i32::from_le_bytes(bytes))),
        6 => all(data, order, |bytes| f64::from(u32::from_le_bytes(bytes))),
        7 => all(data, order, |bytes| f64::from(f32::from_le_bytes(bytes))),
        9 => all(data, order, f64::from_le_bytes),
        12 => all(data, order, |bytes| i64::from_le_bytes(bytes) as f64),
        13 => all(data, order, |bytes| u64::from_le_bytes(bytes) as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/cvind").join(name)).unwrap()
    }

    fn reference() -> BTreeMap<String, Vec<f64>> {
        #[derive(Deserialize)]
        struct Reference {
            files: BTreeMap<String, Vec<f64>>,
        }
        let read: Reference = serde_json::from_str(include_str!("../../../tests/reference/cvind.json")).unwrap();
        read.files
    }

    /// `tests/reference/cvind.py` made the files and values.
    #[test]
    fn every_form_gives_what_scipy_and_h5py_read() {
        let reference = reference();
        assert_eq!(reference.len(), 7);
        for (name, expected) in reference {
            assert_eq!(vector(&file(&name), "cvind"), Ok(expected), "{name}");
        }
    }

    /// The words of `plain.mat` turned by hand, as a machine of the other byte order writes them.
    #[test]
    fn the_order_of_bytes_is_that_of_the_header() {
        let plain = file("plain.mat");
        let mut turned = plain[..126].to_vec();
        turned.extend(b"MI");
        let turn = |turned: &mut Vec<u8>, from: usize, to: usize, width: usize| {
            plain[from..to].chunks_exact(width).for_each(|word| turned.extend(word.iter().rev()));
        };
        // Tag of the matrix, flags with their tag, dimensions with theirs, tag of the name.
        turn(&mut turned, 128, 168, 4);
        turn(&mut turned, 168, 176, 4);
        turned.extend(&plain[176..184]);
        turn(&mut turned, 184, 192, 4);
        turn(&mut turned, 192, plain.len(), 8);
        assert_eq!(turned.len(), plain.len());
        assert_eq!(vector(&turned, "cvind"), vector(&plain, "cvind"));
    }

    #[test]
    fn a_name_is_found_in_any_case_unless_two_could_be_meant() {
        assert_eq!(choose(&["x", "CVInd"], "cvind"), Ok(1));
        assert_eq!(choose(&["CVIND", "cvind"], "cvind"), Ok(1));
        assert!(choose(&["CVIND", "CVInd"], "cvind").is_err());
        assert_eq!(choose(&["folds"], "cvind"), Ok(0));
    }

    #[test]
    fn a_missing_variable_or_one_that_is_no_vector_is_named() {
        let other = file("other.mat");
        assert_eq!(
            vector(&other, "folds").unwrap_err(),
            "it has no variable `folds`; the variables are: note, table, s, c, cvind"
        );
        assert_eq!(
            vector(&other, "table").unwrap_err(),
            "`table` has the shape [2, 3]; one number an image is expected"
        );
        assert_eq!(vector(&other, "note").unwrap_err(), "`note` is no matrix of real numbers");
        let error = vector(b"image,fold\n", "cvind").unwrap_err();
        assert_eq!(error, "it is no MATLAB v7.3 file: there is no HDF5 in it");
    }

    /// A compressed variable of zeros inflates to a thousand times its size.
    #[test]
    fn a_small_file_that_inflates_to_a_large_one_is_refused() {
        let element = |kind: u32, data: &[u8]| {
            [&kind.to_le_bytes(), &(data.len() as u32).to_le_bytes(), data, &vec![0; data.len().wrapping_neg() % 8]]
                .concat()
        };
        let zeros = |count: usize| {
            let shape = [(count as u32).to_le_bytes(), 1_u32.to_le_bytes()].concat();
            let flags = element(6, &[9_u32.to_le_bytes(), [0; 4]].concat());
            let matrix = [flags, element(5, &shape), element(1, b"cvind"), element(2, &vec![0; count])].concat();
            let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut stream, &element(MATRIX, &matrix)).unwrap();
            let stream = stream.finish().unwrap();
            [&COMPRESSED.to_le_bytes(), &(stream.len() as u32).to_le_bytes(), stream.as_slice()].concat()
        };
        let mut file = b"MATLAB 5.0 MAT-file".to_vec();
        file.resize(HEADER, b' ');
        file[126..].copy_from_slice(b"IM");
        let with = |variable: &[u8], times: usize| [&file[..], &variable.repeat(times)].concat();
        assert_eq!(vector(&with(&zeros(3), 1), "cvind"), Ok(vec![0.0; 3]));
        let large = zeros(1 << 24);
        let error = vector(&with(&large, 1), "cvind").unwrap_err();
        assert_eq!(error, "`cvind` has 16777216 bytes, too many for one number an image");
        let bomb = with(&large, 5);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert_eq!(vector(&bomb, "cvind").unwrap_err(), "its variables have more than 64 MiB");
    }

    #[test]
    fn damage_anywhere_is_an_error_or_some_numbers_but_no_panic() {
        for name in reference().into_keys() {
            let bytes = file(&name);
            for offset in 0..bytes.len() {
                let _ = vector(&bytes[..offset], "cvind");
                for flip in [0xFF, 0x01, 0x80] {
                    let mut damaged = bytes.clone();
                    damaged[offset] ^= flip;
                    let _ = vector(&damaged, "cvind");
                }
            }
        }
    }
}
