"""How the C library deals with freed memory."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_ALL, _MOST = 2**31 - 1, 32 * 2**20  # glibc takes no larger threshold for mapped blocks


def keep_freed_memory() -> bool:
    """Keep the memory that a rollout or an update frees for the next one; True where glibc agreed.

    Left to itself, glibc often gives it back to the system, and every iteration then fetches thousands of pages anew.
    Elsewhere than with glibc nothing happens. It concerns the whole process, so that only commands do it; and `train`
    waits until all is compiled, because otherwise the process also keeps what XLA frees meanwhile.
    """
    with suppress(OSError, AttributeError):
        tell = ctypes.CDLL(None).mallopt
        return bool(tell(_M_TRIM_THRESHOLD, _ALL) and tell(_M_MMAP_THRESHOLD, _MOST))
    return False
