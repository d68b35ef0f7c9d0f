//! The memory of graphics cards, as their drivers tell it to the system: neither Burn nor wgpu does.

use std::fs;
use std::process::Command;

/// Returns the memory of the card at an address on the PCI bus, in bytes. AMD's driver has it in a file of the kernel,
/// NVIDIA's in the answer of a program.
pub(super) fn of_card(address: &str) -> Option<u64> {
    let of_amd = fs::read_to_string(format!("/sys/bus/pci/devices/{address}/mem_info_vram_total"));
    of_amd.ok().and_then(|text| text.trim().parse().ok()).or_else(|| of_nvidia(address))
}

fn of_nvidia(address: &str) -> Option<u64> {
    let query = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"];
    let answer = Command::new("nvidia-smi").args(query).arg(format!("--id={address}")).output().ok()?;
    answer.status.success().then(|| mebibytes(&String::from_utf8_lossy(&answer.stdout)))?
}

fn mebibytes(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok()?.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_nvidias_program_is_in_mebibytes() {
        assert_eq!(mebibytes("81559\n"), Some(81_559 << 20));
        assert_eq!(mebibytes("[N/A]"), None);
        assert_eq!(of_card("0000:ff:1f.7"), None, "no such card");
    }
}
