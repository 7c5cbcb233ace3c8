"""What the C library's allocator does with the memory that training frees."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's parameters, from glibc's malloc.h
_LARGEST = 32 * 2**20
"""Bytes of a block, up to which it is kept: larger ones would leave large holes."""
_KEPT = 2**30
"""Bytes at the end of the heap that may lie idle."""


def keep_freed_memory() -> bool:
    """Keep freed memory for the next tensor instead of giving it back to the system at once.

    Each training step frees and takes the same memory, and the system hands over every fresh page
    blank: about a sixth of the time of a step on a CPU (docs/performance.md). It holds for the rest
    of the process and changes no number. Returns whether there is a glibc that was told.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _KEPT)
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)


def give_back_freed_memory() -> None:
    """Give the system what lies idle, at once; does nothing where there is no glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
