//! Finding a program as the launcher will, so that a missing one is said before anything is started.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::Error;

/// Where execvp(3) looks without a PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What a look at a path showed.
enum Found {
    Program,
    /// Something that may not be executed.
    Other,
    Nothing,
    /// We may not look; the application's user may.
    Unknown,
}

/// Checks that `program` can be found: a path, from `directory` on if it is relative, or a name in `path`.
///
/// # Errors
/// [`Error::NoProgram`] and [`Error::NotExecutable`]; none when we cannot tell.
pub(crate) fn check(program: &Path, path: Option<&OsStr>, directory: Option<&Path>) -> Result<(), Error> {
    let directory = directory.unwrap_or(Path::new("."));
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return match look(&directory.join(program)) {
            Found::Program | Found::Unknown => Ok(()),
            Found::Other => Err(Error::NotExecutable { program: program.to_owned() }),
            Found::Nothing => Err(Error::NoProgram {
                program: program.to_owned(),
                place: if program.is_absolute() {
                    String::new()
                } else {
                    format!(" in {}", directory.display())
                },
            }),
        };
    }
    let path = path.unwrap_or(OsStr::new(USUAL_PATH));
    let mut other = None;
    for place in std::env::split_paths(path) {
        let candidate = directory.join(place).join(program);
        match look(&candidate) {
            Found::Program | Found::Unknown => return Ok(()),
            Found::Other => other = other.or(Some(candidate)),
            Found::Nothing => {}
        }
    }
    Err(match other {
        Some(program) => Error::NotExecutable { program },
        None => {
            Error::NoProgram { program: program.to_owned(), place: format!(" in PATH ({})", path.display()) }
        }
    })
}

fn look(path: &Path) -> Found {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => Found::Program,
        Ok(_) => Found::Other,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Found::Nothing
        }
        Err(_) => Found::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with a program `bin/app` and a file `bin/notes`.
    fn place() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).expect("made");
        fs::write(bin.join("app"), "#!/bin/sh\n").expect("written");
        fs::set_permissions(bin.join("app"), fs::Permissions::from_mode(0o755)).expect("executable");
        fs::write(bin.join("notes"), "").expect("written");
        dir
    }

    fn said(program: &str, path: Option<&str>, directory: &Path) -> Option<String> {
        check(Path::new(program), path.map(OsStr::new), Some(directory)).err().map(|error| error.to_string())
    }

    #[test]
    fn finds_a_program_by_path_from_its_directory() {
        let dir = place();
        assert_eq!(said("bin/app", None, dir.path()), None);
        assert_eq!(said("/bin/sh", None, dir.path()), None);
        let missing = said("bin/none", None, dir.path()).expect("there is none");
        assert_eq!(missing, format!("there is no program bin/none in {}", dir.path().display()));
        assert!(
            said("bin/notes", None, dir.path()).expect("it is none").contains("bin/notes is not a program")
        );
        assert!(said("./bin", None, dir.path()).expect("it is none").contains("./bin is not a program"));
    }

    #[test]
    fn finds_a_name_in_the_path_that_the_application_will_have() {
        let dir = place();
        let bin = dir.path().join("bin");
        assert_eq!(said("app", bin.to_str(), Path::new("/")), None);
        assert_eq!(said("app", Some("nowhere:bin"), dir.path()), None, "relative to its directory");
        let missing = said("app", Some("/nowhere"), dir.path()).expect("there is none");
        assert_eq!(missing, "there is no program app in PATH (/nowhere)");
        assert!(said("notes", bin.to_str(), Path::new("/")).expect("it is none").contains("not a program"));
        assert_eq!(said("sh", None, dir.path()), None, "where execvp looks without a PATH");
    }
}
