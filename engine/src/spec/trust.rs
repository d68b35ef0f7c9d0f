//! The trust of a project: section `[store.trust]` of the `orchestrate.toml` in its root.
//!
//! ```toml
//! [store.trust]
//! keys = [
//!   "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c alice",
//! ]
//! ```
//!
//! Only the file in the project's root counts. One in the folder of a shared store may be written by those whom it
//! would have to keep out, so there the section is an error. One above that folder is another project's, and ignored.

use orchestrate_cache::Signer;
use toml::de::DeTable;

use super::limits::PROJECT_FILE;
use super::reader::Reader;
use crate::diagnostic::Diagnostic;

/// Reads the section from `[store]`, if there is one and it is right.
pub(super) fn parse(store: &DeTable<'static>, reader: &mut Reader<'_>) -> Option<Vec<Signer>> {
    let value = store.get("trust")?;
    let table = reader.table("`store.trust`", value)?;
    reader.unknown_keys("`store.trust`", table, &["keys"]);
    let Some(keys) = table.get("keys") else {
        let problem = "`store.trust` has no `keys`, so it would trust nobody";
        let help = "list the public keys that `orchestrate store keygen` prints: keys = [\"ed25519:… alice\"]";
        reader.problem(Diagnostic::error(problem).at(value.span()).help(help));
        return None;
    };
    let mut signers: Vec<Signer> = Vec::new();
    for text in reader.list("`keys`", keys).iter().filter_map(|item| reader.text("a key", item)).collect::<Vec<_>>() {
        match text.get_ref().parse::<Signer>() {
            Err(error) => reader.problem(Diagnostic::error(error).at(text.span())),
            Ok(signer) if signers.iter().any(|known| known.key == signer.key) => {
                reader.problem(Diagnostic::error(format!("the key {} is listed twice", signer.key)).at(text.span()));
            }
            Ok(signer) => signers.push(signer),
        }
    }
    Some(signers)
}

/// Reports a section of `[store]` in a file where it does not count.
pub(super) fn refuse(section: &str, store: &DeTable<'static>, reader: &mut Reader<'_>) {
    if let Some((name, _)) = store.get_key_value(section) {
        let problem = format!(
            "`store.{section}` counts only in the root of a project, as others may write to the store's folder"
        );
        let help = format!("move it to the {PROJECT_FILE} beside your experiments");
        reader.problem(Diagnostic::error(problem).at(name.span()).help(help));
    }
}
