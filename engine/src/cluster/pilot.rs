//! A pilot: one job that runs the engine itself, on all cores that it gets, until its deadline.
//!
//! Its folder has `pilot`, the command that it runs, in place of the work of tasks; `0.out` with what the engine says;
//! and `0.status` with its exit code, written after the engine has ended.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrate_cache::{disk, native_path};
use serde::{Deserialize, Serialize};

use super::folder::{JobFolder, PILOT};
use crate::spec::Cluster;
use crate::usage::Asked;

const BYTES_MAX: u64 = 1 << 20;

/// The command of a pilot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pilot {
    /// The project's root.
    #[serde(with = "native_path")]
    pub root: PathBuf,
    /// The working folder.
    #[serde(with = "native_path")]
    pub working_dir: PathBuf,
    /// The arguments of the program there.
    pub arguments: Vec<String>,
    /// The arguments of the program here, which submitted it.
    pub asked: Vec<String>,
}

impl Pilot {
    /// Returns what a pilot asks for: `[cluster.pilot]`, else the defaults of the cluster, else 4 hours, 8 GB, 4
    /// threads.
    pub fn asks(cluster: &Cluster) -> Asked {
        let (own, other) = (&cluster.pilot, &cluster.defaults);
        let time = own.time.or(other.time).unwrap_or(Duration::from_secs(4 * 3600));
        Asked {
            threads: own.threads.or(other.threads).unwrap_or(4),
            memory_bytes: own.memory_bytes.or(other.memory_bytes).unwrap_or(8 << 30),
            time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            gpu: own.gpu.clone().filter(|gpu| gpu != "0"),
        }
    }

    /// Writes the command to a new folder of a job.
    pub fn write(&self, folder: &JobFolder) -> io::Result<()> {
        folder.make()?;
        let bytes = serde_json::to_vec(self)?;
        disk::replace(&folder.path().join(PILOT), &bytes, true).map_err(io::Error::other)
    }

    /// Reads the command of a job; `None` if it is no pilot.
    pub fn read(folder: &JobFolder) -> Option<Self> {
        serde_json::from_slice(&disk::read(&folder.path().join(PILOT), BYTES_MAX).ok()?).ok()
    }

    /// Returns the exit code of the engine, once it has ended.
    pub fn status(folder: &JobFolder) -> Option<u8> {
        let bytes = disk::read(&status_file(folder.path()), BYTES_MAX).ok()?;
        String::from_utf8(bytes).ok()?.trim().parse().ok()
    }

    /// Reads what the engine has said since an offset, and moves the offset to its end.
    pub fn said(folder: &JobFolder, offset: &mut u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut read = || -> io::Result<()> {
            let mut file = File::open(folder.path().join("0.out"))?;
            file.seek(SeekFrom::Start(*offset))?;
            file.take(BYTES_MAX).read_to_end(&mut bytes).map(drop)
        };
        // It is not there before the job has begun.
        let _ = read();
        *offset += bytes.len() as u64;
        bytes
    }
}

/// The path of the exit code.
pub fn status_file(folder: &Path) -> PathBuf {
    folder.join("0.status")
}
