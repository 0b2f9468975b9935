//! A model's files: the ONNX, and the weights that newer exporters put into a file
//! beside it. They are read here and handed on as bytes: ONNX Runtime would look for
//! them in the working directory, and would follow any path.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::onnx::{MOST_FILES, external_files};
use crate::domain::to_hex;

/// Larger files, weights and all, are refused: no detector for a small computer is
/// that large.
const MAX_MODEL_BYTES: u64 = 512 << 20;

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The file itself.
    #[error("cannot read the model {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file that it names.
    #[error("the model {} keeps weights in {}, which cannot be read: {source}; copy it there, beside the model", model.display(), path.display())]
    Weights {
        /// The model.
        model: PathBuf,
        /// Where the weights should be.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Where it may not name one.
    #[error("the model {} looks for weights outside its own folder, in {name:?}: it is not loaded", model.display())]
    Outside {
        /// The model.
        model: PathBuf,
        /// The name in the model.
        name: String,
    },
    /// It names too many.
    #[error("the model {} keeps its weights in more than {MOST_FILES} files: it is not loaded", model.display())]
    TooMany {
        /// The model.
        model: PathBuf,
    },
}

/// A model as bytes.
#[derive(Debug)]
pub struct ModelFile {
    /// The ONNX.
    pub bytes: Vec<u8>,
    /// Weights beside it, by the name that the ONNX gives them.
    pub weights: Vec<(String, Arc<[u8]>)>,
}

impl ModelFile {
    /// Reads `path` and what it names in its own folder.
    ///
    /// # Errors
    /// When one cannot be read, lies elsewhere, or they are too large together.
    pub fn read(path: &Path) -> Result<ModelFile, ModelFileError> {
        let mut room = MAX_MODEL_BYTES;
        let bytes = read_within(path, &mut room)
            .map_err(|source| ModelFileError::Unreadable { path: path.to_path_buf(), source })?;
        let names = external_files(&bytes);
        if names.len() > MOST_FILES {
            return Err(ModelFileError::TooMany { model: path.to_path_buf() });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut weights = Vec::new();
        for name in names {
            if !is_beside(&name) {
                return Err(ModelFileError::Outside { model: path.to_path_buf(), name });
            }
            let place = folder.join(&name);
            let content = read_within(&place, &mut room).map_err(|source| ModelFileError::Weights {
                model: path.to_path_buf(),
                path: place,
                source,
            })?;
            weights.push((name, Arc::from(content)));
        }
        Ok(ModelFile { bytes, weights })
    }

    /// The first twelve hexadecimal digits of the SHA-256: of the file, if it is one,
    /// else of all their contents with the weights' names.
    pub fn hash(&self) -> String {
        let mut sum = Sha256::new_with_prefix(&self.bytes);
        for (name, content) in &self.weights {
            sum.update(name.as_bytes());
            sum.update((content.len() as u64).to_le_bytes());
            sum.update(content);
        }
        to_hex(&sum.finalize()).chars().take(12).collect()
    }

    /// Bytes of all of them.
    pub fn size(&self) -> u64 {
        self.weights.iter().map(|(_, content)| content.len() as u64).sum::<u64>() + self.bytes.len() as u64
    }
}

/// Whether a name stays in the folder: no root, no way up.
fn is_beside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// A file that takes no more than `room`, which it then takes.
fn read_within(path: &Path, room: &mut u64) -> std::io::Result<Vec<u8>> {
    let meta = std::fs::metadata(path)?;
    if !meta.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let Some(rest) = room.checked_sub(meta.len()) else {
        return Err(std::io::Error::other(format!("{} bytes are too many for a detector", meta.len())));
    };
    *room = rest;
    std::fs::read(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::onnx::testing::{external, model};
    use super::*;

    #[test]
    fn weights_lie_beside_the_model_and_count_in_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let read = || ModelFile::read(&path);
        std::fs::write(&path, model(&[], &[], &[external("w", &[2], "sub/m.data")])).unwrap();
        let missing = read().unwrap_err().to_string();
        assert!(missing.contains("m.onnx keeps weights in") && missing.contains("sub/m.data, which"), "{missing}");
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/m.data"), [0; 8]).unwrap();
        let first = read().unwrap();
        assert_eq!((first.weights.len(), first.weights[0].1.len()), (1, 8));
        std::fs::write(folder.path().join("sub/m.data"), [1; 8]).unwrap();
        assert_ne!(first.hash(), read().unwrap().hash());
        let alone = ModelFile { bytes: b"abc".to_vec(), weights: Vec::new() };
        assert_eq!(alone.hash(), "ba7816bf8f01", "as sha256sum says");
    }

    #[test]
    fn no_model_reads_files_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        for name in ["/etc/passwd", "../m.data", "sub/../../m.data", "", "./../x"] {
            std::fs::write(&path, model(&[], &[], &[external("w", &[2], name)])).unwrap();
            let error = ModelFile::read(&path).unwrap_err().to_string();
            assert!(error.contains("outside its own folder"), "{name}: {error}");
        }
        let many: Vec<Vec<u8>> = (0..1_100).map(|n| external("w", &[2], &format!("w{n}"))).collect();
        std::fs::write(&path, model(&[], &[], &many)).unwrap();
        assert!(ModelFile::read(&path).unwrap_err().to_string().contains("more than 1000 files"));
    }
}
