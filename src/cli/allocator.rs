//! The allocator's memory, kept together.

/// Gives the allocator one arena a core.
///
/// glibc makes up to eight, and what was freed in one is of no use to another: a long run held a
/// fifth more memory than with one a core, and took as long. Elsewhere this does nothing.
pub(super) fn limit_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::libc::{M_ARENA_MAX, mallopt};

        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: mallopt takes any numbers, and no other thread was started that could call it.
        // A number that it refuses changes nothing.
        unsafe { mallopt(M_ARENA_MAX, i32::try_from(cores).unwrap_or(i32::MAX)) };
    }
}
