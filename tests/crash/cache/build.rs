//! Turns the failpoints on in this copy of the sources, and in no other.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(b"cargo::rerun-if-changed=build.rs\ncargo::rustc-cfg=failpoints\n")
}
