"""What the C library's allocator does with the memory that training frees."""

import ctypes
import platform

# mallopt's parameters, from glibc's malloc.h, and values past every tensor of a training step.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 2**30


def keep_freed_memory() -> bool:
    """Keep freed memory for the next tensor instead of giving it back to the system at once.

    Each training step frees and takes the same gigabyte, and the system hands over every fresh page
    blank: about a sixth of the time of a step on a CPU (docs/performance.md). It holds for the rest
    of the process and changes no number. Returns whether there is a glibc that was told.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE)
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)
