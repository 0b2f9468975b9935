//! Finds ONNX Runtime's shared library and loads it, once per process.
//!
//! Tawny links no inference engine: the library is a file that set-up or a
//! package puts beside the program. It is looked for, in this order, at the
//! place the configuration names, at the one the environment names
//! (`TAWNY_ONNXRUNTIME`, then `ORT_DYLIB_PATH`), beside the program, in the
//! folders that set-up and packages fill, found from the program's own path,
//! and where systems keep libraries. What a person named explicitly
//! (configuration, `TAWNY_ONNXRUNTIME`) is not silently replaced by something
//! else: if it does not load, that is the error.
//!
//! `ort` panics when any of its functions is used before a library is loaded,
//! so everything in Tawny that touches `ort` first holds a [`Runtime`].

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

/// The loaded library. There is at most one in a process.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    version: String,
    environment: Environment,
}

impl Runtime {
    /// Loads the library, or returns the one that is already loaded (then
    /// `configured` no longer matters). Safe to call from several threads.
    ///
    /// # Errors
    /// Lists every place tried and why it would not do. Nothing is left
    /// behind: a later call searches again.
    pub fn load(configured: Option<&Path>) -> Result<&'static Runtime, RuntimeError> {
        static LOADED: OnceLock<Runtime> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        if let Some(runtime) = LOADED.get() {
            return Ok(runtime);
        }
        // The lock guards no data; a panic while it was held left none broken.
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = LOADED.get() {
            return Ok(runtime);
        }
        let runtime = load_first(&Places::of_this_process(configured))?;
        tracing::debug!(path = %runtime.path.display(), version = runtime.version, "ONNX Runtime loaded");
        Ok(LOADED.get_or_init(|| runtime))
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's version, such as `1.24.4`; empty if it does not say.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What sessions are made in.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// No ONNX Runtime could be loaded. Displays one tried place a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeError {
    /// The places in the order tried, each with the reason.
    pub tried: Vec<(PathBuf, String)>,
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no usable ONNX Runtime library was found; tried:")?;
        for (path, reason) in &self.tried {
            write!(f, "\n  {}: {reason}", path.display())?;
        }
        write!(
            f,
            "\nrun scripts/setup, or name the library (libonnxruntime.so, 1.20 or later) in [detector] runtime or TAWNY_ONNXRUNTIME"
        )
    }
}

impl std::error::Error for RuntimeError {}

/// Where to look, without looking.
#[derive(Debug, Default)]
struct Places {
    /// Named by a person: nothing else is tried.
    explicit: Option<PathBuf>,
    /// Files or folders to try in turn.
    search: Vec<PathBuf>,
}

impl Places {
    fn of_this_process(configured: Option<&Path>) -> Places {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let explicit = configured.map(Path::to_path_buf).or_else(|| variable("TAWNY_ONNXRUNTIME"));
        // The link that started the program may stand in /usr/bin or ~/bin.
        let program = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
        Places::new(explicit, variable("ORT_DYLIB_PATH"), program.as_deref())
    }

    fn new(explicit: Option<PathBuf>, from_environment: Option<PathBuf>, program: Option<&Path>) -> Places {
        let mut search: Vec<PathBuf> = from_environment.into_iter().collect();
        if let Some(folder) = program.and_then(Path::parent) {
            search.push(folder.to_path_buf());
            search.push(folder.join("../lib/tawny"));
            // Built in place (target/release/tawny, target/debug/deps/test-…):
            // the project that set-up filled stands above `target`. Only there:
            // a library must never come from a folder that merely lies above.
            let built = folder.ancestors().filter(|above| above.file_name() == Some(OsStr::new("target")));
            search.extend(built.filter_map(Path::parent).map(|project| project.join(".runtime/onnxruntime")));
        }
        let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        search.extend(
            ["/usr/lib/tawny", "/usr/local/lib/tawny", "/usr/local/lib", &triplet, "/usr/lib"].map(PathBuf::from),
        );
        Places { explicit, search }
    }
}

fn load_first(places: &Places) -> Result<Runtime, RuntimeError> {
    let mut tried = Vec::new();
    let explicit_only = places.explicit.as_slice();
    let search = if explicit_only.is_empty() { places.search.as_slice() } else { explicit_only };
    for place in search {
        let place = std::path::absolute(place).unwrap_or_else(|_| place.clone());
        let libraries = match libraries_at(&place) {
            Ok(libraries) => libraries,
            Err(reason) => {
                tried.push((place, reason));
                continue;
            }
        };
        for library in libraries {
            match load_file(&library) {
                Ok(runtime) => return Ok(runtime),
                Err(reason) => {
                    tracing::debug!(path = %library.display(), reason, "not a usable ONNX Runtime");
                    tried.push((library, reason));
                }
            }
        }
    }
    Err(RuntimeError { tried })
}

