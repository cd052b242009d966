//! The requests of this VM, of all its configurations.
//!
//! A VM has several configurations if several listeners use the module, or while an update replaces one. Only the call
//! that creates a request's context says which one judges the request. Most requests are decided in the next call and
//! leave nothing behind; the others are kept until the host deletes their contexts.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use protocol::KeyDigest;
use proxy_wasm::types::Action;

use super::host;
use super::vm::Vm;
use crate::filter::Step;
use crate::lookup::StreamId;
use crate::request::Reading;

/// A request that has read its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is held until a lookup of this digest ends, which then forwards or answers it.
    Held(KeyDigest),
    /// It was forwarded.
    Open,
    /// The filter replied. The host may have refused the reply, and the request must not pass even then.
    Replied,
}

impl Progress {
    /// What the host may do with the request.
    fn action(self) -> Action {
        match self {
            Progress::Open => Action::Continue,
            Progress::Held(_) | Progress::Replied => Action::Pause,
        }
    }
}

/// A request's context whose headers have not arrived.
#[derive(Clone, Copy)]
struct Created {
    stream: StreamId,
    /// The root context of its configuration.
    root: u32,
}

/// A request that is held, or that has a body or trailers to come.
struct Kept {
    vm: Rc<Vm>,
    progress: Progress,
}

thread_local! {
    /// The root contexts, and the configuration of each.
    static ROOTS: RefCell<Vec<(u32, Option<Rc<Vm>>)>> = const { RefCell::new(Vec::new()) };
    /// The latest context. Envoy creates a context immediately before its headers arrive.
    static LATEST: Cell<Option<Created>> = const { Cell::new(None) };
    /// Contexts created before the latest one, for hosts that create contexts earlier.
    static EARLIER: RefCell<Vec<Created>> = const { RefCell::new(Vec::new()) };
    static KEPT: RefCell<HashMap<StreamId, Kept, BuildHasherDefault<StreamHasher>>> =
        const { RefCell::new(HashMap::with_hasher(BuildHasherDefault::new())) };
}

/// Adds a root context, which has no configuration yet.
pub(super) fn add_root(root: u32) {
    ROOTS.with_borrow_mut(|roots| roots.push((root, None)));
}

/// Whether this is a root context.
pub(super) fn is_root(context: u32) -> bool {
    ROOTS.with_borrow(|roots| roots.iter().any(|(root, _)| *root == context))
}

/// The configuration of a root context.
pub(super) fn configuration(root: u32) -> Option<Rc<Vm>> {
    ROOTS.with_borrow(|roots| roots.iter().find(|(known, _)| *known == root).and_then(|(_, vm)| vm.clone()))
}

/// A root context was configured.
pub(super) fn configure(root: u32, vm: Vm) {
    ROOTS.with_borrow_mut(|roots| {
        if let Some((_, configuration)) = roots.iter_mut().find(|(known, _)| *known == root) {
            *configuration = Some(Rc::new(vm));
        }
    });
}

/// The host deletes a root context. Its requests keep their configuration.
pub(super) fn remove_root(root: u32) {
    let removed = ROOTS.with_borrow_mut(|roots| {
        let at = roots.iter().position(|(known, _)| *known == root)?;
        Some(roots.swap_remove(at))
    });
    drop(removed);
}

/// The host creates the context of a request.
pub(super) fn create(stream: StreamId, root: u32) {
    if let Some(earlier) = LATEST.replace(Some(Created { stream, root })) {
        EARLIER.with_borrow_mut(|contexts| contexts.push(earlier));
    }
}

/// Takes out the root context of a request whose headers have not arrived.
fn take_created(stream: StreamId) -> Option<u32> {
    match LATEST.take() {
        Some(latest) if latest.stream == stream => return Some(latest.root),
        other => LATEST.set(other),
    }
    EARLIER.with_borrow_mut(|contexts| {
        let at = contexts.iter().position(|context| context.stream == stream)?;
        Some(contexts.swap_remove(at).root)
    })
}

/// The headers of a request arrive. `is_whole` says that neither a body nor trailers follow.
pub(super) fn headers(stream: StreamId, is_whole: bool) -> Action {
    let Some(vm) = take_created(stream).and_then(configuration) else {
        log::error!("the host sends a request to a configuration that was refused");
        std::process::abort();
    };
    let progress = host::with_headers(vm.header_policy(), |Reading { removed, head }| {
        // Remove before anything else: access logs and other filters see these headers too.
        removed.iter().for_each(|name| host::remove_header(name));
        match vm.arrive(head.as_ref().map_err(|error| *error), stream) {
            // In this call, the headers were read and those with the names of identity headers were removed. To add is
            // cheaper than to replace. A request that was held may have changed since.
            Step::Decided(outcome) => vm.apply(outcome, host::add_header),
            Step::Hold(digest) => Progress::Held(digest),
        }
    });
    let action = progress.action();
    if !is_whole || matches!(progress, Progress::Held(_)) {
        KEPT.with_borrow_mut(|kept| kept.insert(stream, Kept { vm, progress }));
    }
    action
}

/// Whether the rest of a request may pass.
pub(super) fn passage(stream: StreamId) -> Action {
    KEPT.with_borrow(|kept| kept.get(&stream).map_or(Action::Pause, |kept| kept.progress.action()))
}

/// The trailers of a request arrive. A finished module sees no trailers of a held request: they follow the body, which
/// the host holds.
pub(super) fn trailers(stream: StreamId) -> Action {
    let is_open = |kept: &&Kept| kept.progress == Progress::Open;
    let vm = KEPT.with_borrow(|kept| kept.get(&stream).filter(is_open).map(|kept| Rc::clone(&kept.vm)));
    let Some(vm) = vm else { return Action::Pause };
    match host::remove_trailers(vm.header_policy()) {
        Ok(()) => Action::Continue,
        // The request was forwarded already; after this reply the host resets it at the upstream.
        Err(ambiguity) => {
            if let Step::Decided(refusal) = vm.arrive(Err(ambiguity), stream) {
                set_progress(stream, vm.apply(refusal, host::set_header));
            }
            Action::Pause
        }
    }
}

/// A request was forwarded or answered after its headers had been read.
pub(super) fn set_progress(stream: StreamId, progress: Progress) {
    KEPT.with_borrow_mut(|kept| {
        if let Some(kept) = kept.get_mut(&stream) {
            kept.progress = progress;
        }
    });
}

/// The host deletes the context of a request that has ended, also if its client left while it was held. Without this,
/// an answer could resume a request that is gone.
pub(super) fn delete(stream: StreamId) {
    let kept = KEPT.with_borrow_mut(|kept| if kept.is_empty() { None } else { kept.remove(&stream) });
    match kept {
        Some(Kept { vm, progress: Progress::Held(digest) }) => vm.leave(&digest, stream),
        Some(_) => {}
        None => drop(take_created(stream)),
    }
}

/// Spreads the numbers of contexts, which clients do not choose.
#[derive(Default)]
struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
