//! Starting a program, and the reason if that fails.
//!
//! The system has one error number for many causes, so [`reason`] looks at the program file for the cause.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;

use super::invocation::Invocation;

/// Longest wait for a program file that is still open for writing, and the time between two tries.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
const BUSY_TICK: Duration = Duration::from_millis(20);
/// The most bytes of a script's first line that Linux reads.
const FIRST_LINE_MAX: usize = 255;
/// The mark that Windows editors write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The folder of code files, relative to the folder in which the program starts.
const CODE_DIR: &str = "../code/";

/// The problem of a script with Windows line ends.
const CARRIAGE_RETURN: &str =
    "its first line ends in a carriage return, as Windows writes it; convert the line ends of the file (`dos2unix`)";

/// Starts the program, with pipes for standard output and standard error.
pub(super) fn spawn(invocation: &Invocation<'_>) -> Result<Child, String> {
    let [program, arguments @ ..] = invocation.argv else { return Err("`argv` names no program".to_owned()) };
    // A relative path is relative to the folder in which the program starts, not to that of this process.
    let path = if program.contains('/') { invocation.dir.join(program) } else { program.into() };
    let mut command = Command::new(&path);
    command
        .arg0(program)
        .args(arguments)
        .current_dir(invocation.dir)
        .env_clear()
        .envs(invocation.environment.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = Instant::now();
    loop {
        match command.spawn() {
            // Another thread may have forked while a code file was written: until its child calls exec, the child holds
            // the file open for writing, and the system refuses to start it.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && started.elapsed() < BUSY_LIMIT => {
                thread::sleep(BUSY_TICK);
            }
            Err(error) => {
                let variables = &invocation.environment.variables;
                let search = variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
                return Err(format!("cannot start `{program}`: {}", reason(&path, search, &error)));
            }
            Ok(child) => return Ok(child),
        }
    }
}

/// Returns the reason that a program does not start, and the remedy; `search` is the PATH of the program.
fn reason(program: &Path, search: Option<&OsStr>, error: &io::Error) -> String {
    let code = error.raw_os_error();
    if code == Some(libc::E2BIG) {
        return "its arguments and environment are too long for the system; give long ones to it in a file".to_owned();
    }
    if ![Some(libc::ENOENT), Some(libc::ENOTDIR), Some(libc::ENOEXEC), Some(libc::EACCES)].contains(&code) {
        return error.to_string();
    }
    let Some(found) = find_program(program, search) else {
        return "no such program on PATH; one that lies beside the spec goes into `code` and is started by `{code}`"
            .to_owned();
    };
    let Ok(metadata) = fs::metadata(&found) else {
        return "there is no such file; one that lies beside the spec goes into `code` and is started by `{code}`"
            .to_owned();
    };
    if metadata.is_dir() {
        return "it is a folder".to_owned();
    }
    if !metadata.is_file() {
        return "it is no regular file".to_owned();
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return "it has no execute permission; set it where the file is made (`chmod +x`)".to_owned();
    }
    match first_bytes(&found) {
        Ok(bytes) => contents_reason(&bytes, error),
        Err(_) => error.to_string(),
    }
}

/// Returns the file of a program; `None` if no folder of PATH has a file of this name.
fn find_program(program: &Path, search: Option<&OsStr>) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    std::env::split_paths(search?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Reads one byte more than [`FIRST_LINE_MAX`], to tell a first line that is too long.
fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FIRST_LINE_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the reason that a readable and executable program does not start, given its first bytes.
fn contents_reason(bytes: &[u8], error: &io::Error) -> String {
    if bytes.is_empty() {
        return "the file is empty".to_owned();
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return "a byte order mark stands before its first line, as Windows editors put it; save it as UTF-8 without one"
            .to_owned();
    }
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        return first_line_reason(rest, error);
    }
    let foreign = [
        (
            &b"\x7fELF"[..],
            "it was built for another kind of processor or system, or the loader that it names is missing",
        ),
        (b"MZ", "it is a program for Windows"),
        (b"\xcf\xfa\xed\xfe", "it is a program for macOS"),
        (b"\xca\xfe\xba\xbe", "it is a program for macOS, or a Java class"),
    ];
    match foreign.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, reason)) => (*reason).to_owned(),
        None if error.raw_os_error() == Some(libc::ENOEXEC) => {
            "its first line, `#!` and its interpreter, is missing; write for example `#!/bin/sh` there, or name \
             the interpreter in `argv`, as in [\"sh\", \"{code}\", …]"
                .to_owned()
        }
        None => error.to_string(),
    }
}

