//! Memory that is wiped when it is given back, on threads that ask for it.
//!
//! An item's detail holds secret values. Our own buffers are wiped by us, but
//! the HTTP and TLS libraries have buffers too, and free them as they are. On
//! a thread that called [`everything_freed_here`] whatever is freed is
//! overwritten first; on all others nothing changes but one look at a flag.

#![allow(unsafe_code, reason = "an allocator can be written in no other way")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static WIPES: Cell<bool> = const { Cell::new(false) };
}

/// From now on, whatever this thread frees is wiped, if [`Wiping`] is the
/// program's allocator.
pub fn everything_freed_here() {
    WIPES.with(|wipes| wipes.set(true));
}

fn wipes() -> bool {
    // A thread that is ending has no flag any more; what it frees then is its own bookkeeping.
    WIPES.try_with(Cell::get).unwrap_or(false)
}

/// The system's allocator, which wipes on threads that ask for it.
#[derive(Debug)]
pub struct Wiping;

// SAFETY: every call goes to the system's allocator with the layout it was made
// with. Wiping writes to a block that is still allocated, within its size, and
// that its owner has given up.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if wipes() {
            // SAFETY: the block has this size, is initialised memory as far as a byte write is
            // concerned, and nobody reads it any more.
            unsafe { wipe(block, layout.size()) };
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !wipes() {
            // SAFETY: as above.
            return unsafe { System.realloc(block, layout, size) };
        }
        // The system may move a block and leave its content behind: move it here, and wipe.
        // SAFETY: `size` is not zero and fits, as the caller of `realloc` promises.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least this long and are two.
            unsafe {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

/// Overwrites a block in a way that is not optimised out.
///
/// # Safety
///
/// The block is allocated, has this size, and belongs to nobody else.
unsafe fn wipe(block: *mut u8, size: usize) {
    // SAFETY: promised by the caller.
    unsafe { std::ptr::write_bytes(block, 0, size) };
    // Whoever might read it now is unknown to the compiler, so it has to be written.
    std::hint::black_box(block);
}
