//! Files of weights that other people published: safetensors, and what `torch.save` wrote (`.pth`, `.pt`).
//!
//! A `.pth` file is a pickle, which for Python is a program. Nothing of it is executed: Burn's reader takes dictionaries,
//! lists, numbers and tensors out of it and passes over all else. It bounds depth, copies and lengths; here the tensors of a
//! file are bounded by its size, as a pickle may declare one number to be a tensor of billions.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::store::pytorch::PytorchReader;
use burn::store::pytorch_reader::{DType, Tensor};
use burn::tensor::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::tensors::{Tensors, Values};

/// The types of floats that are read; all become f32.
#[derive(Clone, Copy)]
enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

/// Reads the tensors of a state dict whose names are wanted, as f32: 16-bit floats exactly, 64-bit ones rounded.
///
/// The layout of a file is found by its contents: safetensors, or any that `torch.save` wrote: zip, the older stream of
/// pickles, or tar. `num_batches_tracked` of batch normalisation is passed over, and names of DenseNet's layers in the files of
/// old torchvision (`norm.1`) become today's (`norm1`). The error names every tensor that cannot be read.
pub fn read_state_dict(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Tensors, String> {
    let wanted = |name: &str| !name.ends_with(".num_batches_tracked") && wanted(name);
    let io = |error: std::io::Error| format!("it cannot be read: {error}");
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    file.by_ref().take(9).read_to_end(&mut start).map_err(io)?;
    // A safetensors file has the length of its header, eight bytes, and then the header, which is JSON.
    if start.get(8) == Some(&b'{') {
        drop(file);
        from_safetensors(&std::fs::read(path).map_err(io)?, wanted)
    } else {
        from_torch(path, size, wanted)
    }
}

fn from_safetensors(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("no readable safetensors file: {error}"))?;
    let tensors = file.iter().filter(|(name, _)| wanted(name)).map(|(name, view)| {
        let float = match view.dtype() {
            Dtype::F16 => Some(Float::F16),
            Dtype::BF16 => Some(Float::Bf16),
            Dtype::F32 => Some(Float::F32),
            Dtype::F64 => Some(Float::F64),
            _ => None,
        };
        let float = float.ok_or_else(|| not_a_float(name, &view.dtype()))?;
        Ok((current_name(name), Values { shape: view.shape().to_vec(), values: float.values(view.data()) }))
    });
    gather(tensors)
}

fn from_torch(path: &Path, size_bytes: u64, wanted: impl Fn(&str) -> bool) -> Result<Tensors, String> {
    let reader = PytorchReader::new(path).map_err(|error| {
        // Its own words for the same are not said again.
        let said = ["invalid PyTorch file format: ", "not a PyTorch checkpoint: "];
        let error = error.to_string();
        let cause = said.iter().fold(error.as_str(), |cause, words| cause.strip_prefix(words).unwrap_or(cause));
        format!("neither a safetensors file nor a state dict that torch.save wrote: {cause}")
    })?;
    let tensors: Vec<Tensor> = reader.into_tensors().into_values().filter(|tensor| wanted(&tensor.name)).collect();
    let declared = tensors.iter().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.byte_len() as u64));
    if declared > size_bytes {
        return Err(format!("it declares {declared} bytes of tensors, but has {size_bytes} bytes in all"));
    }
    gather(tensors.into_iter().map(|tensor| {
        let float = match tensor.dtype() {
            DType::F16 => Some(Float::F16),
            DType::BF16 => Some(Float::Bf16),
            DType::F32 => Some(Float::F32),
            DType::F64 => Some(Float::F64),
            _ => None,
        };
        let float = float.ok_or_else(|| not_a_float(&tensor.name, &tensor.dtype()))?;
        let bytes = tensor.read().map_err(|error| error.to_string())?;
        let values = float.values(&bytes);
        Ok((current_name(&tensor.name), Values { shape: tensor.shape().to_vec(), values }))
    }))
}

impl Float {
    fn values(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::F32 => numbers(bytes, f32::from_le_bytes),
            Self::F64 => numbers(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

fn not_a_float(name: &str, found: &dyn std::fmt::Debug) -> String {
    format!("`{name}` is {found:?}, but F16, BF16, F32 or F64 was expected")
}

/// All tensors, or all problems in the order of their texts.
fn gather(tensors: impl Iterator<Item = Result<(String, Values), String>>) -> Result<Tensors, String> {
    let (mut gathered, mut problems) = (Tensors::new(), Vec::new());
    for tensor in tensors {
        match tensor {
            Ok((name, values)) => drop(gathered.insert(name, values)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.sort();
    if problems.is_empty() { Ok(gathered) } else { Err(problems.join("; ")) }
}

/// `features.denseblock1.denselayer2.norm.1.weight` is today `….norm1.weight`.
fn current_name(name: &str) -> String {
    if !name.contains(".denselayer") {
        return name.to_owned();
    }
    let joined = name.replace(".norm.", ".norm").replace(".conv.", ".conv");
    let numbered = ["norm1", "norm2", "conv1", "conv2"].iter().any(|layer| joined.contains(layer));
    if numbered { joined } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
