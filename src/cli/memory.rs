//! How the system's allocator treats large buffers.

/// From this size on, a buffer is given back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 128 * 1024;

/// Has glibc give large buffers back at once, always.
///
/// Left alone, it raises the size from which it does so each time such a buffer
/// is freed, up to 32 MB, and then keeps pages and request bodies on the heaps
/// of whatever threads held them: three times the memory after two minutes
/// (docs/PERFORMANCE.md). Call it before any thread is started.
pub(super) fn give_large_buffers_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two integers and has no memory safety
        // requirement but that no other thread runs yet. If it refuses, the
        // allocator stays as it was.
        #[expect(unsafe_code, reason = "glibc offers this setting through no safe interface")]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        }
    }
}
