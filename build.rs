//! Links the unwinder into the program where the C compiler is GCC, as Rust's own builds for musl do.
//!
//! Without this the program loads `libgcc_s.so.1` for it at every start. That costs a twentieth of a run that does nothing, on
//! virtual machines above all: the library asks the processor for its features, and each question is answered by the host. GCC's runtime may be linked into any program.

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

/// The folder of the archive; `None` for other systems, and where the compiler has none.
fn archive_dir() -> Option<PathBuf> {
    let var = |name| std::env::var(name).ok();
    let is_native = var("HOST") == var("TARGET");
    if !is_native || var("CARGO_CFG_TARGET_OS")? != "linux" || var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return None;
    }
    let compiler = var("RUSTC_LINKER").unwrap_or_else(|| "cc".to_owned());
    let said = Command::new(compiler).arg(format!("-print-file-name={ARCHIVE}")).output().ok()?;
    // Where there is none, the bare name comes back.
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim_end());
    path.is_absolute().then(|| path.parent().map(PathBuf::from)).flatten()
}
