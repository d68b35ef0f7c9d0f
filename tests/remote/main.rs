//! Remotes behind stores, against two object servers of others: moto, and s3s-fs where it is installed.
//!
//! A proxy between the program and the server breaks off, answers with errors, lies about lengths, lists late, is slow
//! or gone. Each story runs on each server. Without a server it is skipped, and says so.
//!
//! `pip install 'moto[s3]' flask flask-cors` and `cargo install --root target/tools --features binary s3s-fs` have them.

mod faults;
mod kills;
mod machine;
mod namespaces;
mod proxy;
mod server;
mod stories;
