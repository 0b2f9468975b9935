//! Files of a kind in folders, as memory cards of cameras have them: nested (DCIM),
//! and with what other systems leave there.

use std::path::{Path, PathBuf};

use crate::config::{Source, SourceKind};

/// Folders within folders: DCIM has two.
const DEEPEST: usize = 8;
/// Files of one folder and those within: more than any card holds.
const MOST_FILES: usize = 100_000;
/// Entries that are looked at, of whatever kind.
const MOST_ENTRIES: usize = 10 * MOST_FILES;

/// A file as messages name it: of who types an address instead, with or without its
/// beginning, no more than its kind.
pub(super) fn shown(path: &Path) -> String {
    let name = path.to_string_lossy();
    let source = Source::Location(name.clone().into_owned());
    match source.kind() {
        SourceKind::File(_) if name.contains('@') && !path.exists() => "***".to_owned(),
        SourceKind::File(_) => name.into_owned(),
        _ => source.label().to_string(),
    }
}

/// The files below `folder` whose names end in one of `extensions`, in the order of
/// their paths. Names that begin with a dot are left out, and with them the `._*`
/// that macOS puts beside each file on a card, its bin and its index. Links to
/// folders are not followed.
///
/// # Errors
/// When the folder cannot be listed, or holds more than can be meant.
pub(super) fn below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut entries_left = MOST_ENTRIES;
    let mut waiting = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(format!("cannot list the folder: {error}")),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), "cannot list the folder: {error}");
                continue;
            }
        };
        for entry in entries.flatten() {
            entries_left = entries_left.checked_sub(1).ok_or_else(|| format!("more than {MOST_ENTRIES} entries"))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < DEEPEST {
                waiting.push((path, depth + 1));
            } else if is_folder {
                tracing::warn!(folder = %path.display(), "too deep within other folders: left out");
            } else if has_extension(&path, extensions) && !path.is_dir() {
                // A pipe would be waited for, a device has no end.
                match path.is_file() {
                    true => found.push(path),
                    false => tracing::warn!(file = %path.display(), "no regular file: left out"),
                }
            }
        }
        if found.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} files"));
        }
    }
    found.sort();
    Ok(found)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_card_is_walked_in_order_and_what_is_no_file_of_the_camera_left_out() {
        let card = tempfile::tempdir().unwrap();
        let path = |name: &str| card.path().join(name);
        for folder in ["DCIM/101", "DCIM/100", ".Trashes", "DCIM/100/a.jpg"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        for file in [
            "DCIM/101/a.JPG",
            "DCIM/100/b.jpg",
            "DCIM/100/._b.jpg",
            ".Trashes/c.jpg",
            "DCIM/100/d.txt",
            "z.jpeg",
            "x.avi",
        ] {
            std::fs::write(path(file), "").unwrap();
        }
        std::os::unix::fs::symlink(card.path(), path("DCIM/again")).unwrap();
        let names = ["DCIM/100/b.jpg", "DCIM/101/a.JPG", "z.jpeg"].map(path);
        assert_eq!(below(card.path(), &["jpg", "jpeg"]).unwrap(), names);
        assert!(below(&path("none"), &["jpg"]).unwrap_err().contains("cannot list"));
    }

    #[test]
    fn folders_within_folders_end_somewhere() {
        let card = tempfile::tempdir().unwrap();
        let deep = card.path().join("a/".repeat(DEEPEST + 5));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("deep.jpg"), "").unwrap();
        assert_eq!(below(card.path(), &["jpg"]).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn pipes_and_devices_are_left_out() {
        let card = tempfile::tempdir().unwrap();
        let pipe = card.path().join("a.mp4");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", card.path().join("b.mp4")).unwrap();
        std::fs::write(card.path().join("c.mp4"), "").unwrap();
        assert_eq!(below(card.path(), &["mp4"]).unwrap(), [card.path().join("c.mp4")]);
    }
}