/// Returns the reason that a script does not start; `rest` are its first bytes without the `#!`.
fn first_line_reason(rest: &[u8], error: &io::Error) -> String {
    let end = rest.iter().position(|byte| *byte == b'\n');
    let text = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned();
    if text.ends_with('\r') {
        return CARRIAGE_RETURN.to_owned();
    }
    let text = text.trim();
    let interpreter = text.split([' ', '\t']).next().unwrap_or_default();
    if interpreter.is_empty() {
        return "its first line, `#!`, names no interpreter; write for example `#!/bin/sh`".to_owned();
    }
    if end.is_none() && rest.len() + 2 > FIRST_LINE_MAX {
        return format!(
            "its first line is longer than the {FIRST_LINE_MAX} bytes that the system reads; write `#!/usr/bin/env` \
             and the name of the interpreter"
        );
    }
    match fs::metadata(interpreter) {
        Err(_) => format!("the interpreter `{interpreter}`, which its first line names, does not exist here"),
        Ok(found) if found.is_dir() => {
            format!("the interpreter `{interpreter}`, which its first line names, is a folder")
        }
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            format!("the interpreter `{interpreter}`, which its first line names, has no execute permission")
        }
        Ok(_) => format!("{error}, with the interpreter `{interpreter}` that its first line names"),
    }
}

/// Returns a likely cause of the failure of a program that did start: a code file with Windows line ends.
///
/// A first line `#!/usr/bin/env NAME` that ends in a carriage return starts `env`, which then looks for a program whose
/// name ends in the carriage return.
pub(super) fn advice(invocation: &Invocation<'_>) -> Option<String> {
    let mut scripts = invocation.argv.iter().filter(|item| item.starts_with(CODE_DIR));
    scripts.find_map(|script| {
        let bytes = first_bytes(&invocation.dir.join(script)).ok()?;
        let line = bytes.split(|byte| *byte == b'\n').next()?;
        let is_script = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).starts_with(b"#!");
        let is_windows_script = is_script && line.ends_with(b"\r");
        is_windows_script.then(|| format!("`{}`: {CARRIAGE_RETURN}", script.trim_start_matches(CODE_DIR)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::environment::Environment;
    use super::*;

    #[test]
    fn a_program_that_does_not_start_is_told_why() {
        let long = format!("#!/{}\n", "x".repeat(300));
        let cases: [(&[u8], u32, &str); 14] = [
            (b"echo 1 > x\n", 0o755, "its first line, `#!` and its interpreter, is missing"),
            (b"", 0o755, "the file is empty"),
            (b"#!/bin/sh\r\necho\r\n", 0o755, "its first line ends in a carriage return"),
            (b"#!/usr/bin/env python3\r", 0o644, "it has no execute permission"),
            (
                b"#!/no/such/python\n",
                0o755,
                "the interpreter `/no/such/python`, which its first line names, does not exist",
            ),
            (b"#! /no/such -e\n", 0o755, "the interpreter `/no/such`"),
            (b"#!/etc\n", 0o755, "the interpreter `/etc`, which its first line names, is a folder"),
            (b"#!/etc/passwd\n", 0o755, "the interpreter `/etc/passwd`, which its first line names, has no execute"),
            (b"#!\necho\n", 0o755, "its first line, `#!`, names no interpreter"),
            (b"\xef\xbb\xbf#!/bin/sh\n", 0o755, "a byte order mark"),
            (b"\x7fELF\x02\x01\x01\x00garbage", 0o755, "it was built for another kind of processor"),
            (b"MZ\x90\x00", 0o755, "it is a program for Windows"),
            (long.as_bytes(), 0o755, "its first line is longer than"),
            (b"#!/bin/sh\n", 0o644, "it has no execute permission"),
        ];
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::new(&[], &[], |name| std::env::var_os(name));
        let start = |program: &str| {
            let argv = [program.to_owned()];
            spawn(&Invocation { argv: &argv, dir: dir.path(), environment: &environment }).unwrap_err()
        };
        for (number, (bytes, mode, reason)) in cases.into_iter().enumerate() {
            let name = format!("program-{number}");
            fs::write(dir.path().join(&name), bytes).unwrap();
            fs::set_permissions(dir.path().join(&name), fs::Permissions::from_mode(mode)).unwrap();
            let said = start(&format!("./{name}"));
            assert!(said.starts_with(&format!("cannot start `./{name}`: {reason}")), "{number}: {said}");
        }
        assert!(start("no-such-program").contains("no such program on PATH"));
        assert!(start("./none").contains("there is no such file"));
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(start("./folder").contains("it is a folder"));
    }
}
