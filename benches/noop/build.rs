//! Links the program at a fixed address where that is known to work.
//!
//! A program that may lie anywhere has tens of thousands of addresses of its own data (of texts, of functions behind traits)
//! that are written anew at every start, and each page of them is copied for that: on Linux a tenth of the time of a run that has
//! nothing to do.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" && target("ARCH") == "x86_64" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
