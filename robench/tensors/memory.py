"""Errors of memory that ran out, and releasing what is not in use."""

import gc

import torch

_WORDS = (
    "can't allocate memory",  # c10/core/impl/alloc_cpu.cpp
    "not enough memory",  # the same on Windows
    "out of memory",
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN have allocators of their own
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that the device or the machine is out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def release() -> None:
    """Give back what is not in use, after an error whose traceback held on to it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
