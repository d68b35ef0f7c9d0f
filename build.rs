//! Links the unwinder into the program if the C compiler is GCC, as Rust's own builds for musl do.
//!
//! Otherwise the program loads `libgcc_s.so.1` for it at every start, which costs a twentieth of a run of hits. Most of
//! that is on virtual machines: the library runs CPUID, which traps to the hypervisor. The licence of GCC's runtime
//! allows linking it into any program.

use std::path::PathBuf;
use std::process::Command;

/// The unwinder as an archive.
const ARCHIVE: &str = "libgcc_eh.a";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    if let Some(dir) = archive_dir() {
        println!("cargo:rerun-if-changed={}", dir.join(ARCHIVE).display());
        println!("cargo:rustc-link-search=native={}", dir.display());
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Returns the folder of the archive; `None` on other systems, or if the compiler has no such archive.
fn archive_dir() -> Option<PathBuf> {
    let var = |name| std::env::var(name).ok();
    let is_native = var("HOST") == var("TARGET");
    if !is_native || var("CARGO_CFG_TARGET_OS")? != "linux" || var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return None;
    }
    let compiler = var("RUSTC_LINKER").unwrap_or_else(|| "cc".to_owned());
    let said = Command::new(compiler).arg(format!("-print-file-name={ARCHIVE}")).output().ok()?;
    // Without an archive the compiler prints the bare name.
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim_end());
    path.is_absolute().then(|| path.parent().map(PathBuf::from)).flatten()
}
