//! State dicts of pretrained weights: safetensors files, and files by `torch.save` (`.pth`, `.pt`).
//!
//! A `.pth` file is a pickle, which Python runs as a program. Here nothing of it is executed: Burn's reader takes
//! dictionaries, lists, numbers and tensors from it, ignores the rest, and bounds depth, copies and lengths. This
//! module bounds the tensors by the size of the file, as a pickle may declare one number to be a tensor of billions.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::store::pytorch::PytorchReader;
use burn::store::pytorch_reader::{DType, Tensor};
use burn::tensor::{bf16, f16};
use safetensors::Dtype;

use super::tensors::{Tensors, Values, from_safetensors, gather};

/// Reads the tensors of a state dict whose names are wanted, as f32: 16-bit floats exactly, 64-bit ones rounded.
///
/// The contents of a file tell its layout: safetensors, or a layout of `torch.save`: zip, the older stream of pickles,
/// or tar. `num_batches_tracked` of batch normalisation is ignored. Old names of DenseNet's layers (`norm.1`) become
/// the current ones (`norm1`). The error names every tensor that cannot be read.
pub fn read_state_dict(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Tensors, String> {
    let wanted = |name: &str| !name.ends_with(".num_batches_tracked") && wanted(name);
    let io = |error: std::io::Error| format!("it cannot be read: {error}");
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    file.by_ref().take(9).read_to_end(&mut start).map_err(io)?;
    // A safetensors file starts with the length of its header, 8 bytes, then the header, JSON.
    if start.get(8) == Some(&b'{') {
        drop(file);
        from_safetensors(&std::fs::read(path).map_err(io)?, |name, view| {
            let dtype = match view.dtype() {
                Dtype::F16 => Some(DType::F16),
                Dtype::BF16 => Some(DType::BF16),
                Dtype::F32 => Some(DType::F32),
                Dtype::F64 => Some(DType::F64),
                _ => None,
            };
            wanted(name).then(|| {
                let values = dtype.and_then(|dtype| floats(dtype, view.data()));
                let values = values.ok_or_else(|| not_a_float(name, &view.dtype()))?;
                Ok((current_name(name), Values { shape: view.shape().to_vec(), values }))
            })
        })
    } else {
        from_torch(path, size, wanted)
    }
}

fn from_torch(path: &Path, size_bytes: u64, wanted: impl Fn(&str) -> bool) -> Result<Tensors, String> {
    let reader = PytorchReader::new(path).map_err(|error| {
        // The reader's own prefixes would repeat this sentence.
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
        let bytes = tensor.read().map_err(|error| error.to_string())?;
        let values = floats(tensor.dtype(), &bytes).ok_or_else(|| not_a_float(&tensor.name, &tensor.dtype()))?;
        Ok((current_name(&tensor.name), Values { shape: tensor.shape().to_vec(), values }))
    }))
}

/// Converts floats of a type to f32; `None` for other types.
fn floats(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        DType::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        DType::BF16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        DType::F32 => numbers(bytes, f32::from_le_bytes),
        DType::F64 => numbers(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => return None,
    })
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

fn not_a_float(name: &str, found: &dyn std::fmt::Debug) -> String {
    format!("`{name}` is {found:?}, but F16, BF16, F32 or F64 was expected")
}

/// Converts old names of DenseNet's layers: `features.denseblock1.denselayer2.norm.1.weight` becomes `….norm1.weight`.
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
