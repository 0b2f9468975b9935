//! SQLite's own way to the disk with a [`Disk`] that looks on: a VFS that hands
//! everything to the system's one. It becomes the default of this process; files
//! that no `Disk` watches are not touched.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Once, OnceLock};

use rusqlite::ffi::{
    SQLITE_OK, SQLITE_OPEN_CREATE, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

use super::disk::{Disk, Operation};

/// What the disk knows of an open file.
struct Watched {
    disk: Arc<Disk>,
    id: usize,
}

/// SQLite's file object; the system's own lies behind it.
#[repr(C)]
struct Shim {
    base: sqlite3_file,
    watched: *mut Watched,
}

struct System(*mut sqlite3_vfs);

// SAFETY: the system's VFS is registered for the life of the process, and SQLite
// itself uses it from all threads.
unsafe impl Send for System {}
// SAFETY: as above.
unsafe impl Sync for System {}

static SYSTEM: OnceLock<System> = OnceLock::new();

fn system() -> *mut sqlite3_vfs {
    SYSTEM.get().expect("installed before it is called").0
}

/// Makes it the default; once.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: a null name asks for the default VFS, which lives for ever; the
        // copy is leaked, so it does too, and its name is a static string.
        unsafe {
            let system = sqlite3_vfs_find(ptr::null());
            assert!(!system.is_null());
            SYSTEM.get_or_init(|| System(system));
            let mut own = *system;
            own.szOsFile += size_of::<Shim>() as c_int;
            own.zName = c"watched".as_ptr();
            own.pNext = ptr::null_mut();
            own.xOpen = Some(open);
            own.xDelete = Some(delete);
            assert_eq!(sqlite3_vfs_register(Box::leak(Box::new(own)), 1), SQLITE_OK);
        }
    });
}

fn path(name: *const c_char) -> Option<&'static Path> {
    // SAFETY: SQLite's names end with a zero byte and outlive the call they are
    // passed to; the result is not kept beyond it.
    (!name.is_null()).then(|| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let shim = file.cast::<Shim>();
    let is_there = path(name).is_some_and(Path::exists);
    // SAFETY: SQLite gives `szOsFile` bytes, enough for `Shim` and the system's
    // object behind it, and calls nothing on it but through `pMethods`.
    unsafe {
        (*shim).base.pMethods = ptr::null();
        (*shim).watched = ptr::null_mut();
        let opened = (*system()).xOpen.unwrap()(system(), name, real(file), flags, out_flags);
        if opened != SQLITE_OK {
            return opened;
        }
        if let Some((disk, name)) = path(name).and_then(Disk::under) {
            let own = flags & SQLITE_OPEN_CREATE != 0 && flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) != 0;
            let id = disk.opened(&name, own && !is_there);
            (*shim).watched = Box::into_raw(Box::new(Watched { disk, id }));
        }
        (*shim).base.pMethods = &METHODS;
    }
    SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: the arguments are SQLite's.
    let result = unsafe { (*system()).xDelete.unwrap()(system(), name, sync_folder) };
    if result == SQLITE_OK
        && let Some((disk, name)) = path(name).and_then(Disk::under)
    {
        disk.deleted(&name, sync_folder != 0);
    }
    result
}

/// The system's object behind ours.
fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    file.cast::<Shim>().wrapping_add(1).cast()
}

/// What is watched about `file`.
unsafe fn watched<'a>(file: *mut sqlite3_file) -> Option<&'a Watched> {
    // SAFETY: `file` was opened by `open` and is not closed yet: the callers are
    // SQLite's calls on open files.
    unsafe { (*file.cast::<Shim>()).watched.as_ref() }.filter(|watched| watched.disk.is_on())
}

/// Hands a call to the system.
macro_rules! hand_on {
    ($method:ident, $file:expr $(, $arg:expr)*) => {{
        let file = real($file);
        // SAFETY: the system's `xOpen` succeeded for this object, so it has methods;
        // the arguments are SQLite's.
        unsafe { (*(*file).pMethods).$method.unwrap()(file $(, $arg)*) }
    }};
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let result = hand_on!(xClose, file);
    // SAFETY: the box was made by `open`; SQLite closes once.
    unsafe {
        let watched = std::mem::replace(&mut (*file.cast::<Shim>()).watched, ptr::null_mut());
        if !watched.is_null() {
            drop(Box::from_raw(watched));
        }
    }
    result
}

unsafe extern "C" fn read(file: *mut sqlite3_file, buffer: *mut c_void, n: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let fault = unsafe { watched(file) }.and_then(|watched| watched.disk.fault(watched.id, Operation::Read));
    fault.unwrap_or_else(|| hand_on!(xRead, file, buffer, n, at))
}

unsafe extern "C" fn write(file: *mut sqlite3_file, buffer: *const c_void, n: c_int, at: sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let watched = unsafe { watched(file) };
    if let Some(Watched { disk, id }) = watched {
        let mut size = 0;
        hand_on!(xFileSize, file, &mut size);
        let grows = at + sqlite3_int64::from(n) > size;
        let growing = || if grows { disk.fault(*id, Operation::Grow) } else { None };
        if let Some(code) = disk.fault(*id, Operation::Write).or_else(growing) {
            return code;
        }
    }
    let result = hand_on!(xWrite, file, buffer, n, at);
    if let (SQLITE_OK, Some(Watched { disk, id })) = (result, watched) {
        // SAFETY: SQLite passes `n` bytes.
        disk.written(*id, at as u64, unsafe { std::slice::from_raw_parts(buffer.cast(), n as usize) });
    }
    result
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let result = hand_on!(xTruncate, file, size);
    // SAFETY: an open file.
    if let (SQLITE_OK, Some(watched)) = (result, unsafe { watched(file) }) {
        watched.disk.truncated(watched.id, size as u64);
    }
    result
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: an open file.
    if let Some(Watched { disk, id }) = unsafe { watched(file) } {
        if let Some(code) = disk.fault(*id, Operation::Sync) {
            return code;
        }
        // The real disk need not work: what it would keep is in the model.
        disk.synced(*id);
        return SQLITE_OK;
    }
    hand_on!(xSync, file, flags)
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    hand_on!(xFileSize, file, size)
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    hand_on!(xLock, file, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    hand_on!(xUnlock, file, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    hand_on!(xCheckReservedLock, file, out)
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, operation: c_int, arg: *mut c_void) -> c_int {
    hand_on!(xFileControl, file, operation, arg)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    hand_on!(xSectorSize, file)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    hand_on!(xDeviceCharacteristics, file)
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    hand_on!(xShmMap, file, page, size, extend, out)
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    hand_on!(xShmLock, file, offset, n, flags)
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    hand_on!(xShmBarrier, file)
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    hand_on!(xShmUnmap, file, delete)
}

unsafe extern "C" fn fetch(file: *mut sqlite3_file, at: sqlite3_int64, n: c_int, out: *mut *mut c_void) -> c_int {
    hand_on!(xFetch, file, at, n, out)
}

unsafe extern "C" fn unfetch(file: *mut sqlite3_file, at: sqlite3_int64, page: *mut c_void) -> c_int {
    hand_on!(xUnfetch, file, at, page)
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