/// The library files at `place`: itself if it is a file, otherwise every
/// `libonnxruntime.so*` in it, newest version first.
fn libraries_at(place: &Path) -> Result<Vec<PathBuf>, String> {
    let kind = std::fs::metadata(place).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => error.to_string(),
    })?;
    if !kind.is_dir() {
        return Ok(vec![place.to_path_buf()]);
    }
    let entries = std::fs::read_dir(place).map_err(|error| error.to_string())?;
    let mut libraries: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(is_library_name))
        .collect();
    if libraries.is_empty() {
        return Err("holds no libonnxruntime.so".to_owned());
    }
    libraries.sort_by_key(|path| std::cmp::Reverse(version_in_name(path)));
    Ok(libraries)
}

fn is_library_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("libonnxruntime.so"))
}

/// `libonnxruntime.so.1.24.4` as `[1, 24, 4]`, so that 1.24 is above 1.9.
fn version_in_name(path: &Path) -> Vec<u64> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.split('.').skip(2).map(|part| part.parse().unwrap_or(0)).collect()
}

fn load_file(library: &Path) -> Result<Runtime, String> {
    let environment = ort::init_from(library)
        .map_err(|error| error.to_string())?
        .with_name("tawny")
        .with_telemetry(false)
        .with_logger(Arc::new(|level: LogLevel, _: &str, _: &str, at: &str, message: &str| match level {
            LogLevel::Verbose | LogLevel::Info => tracing::trace!(at, "{message}"),
            LogLevel::Warning => tracing::debug!(at, "{message}"),
            LogLevel::Error | LogLevel::Fatal => tracing::warn!(at, "ONNX Runtime: {message}"),
        }))
        .build()
        .map_err(|error| error.to_string())?;
    // Otherwise every node of every inference is reported.
    environment.set_log_level(LogLevel::Warning);
    let version = version_of(library).map_err(|error| error.to_string())?;
    Ok(Runtime { path: library.to_path_buf(), version, environment })
}

/// The version that the library reports, such as `1.24.4`.
///
/// `ort` keeps it to itself, hence the second, shared handle.
fn version_of(library: &Path) -> Result<String, libloading::Error> {
    // SAFETY: `ort` has just loaded the same file, so no foreign initialiser
    // runs here that has not run already.
    let handle = unsafe { libloading::Library::new(library) }?;
    // SAFETY: this is the symbol's documented type (onnxruntime_c_api.h).
    let api_base = unsafe { handle.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase") }?;
    // SAFETY: it has no preconditions, returns a static, and that one's
    // version string is static too; `ort` keeps the library loaded for good.
    let version = unsafe { std::ffi::CStr::from_ptr(((*api_base()).GetVersionString)()) };
    Ok(version.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_environment_comes_before_the_programs_own_surroundings() {
        let places =
            Places::new(None, Some("/from/env.so".into()), Some(Path::new("/home/me/tawny/target/release/tawny")));
        let search: Vec<_> = places.search.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            search[..4],
            [
                "/from/env.so",
                "/home/me/tawny/target/release",
                "/home/me/tawny/target/release/../lib/tawny",
                "/home/me/tawny/.runtime/onnxruntime"
            ]
        );
        assert_eq!(search.last(), Some(&"/usr/lib"));
    }

    #[test]
    fn an_installed_program_takes_no_library_from_folders_above_it() {
        let places = Places::new(None, None, Some(Path::new("/tmp/someone/bin/tawny")));
        assert!(!places.search.iter().any(|path| path.to_string_lossy().contains(".runtime")));
    }

    #[test]
    fn what_a_person_named_is_not_replaced_by_something_else() {
        let places = Places { explicit: Some("/nowhere/libonnxruntime.so".into()), search: vec!["/usr/lib".into()] };
        let error = load_first(&places).unwrap_err();
        assert_eq!(error.tried, [(PathBuf::from("/nowhere/libonnxruntime.so"), "does not exist".to_owned())]);
        assert!(error.to_string().contains("\n  /nowhere/libonnxruntime.so: does not exist\n"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_library_says_so_and_the_next_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.24.4", "libonnxruntime_providers_shared.so", "x"];
        for name in names {
            std::fs::write(folder.path().join(name), b"no library").unwrap();
        }
        let empty = tempfile::tempdir().unwrap();
        let places = Places { explicit: None, search: vec![empty.path().into(), folder.path().into()] };
        let tried = load_first(&places).unwrap_err().tried;
        assert_eq!(tried[0], (empty.path().to_path_buf(), "holds no libonnxruntime.so".to_owned()));
        assert_eq!(tried[1].0, folder.path().join("libonnxruntime.so.1.24.4"));
        assert_eq!(tried[2].0, folder.path().join("libonnxruntime.so.1.9.0"));
        assert_eq!(tried.len(), 3);
    }
}
