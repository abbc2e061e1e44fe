//! How the system's allocator treats large buffers.

/// From this size on, a buffer is given back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 256 * 1024;
/// So much may be free at the end of the heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TOP: i32 = 512 * 1024;

/// Has glibc give large buffers back at once, always, and keep one heap for all threads.
///
/// Left alone, it raises the size from which it gives back each time such a
/// buffer is freed, up to 32 MB, and then keeps pages and request bodies on the
/// heaps of whatever threads held them: three times the memory after two minutes.
/// And what one thread makes and another lets go of, as everything in the state
/// is, leaves holes in the heap of the first: a third of the memory of a long
/// list (docs/PERFORMANCE.md). Call it before any thread is started.
pub(super) fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two integers and has no memory safety
        // requirement but that no other thread runs yet. If it refuses, the
        // allocator stays as it was.
        #[expect(unsafe_code, reason = "glibc offers this setting through no safe interface")]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TOP);
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// Gives the system what was freed and lies between what is in use.
///
/// Two hundred tenants that had caught up after an outage kept 470 MB, of which
/// they used 225: small pieces are freed on heaps whose end is still in use, and
/// glibc by itself gives back the end only. It takes milliseconds.
pub(super) fn give_freed_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim takes an integer, may be called by any thread at
        // any time, and touches nothing that is in use.
        #[expect(unsafe_code, reason = "glibc offers this through no safe interface")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
