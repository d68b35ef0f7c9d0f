//! State dicts of pretrained weights: safetensors files, and files by `torch.save` (`.pth`, `.pt`).
//!
//! A `.pth` file is a pickle, which Python runs as a program. Here nothing of it is executed: Burn's reader takes
//! dictionaries, lists, numbers and tensors from it, ignores the rest, and bounds depth, copies and lengths. This
//! module bounds the tensors by the size of the file, as a pickle may declare one number to be a tensor of billions.

mod entry;
mod other;
mod prefix;
mod torch;

use std::io;
use std::path::Path;

use burn::tensor::{bf16, f16};
use orchestrate_cache::external;
use safetensors::{Dtype, SafeTensors};

use super::tensors::{Tensors, Values, gather};
use entry::Entry;
use other::is_safetensors;
pub(crate) use other::{other_file, start_of};

/// The tensors of a file of pretrained weights.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDict {
    /// The tensors whose names were wanted.
    pub tensors: Tensors,
    /// A remark on the part of the file that they were taken from, and on a removed prefix; `None` without both.
    pub remark: Option<String>,
}

/// Reads the tensors of a state dict whose names are wanted, as f32: 16-bit floats exactly, 64-bit ones rounded.
///
/// The contents of a file tell its layout: safetensors, or a layout of `torch.save`: zip, the older stream of pickles,
/// or tar. The state dict may be an entry of a dictionary, such as `model_state_dict`; a prefix such as `module.` is
/// removed if all names share it. `num_batches_tracked` of batch normalisation is ignored. Old names of DenseNet's
/// layers (`norm.1`) become the current ones (`norm1`).
///
/// Errors: a file that is something else, or cut short; tensors that are no floats, or hold NaN or infinite values,
/// by name.
pub fn read_state_dict(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<StateDict, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let mut file = external::open(path, external::EXTERNAL_BYTES_MAX).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let start = start_of(&mut file).map_err(unreadable)?;
    if let Some(problem) = other_file(&start) {
        return Err(problem.to_owned());
    }
    if is_safetensors(&start) {
        drop(file);
        let bytes = external::read(path, external::EXTERNAL_BYTES_MAX).map_err(unreadable)?;
        let views = SafeTensors::deserialize(&bytes).map_err(|error| {
            format!("its header and its {size} bytes disagree ({error}): it is cut short or damaged; fetch it again")
        })?;
        let entries = views.iter().map(|(name, view)| {
            let (shape, dtype, data) = (view.shape().to_vec(), view.dtype(), view.data());
            Entry {
                name: name.to_owned(),
                shape,
                dtype,
                size_bytes: data.len(),
                read: Box::new(move || Ok(data.to_vec())),
            }
        });
        floats_of(entries.collect(), size, None, wanted)
    } else {
        let (entries, source) = torch::entries(path, &start)?;
        floats_of(entries, size, source, wanted)
    }
}

/// Reads the wanted tensors of a file of `file_bytes`.
///
/// - `source`: a remark on the part of the file that holds the state dict
fn floats_of(
    mut entries: Vec<Entry<'_>>,
    file_bytes: u64,
    source: Option<String>,
    wanted: impl Fn(&str) -> bool,
) -> Result<StateDict, String> {
    if entries.is_empty() {
        return Err(format!("it holds no tensors; {}", torch::SAVE));
    }
    let prefix = prefix::shared(entries.iter().map(|entry| entry.name.as_str()));
    for entry in &mut entries {
        entry.name.replace_range(..prefix.len(), "");
    }
    let removed = (!prefix.is_empty()).then(|| format!("the prefix `{prefix}` of all names is removed"));
    let remarks: Vec<String> = source.into_iter().chain(removed).collect();

    entries.retain(|entry| !entry.name.ends_with(".num_batches_tracked") && wanted(&entry.name));
    let declared = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size_bytes as u64));
    if declared > file_bytes {
        return Err(format!("it declares {declared} bytes of tensors, but has {file_bytes} bytes in all"));
    }
    let tensors = gather(entries.into_iter().map(|Entry { name, shape, dtype, read, .. }| {
        let bytes = read().map_err(|error| error.to_string())?;
        let values = floats(dtype, &bytes)
            .ok_or_else(|| format!("`{name}` is {dtype:?}, but F16, BF16, F32 or F64 was expected"))?;
        match values.iter().filter(|value| !value.is_finite()).count() {
            0 => Ok((current_name(&name), Values { shape, values })),
            count => Err(format!("`{name}` has {count} NaN or infinite values of {}", values.len())),
        }
    }))?;
    Ok(StateDict { tensors, remark: (!remarks.is_empty()).then(|| remarks.join("; ")) })
}

/// Converts floats of a type to f32; `None` for other types.
fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F32 => numbers(bytes, f32::from_le_bytes),
        Dtype::F64 => numbers(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => return None,
    })
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
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
