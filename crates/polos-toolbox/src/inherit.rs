//! Keeps descriptors that came from whoever started this program away from the commands.

/// The first descriptor after standard input, output and error.
const FIRST: u32 = 3;

/// Marks every descriptor but the first three to be closed when a program is executed.
pub(crate) fn close_on_exec() {
    #[expect(unsafe_code, reason = "neither std nor rustix has `close_range`")]
    // SAFETY: the call only sets a flag on descriptors of this process and takes no pointers.
    let answer =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    // Before Linux 5.11 there is no such flag; what we open ourselves is marked in any case.
    let _ = answer;
}
