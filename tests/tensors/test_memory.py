"""Errors that say that memory ran out, as torch and numpy really raise them, and others."""

import numpy as np
import pytest
import torch

from robench.tensors.memory import is_out_of_memory


def test_torch_s_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_numpy_s_own_error_is_known() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_gpu_s_errors_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes"), ValueError("out of memory"), KeyError("x")]
)
def test_other_errors_are_others(error: Exception) -> None:
    assert not is_out_of_memory(error)
