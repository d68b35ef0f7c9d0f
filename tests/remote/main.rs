//! Remotes behind stores, against two object servers of others: moto, and s3s-fs where it is installed.
//!
//! A proxy between the program and the server breaks off, answers with errors, lies about lengths, lists late, is slow
//! or gone. Each story runs on each server. Without a server it is skipped, and says so.
//!
//! They come with `pip install 'moto[s3]' flask flask-cors`, and with
//! `cargo install --root target/tools --version 0.14.1 --features binary s3s-fs`, some five minutes of a core.

mod faults;
mod kills;
mod machine;
mod namespaces;
mod proxy;
mod server;
mod stories;
