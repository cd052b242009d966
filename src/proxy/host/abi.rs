//! The functions of the ABI (version 0.2.1) that are called directly. The SDK copies each header into a string and panics on a
//! name that is not UTF-8; its local responses carry no reason; and it panics if the host refuses to read or set a property.
#![allow(unsafe_code)]

use std::cell::Cell;

/// The ABI's status for success.
pub(super) const OK: u32 = 0;

/// The wall clock's number.
pub(super) const REALTIME: u32 = 0;

/// The monotonic clock's number.
pub(super) const MONOTONIC: u32 = 1;

mod raw {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn clock_time_get(clock: u32, precision: u64, nanoseconds: *mut u64) -> u32;
    }

    unsafe extern "C" {
        /// The SDK's allocation for the host.
        pub(super) safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    }

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_get_header_map_pairs(map_type: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_send_local_response(
            status_code: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
    }
}

/// Memory larger than this is not kept for the next header list, in bytes.
const LARGEST_KEPT_LIST: usize = 16 * 1024;

thread_local! {
    /// The memory of the previous header list.
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Where the host may write the header list that it is asked for, and how many bytes fit.
    static ROOM: Cell<Option<(*mut u8, usize)>> = const { Cell::new(None) };
}

/// Passes a header list to `read`; `None` if the host returns none. The memory of one list is used for the next, so most
/// lists need no allocation.
pub(super) fn with_header_map<R>(map_type: u32, read: impl FnOnce(Option<&[u8]>) -> R) -> R {
    let mut list = KEPT.take();
    list.clear();
    let room = list.as_mut_ptr();
    ROOM.set(Some((room, list.capacity())));
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are valid for a write.
    let status = unsafe { raw::proxy_get_header_map_pairs(map_type, &mut data, &mut size) };
    let is_kept_memory = ROOM.take().is_none() && data == room;
    if status == OK && is_kept_memory && size <= list.capacity() {
        // SAFETY: the host has written `size` bytes at `room`, which `allocate` has given to it.
        unsafe { list.set_len(size) };
    } else {
        // SAFETY: the host has set both.
        match unsafe { given(status, data, size) } {
            Some(given) => list = given,
            None => return read(None),
        }
    }
    let result = read(Some(&list));
    if list.capacity() <= LARGEST_KEPT_LIST {
        KEPT.set(list);
    }
    result
}

/// Memory for the host to write `size` bytes to: the room for a header list, if the host was asked for one and it fits.
pub(in crate::proxy) fn allocate(size: usize) -> *mut u8 {
    match ROOM.get() {
        Some((room, capacity)) if (1..=capacity).contains(&size) => {
            ROOM.set(None);
            room
        }
        _ => raw::proxy_on_memory_allocate(size),
    }
}

/// The value of a property; `None` if it has none. Zero bytes separate the parts of the path.
pub(super) fn property_bytes(path: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the path is valid for its size, and both pointers are valid for a write.
    let status = unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    // SAFETY: the host has set both.
    unsafe { given(status, data, size) }
}

/// The buffer that a host call returned, if it succeeded.
///
/// # Safety
/// `data` and `size` are as the host call that returned `status` has left them, and are used once.
unsafe fn given(status: u32, data: *mut u8, size: usize) -> Option<Vec<u8>> {
    if status != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: on success the host has had `proxy_on_memory_allocate` allocate exactly `size` bytes at `data`, as a boxed
    // slice whose owner is now the caller.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

pub(super) fn send_local_response(status: u32, details: &str, headers: &[u8], body: &[u8]) -> u32 {
    const NO_GRPC_STATUS: i32 = -1;
    let (details, details_size) = (details.as_ptr(), details.len());
    // SAFETY: each pointer is valid for its size, and the host only reads during the call.
    unsafe {
        raw::proxy_send_local_response(
            status,
            details,
            details_size,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    }
}

/// A clock's time in milliseconds. If the host has no such clock, every deadline has come. The standard library takes a
/// detour over seconds.
pub(super) fn clock_ms(clock: u32) -> u64 {
    const ANY_PRECISION: u64 = 1;
    let mut nanoseconds = 0;
    // SAFETY: the pointer is valid for a write.
    match unsafe { raw::clock_time_get(clock, ANY_PRECISION, &mut nanoseconds) } {
        OK => nanoseconds / 1_000_000,
        _ => u64::MAX,
    }
}

pub(super) fn set_property(name: &str, value: &str) -> u32 {
    // SAFETY: each pointer is valid for its size, and the host only reads during the call.
    unsafe { raw::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}
