//! The clock of SQLite, which the test sets.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::null_mut;
use std::sync::Once;
use std::sync::atomic::{AtomicI64, Ordering};

use libsqlite3_sys as sqlite;

/// The function with which the store reads the clock.
const CLOCK: &CStr = c"unixepoch";

static NOW_MS: AtomicI64 = AtomicI64::new(0);

/// A fraction of a millisecond that survives every conversion to whole milliseconds.
pub(crate) const FRACTION_MS: f64 = 0.25;

/// Sets the clock of every connection that is opened after [`install`].
pub(crate) fn set(now_ms: i64) {
    NOW_MS.store(now_ms, Ordering::SeqCst);
}

/// Replaces the clock of every connection that this process opens from now on.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: `replace` is an extension's entry point, as SQLite expects it, and lives forever.
        let code = unsafe { sqlite::sqlite3_auto_extension(Some(replace)) };
        assert_eq!(code, sqlite::SQLITE_OK);
    });
}

unsafe extern "C" fn replace(
    db: *mut sqlite::sqlite3,
    _: *mut *mut c_char,
    _: *const sqlite::sqlite3_api_routines,
) -> c_int {
    let (name, utf8) = (CLOCK.as_ptr(), sqlite::SQLITE_UTF8);
    // SAFETY: SQLite calls this with an open connection; the name and the function live forever.
    unsafe { sqlite::sqlite3_create_function_v2(db, name, 1, utf8, null_mut(), Some(read), None, None, None) }
}

unsafe extern "C" fn read(
    context: *mut sqlite::sqlite3_context,
    _: c_int,
    _: *mut *mut sqlite::sqlite3_value,
) {
    let seconds = (NOW_MS.load(Ordering::SeqCst) as f64 + FRACTION_MS) / 1_000.0;
    // SAFETY: SQLite calls this with the context of the call.
    unsafe { sqlite::sqlite3_result_double(context, seconds) };
}
