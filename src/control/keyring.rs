//! The operator's side: the secret key, its file, and the counter beside it.
//!
//! The file is made once, for its owner alone (0600), and refused when others may
//! read it. The secret is never shown. The counter's file is locked while a number
//! is taken from it and is on disk before the number is used; where it is lost, the
//! milliseconds since 1970 are above all that was used before.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::signature::{Ed25519KeyPair, KeyPair};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::command::Signed;
use super::wording::Wording;
use crate::config::OperatorKey;
use crate::domain::{UtcMillis, from_hex, to_hex};

/// What stands above the key in its file.
const HEAD: &str = "\
# The secret key of an operator of Tawny units. Whoever has this file can command
# every unit that trusts it. `tawny key show FILE` prints what the units need.
";

/// Larger files hold no key.
const LARGEST_FILE: u64 = 4096;

/// What is wrong with a key's file.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// It is there already.
    #[error("{}: there is a file already; a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{}: others may read this key (mode {mode:03o}); `chmod 600` it, and use a new key if somebody did", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error("{}: is no key made by `tawny key new`", .0.display())]
    NoKey(PathBuf),
    /// A name that cannot stand in a configuration.
    #[error("'{0}' is no name for a key: 1 to 32 letters (a-z, A-Z), digits, '-', '_' or '.'")]
    Name(String),
    /// The counter's file holds no number.
    #[error("{}: holds no counter; remove the file if the clock of this machine is right", .0.display())]
    NoCounter(PathBuf),
    /// The system gives no random numbers.
    #[error("no random numbers for a key: {0}")]
    Random(getrandom::Error),
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Content {
    name: String,
    public: String,
    secret: String,
}

/// A secret key; holds secrets, so no `Debug`.
pub struct Keyring {
    pair: Ed25519KeyPair,
    public: OperatorKey,
}

impl Keyring {
    /// From the 32 bytes of a secret key (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// [`KeyringError::Name`].
    pub fn from_secret(secret: [u8; 32], name: &str) -> Result<Keyring, KeyringError> {
        if !OperatorKey::is_name(name) {
            return Err(KeyringError::Name(name.to_owned()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&secret).map_err(|_| KeyringError::Name(name.to_owned()))?;
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        Ok(Keyring { pair, public: OperatorKey { key, name: name.to_owned() } })
    }

    /// Makes a new key and its file.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn create(path: &Path, name: &str) -> Result<Keyring, KeyringError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(KeyringError::Random)?;
        let keyring = Keyring::from_secret(secret, name)?;
        let content = Content { name: name.to_owned(), public: to_hex(&keyring.public.key), secret: to_hex(&secret) };
        let failed = |source| file_error(path, source);
        let text = toml::to_string(&content).map_err(|e| failed(io::Error::other(e)))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| {
            if e.kind() == io::ErrorKind::AlreadyExists { KeyringError::Exists(path.to_owned()) } else { failed(e) }
        })?;
        file.write_all(HEAD.as_bytes()).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        file.sync_all().and_then(|()| sync_folder(path)).map_err(failed)?;
        Ok(keyring)
    }

