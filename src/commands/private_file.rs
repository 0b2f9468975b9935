//! Files that a command writes for whoever started it and nobody else, whole or not
//! at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A new file (0600) beside `path`, and its name: to be renamed when it is complete.
///
/// # Errors
/// When it cannot be made.
pub fn begin_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // One that was left behind may be open to others, or lead elsewhere.
    match fs::remove_file(&part) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    Ok((file, part))
}

/// Writes `path` (0600), in place of what may be there.
///
/// # Errors
/// When it cannot be written; what was there is there as before.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let (mut file, part) = begin_beside(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let done = written.and_then(|()| fs::rename(&part, path));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_somebody_laid_in_its_way_is_neither_followed_nor_kept_open() {
        let dir = tempfile::tempdir().unwrap();
        let (path, part) = (dir.path().join("week.html"), dir.path().join("week.html.part"));
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "somebody's").unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o666)).unwrap();
        symlink(&elsewhere, &part).unwrap();
        // An earlier one that others may read.
        fs::write(&path, "last week").unwrap();
        write_private(&path, b"this week").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"this week");
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.is_file() && meta.permissions().mode() & 0o777 == 0o600);
        assert_eq!(fs::read(&elsewhere).unwrap(), b"somebody's");
        // The same with a file that others may read.
        fs::write(&part, "left behind").unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"next week").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
