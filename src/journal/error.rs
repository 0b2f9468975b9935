//! What can go wrong with a journal, in words for the person who has to act.

use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// Why the journal cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file or its folder cannot be made, read or written.
    #[error("journal {}: {why}", path.display())]
    Unusable {
        /// The database file.
        path: PathBuf,
        /// What failed, and what to do.
        why: String,
    },
    /// Another process holds the lock.
    #[error(
        "journal {}: another process{} is already writing to it; stop it first",
        path.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The database file.
        path: PathBuf,
        /// Who holds the lock, as far as known.
        pid: Option<i32>,
    },
    /// The file was written by a later version of the program.
    #[error(
        "journal {}: its format is version {found}, this program knows up to {known}; \
         use the newer program, or move the file away to begin a new journal",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The version found in it.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// A database of some other program.
    #[error("journal {}: is an SQLite database, but not a journal of this program; set another journal.path", path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// No journal there.
    #[error("journal {}: there is none (yet); `tawny run` makes it", path.display())]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("journal {}: is damaged: {why}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// Any other answer of SQLite.
    #[error("journal {}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The writer has ended; nothing can be stored any more.
    #[error("the journal is closed")]
    Closed,
    /// At stop, some events could not be written in the time given.
    #[error("journal {}: {events} events could not be written before the stop: {why}", path.display())]
    Lost {
        /// The database file.
        path: PathBuf,
        /// How many.
        events: usize,
        /// The last error.
        why: String,
    },
}

impl JournalError {
    /// Sorts what SQLite says about `path`.
    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> JournalError {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch) => {
                JournalError::Damaged { path, why: source.to_string() }
            }
            // A number that is there already, and the like: not what was written.
            Some(ErrorCode::ConstraintViolation) if !is_from_a_trigger(&source) => {
                JournalError::Damaged { path, why: source.to_string() }
            }
            // A value of another type than was written, a table or row that has gone.
            None if is_about_a_value(&source) => JournalError::Damaged { path, why: source.to_string() },
            Some(ErrorCode::Unknown) => JournalError::Damaged { path, why: source.to_string() },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                JournalError::Unusable { path, why: format!("cannot be opened ({source}); check its owner and mode") }
            }
            _ => JournalError::Sqlite { path, source },
        }
    }

    /// Whether the disk does not give back what is on it.
    pub(super) fn is_unreadable(&self) -> bool {
        let JournalError::Sqlite { source, .. } = self else { return false };
        source.sqlite_error().is_some_and(|e| {
            matches!(
                e.extended_code,
                ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS
            )
        })
    }

    /// From a failed file operation on `path` or its folder.
    pub(super) fn from_io(path: &Path, what: &str, source: &std::io::Error) -> JournalError {
        JournalError::Unusable { path: path.to_owned(), why: format!("{what}: {source}") }
    }
}

/// The journal has none; whoever made one wants to stop it from writing.
fn is_from_a_trigger(source: &rusqlite::Error) -> bool {
    source.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_CONSTRAINT_TRIGGER)
}

fn is_about_a_value(source: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    matches!(
        source,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedNoRows
            | Error::Utf8Error(..)
    )
}