    /// Reads the key in `path`.
    ///
    /// # Errors
    /// When it cannot be read, is no key, or may be read by others.
    pub fn open(path: &Path) -> Result<Keyring, KeyringError> {
        let failed = |source| file_error(path, source);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let mode = meta.mode() & 0o777;
        if !meta.is_file() {
            return Err(KeyringError::NoKey(path.to_owned()));
        }
        if mode & 0o077 != 0 {
            return Err(KeyringError::Open { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        let none = || KeyringError::NoKey(path.to_owned());
        file.take(LARGEST_FILE).read_to_string(&mut text).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => none(),
            _ => failed(e),
        })?;
        let content: Content = toml::from_str(&text).map_err(|_| none())?;
        let keyring = Keyring::from_secret(from_hex(&content.secret).ok_or_else(none)?, &content.name)?;
        if from_hex(&content.public) != Some(keyring.public.key) {
            return Err(none());
        }
        Ok(keyring)
    }

    /// The public half, as the units want it.
    pub fn public(&self) -> &OperatorKey {
        &self.public
    }

    /// Signs a command for `unit` (`<prefix>/<unit>`).
    ///
    /// # Errors
    /// When a part of it has not the form that it must have, in plain words.
    pub fn sign(&self, unit: &str, wording: &Wording<'_>) -> Result<Signed, &'static str> {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(&wording.lines(unit)?).as_ref());
        let Wording { log, id, n, holds, text } = *wording;
        let (id, log, text) = (id.to_owned(), log.to_owned(), text.to_owned());
        Ok(Signed { id, log, n, holds, key: self.public.key, signature, text })
    }
}

/// Takes the next counter of the key in `path`: above all that were taken before,
/// and not below the milliseconds since 1970.
///
/// # Errors
/// When the counter's file cannot be read or written.
pub fn next_counter(path: &Path, now: UtcMillis) -> Result<u64, KeyringError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".counter");
    let path = PathBuf::from(name);
    let failed = |source| file_error(&path, source);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
    let mut text = String::new();
    Read::by_ref(&mut file).take(LARGEST_FILE).read_to_string(&mut text).map_err(failed)?;
    let last: u64 = match text.trim() {
        "" => 0,
        digits => digits.parse().map_err(|_| KeyringError::NoCounter(path.clone()))?,
    };
    let next = last.saturating_add(1).max(u64::try_from(now.0).unwrap_or(0));
    // Written in place: the number never gets shorter, so a crash in the middle
    // leaves an old one, a new one, or one between the two.
    io::Seek::rewind(&mut file).map_err(failed)?;
    file.write_all(format!("{next:020}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(next)
}

impl Signed {
    /// The payload that carries it.
    pub fn to_json(&self) -> String {
        let mut payload = serde_json::json!({
            "id": self.id,
            "log": self.log,
            "n": self.n,
            "key": to_hex(&self.key),
            "sig": to_hex(&self.signature),
            "cmd": self.text,
        });
        if let (Some(holds), Some(keys)) = (&self.holds, payload.as_object_mut()) {
            keys.insert("until".to_owned(), holds.until.to_string().into());
            keys.extend(holds.boot.map(|boot| ("boot".to_owned(), format!("{boot:08x}").into())));
        }
        payload.to_string()
    }
}

fn file_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::File { path: path.to_owned(), source }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::{Command, Holds, parse};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_its_owners_alone_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice.key");
        let made = Keyring::create(&path, "alice").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Keyring::open(&path).unwrap().public(), made.public());
        assert!(matches!(Keyring::create(&path, "bob"), Err(KeyringError::Exists(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keyring::open(&path), Err(KeyringError::Open { mode: 0o640, .. })));
        assert!(matches!(Keyring::create(&dir.path().join("b"), "b b"), Err(KeyringError::Name(_))));
        for (name, text) in [("empty", ""), ("other", "name = \"a\"\npublic = \"00\"\nsecret = \"00\"\n")] {
            let path = dir.path().join(name);
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Keyring::open(&path), Err(KeyringError::NoKey(_))), "{name}");
        }
    }

    #[test]
    fn a_counter_only_grows_even_where_the_clock_runs_back_or_the_file_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let take = |ms: i64| next_counter(&path, UtcMillis(ms)).unwrap();
        assert_eq!((take(1_000), take(1_000), take(500), take(2_000)), (1_000, 1_001, 1_002, 2_000));
        let file = dir.path().join("key.counter");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(take(3_000), 3_000);
        std::fs::write(&file, "many").unwrap();
        assert!(matches!(next_counter(&path, UtcMillis(0)), Err(KeyringError::NoCounter(_))));
    }

    #[test]
    fn what_is_signed_is_read_back() {
        let keyring = Keyring::from_secret([3; 32], "alice").unwrap();
        let text = "{\"do\":\"pause\",\"for\":\"1h\"}";
        let until = UtcMillis(1_777_666_555_123);
        for holds in [Some(Holds { until, boot: Some(7) }), Some(Holds { until, boot: None }), None] {
            let wording = Wording { log: "k3v7qa", id: "a", n: 7, holds, text };
            let signed = keyring.sign("tawny/gate", &wording).unwrap();
            assert_eq!(parse(signed.to_json().as_bytes()), Ok(Command::Signed(signed)));
        }
    }
}
