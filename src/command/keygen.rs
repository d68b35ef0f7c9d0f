//! `orchestrate store keygen`, and the place of a user's private key.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use orchestrate_cache::{PrivateKey, Producer, PublicKey};

use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// Makes a private key, unless there is one, and prints the public one as a project lists it.
pub(crate) fn keygen(show: bool) -> anyhow::Result<Outcome> {
    let path = path()?;
    let known = PrivateKey::read(&path)?;
    let key = match known {
        Some(key) if show => key,
        Some(_) => {
            let help = "`--show` prints its public key; move the file away for a new one";
            return Err(
                UsageError(format!("there is a private key in {} already\nhelp: {help}", path.display())).into()
            );
        }
        None if show => {
            let help = "make one without `--show`";
            return Err(UsageError(format!("there is no private key in {}\nhelp: {help}", path.display())).into());
        }
        None => {
            let key = PrivateKey::generate()?;
            key.write(&path)?;
            terminal::complain(&format!(
                "wrote the private key {}, for you alone: keep it secret, and a copy of it safe\n",
                path.display()
            ));
            key
        }
    };
    let place = "`keys = [ … ]` of `[store.trust]` in orchestrate.toml, in the root of each project that trusts you";
    terminal::complain(&format!("add this line to {place}:\n"));
    Outcome::Done.after_saying(terminal::say(&line(&key.public())))
}

/// The line of `orchestrate.toml` that trusts this key.
fn line(key: &PublicKey) -> String {
    let Producer { user, host, .. } = Producer::this(env!("CARGO_PKG_VERSION"));
    // A name with a quote or a backslash would end the text; it is for people, and they can add another.
    let name: String =
        format!("{user} on {host}").chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()).collect();
    format!("\"{key} {name}\",\n")
}

/// Reads the private key of this user, if there is one. Errors: others can read it, or it is none.
pub(super) fn own_key() -> anyhow::Result<Option<PrivateKey>> {
    match place(|name| std::env::var_os(name)) {
        Some(path) => Ok(PrivateKey::read(&path)?),
        None => Ok(None),
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let help = "set HOME, or ORCHESTRATE_KEY to the path of the key";
    let unknown = || UsageError(format!("there is no folder for a private key\nhelp: {help}"));
    Ok(place(|name| std::env::var_os(name)).ok_or_else(unknown)?)
}

/// Returns the path of the private key. An empty variable counts as unset, and so does a relative folder, as XDG asks.
fn place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = |name: &str| set(name).filter(|path| path.is_absolute());
    let config = || folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    set("ORCHESTRATE_KEY").or_else(|| Some(config()?.join(Path::new("orchestrate/key"))))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_key_lies_where_the_environment_says() {
        let at = |set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            place(variable).map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/a");
        assert_eq!(at(&[home]).as_deref(), Some("/home/a/.config/orchestrate/key"));
        assert_eq!(at(&[home, ("XDG_CONFIG_HOME", "/c")]).as_deref(), Some("/c/orchestrate/key"));
        assert_eq!(at(&[home, ("XDG_CONFIG_HOME", "c")]).as_deref(), Some("/home/a/.config/orchestrate/key"));
        assert_eq!(at(&[home, ("ORCHESTRATE_KEY", "k"), ("XDG_CONFIG_HOME", "")]).as_deref(), Some("k"));
        assert_eq!((at(&[]), at(&[("HOME", "")])), (None, None));
    }
}
