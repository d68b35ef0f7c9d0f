//! Pins: results that garbage collection keeps whatever the limits, until they are unpinned.
//!
//! A pin is a sealed JSON file `pins/NAME.json` with keys (`frame.rs`). An unreadable pin stops collections, as its
//! keys are unknown.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{sealed, unsealed};
use crate::format::layout::Access;
use crate::format::names::{self, PIN};
use crate::store::Store;
use crate::value::artifact::ActionKey;

/// A longer file is no pin: it would have ten million keys.
const BYTES_MAX: u64 = 1 << 30;

/// A named list of results that stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its name: letters, digits, `-`, `_` and `.`, the first of them a letter or digit.
    pub name: String,
    /// Origin of the keys, for people, such as `run 20260131-174502-318-9f02ac`.
    pub source: String,
    /// When, in milliseconds since 1970.
    pub pinned_ms: u64,
    /// The keys of the results, each once, sorted.
    pub keys: Vec<ActionKey>,
}

impl Pin {
    /// Returns whether a pin can have this name.
    pub fn is_name(name: &str) -> bool {
        names::is_pin_name(name)
    }
}

/// Returns the damage of a pin's bytes, if there is any.
pub(crate) fn problem(bytes: &[u8]) -> Option<String> {
    unsealed::<Pin>(bytes).err()
}

impl Store {
    /// Pins results durably; replaces the pin of that name. Errors: a name that [`Pin::is_name`] refuses.
    pub fn pin(&self, mut pin: Pin) -> Result<(), StoreError> {
        let path = self.pin_path(&pin.name)?;
        pin.keys.sort_unstable();
        pin.keys.dedup();
        // A running collection ends first, or sees the pin.
        let _using = self.using()?;
        disk::create_folder_durably(&self.layout.pins())?;
        disk::replace(&path, (sealed(&pin) + "\n").as_bytes(), true)
    }

    /// Removes a pin; returns whether there was one.
    pub fn unpin(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.pin_path(name)?;
        let found = path.symlink_metadata().is_ok();
        disk::remove_file(&path)?;
        Ok(found)
    }

    /// Removes keys from all pins; a pin without any left goes.
    pub(crate) fn drop_pinned(&self, keys: &HashSet<ActionKey>) -> Result<(), StoreError> {
        for mut pin in self.pins()? {
            let before = pin.keys.len();
            pin.keys.retain(|key| !keys.contains(key));
            match pin.keys.len() {
                0 => drop(self.unpin(&pin.name)?),
                left if left < before => self.pin(pin)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads all pins, by name. Errors: an unreadable pin.
    pub fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        let files = disk::list(&self.layout.pins())?;
        let pins = files.iter().filter(|name| names::is_pin(name)).filter_map(|name| name.strip_suffix(PIN));
        pins.map(|name| self.read_pin(name)).collect()
    }

    fn read_pin(&self, name: &str) -> Result<Pin, StoreError> {
        let path = self.layout.pins().join(format!("{name}{PIN}"));
        let bytes = disk::read(&path, BYTES_MAX).map_err(StoreError::io("read", &path))?;
        unsealed(&bytes).map_err(|reason| StoreError::Pin { path, reason })
    }

    fn pin_path(&self, name: &str) -> Result<PathBuf, StoreError> {
        if self.access() == Access::ReadOnly {
            return Err(self.read_only());
        }
        if !Pin::is_name(name) {
            return Err(StoreError::PinName { name: name.to_owned() });
        }
        Ok(self.layout.pins().join(format!("{name}{PIN}")))
    }
}
