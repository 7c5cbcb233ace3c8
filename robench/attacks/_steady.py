"""Logits that came out the same twice are not asked for a third time."""

from collections.abc import Callable

import torch
from torch import Tensor


class Steady:
    """The function ``ask`` of images, until it has answered the same images alike twice.

    Then, and as long as the images stay the same, it is that answer. The official package asks for
    the logits of its images seven times before it attacks: five times to see whether they are
    random, which two answers tell where they differ in no bit, once to see whether they are
    probabilities, and once to see which are right.
    """

    def __init__(self, ask: Callable[[Tensor], Tensor]) -> None:
        self._ask = ask
        self._images = self._answer = torch.empty(0)
        self._settled = False

    def __call__(self, images: Tensor) -> Tensor:
        same = self._images.device == images.device and torch.equal(self._images, images)
        if same and self._settled:
            return self._answer
        answer = self._ask(images)
        self._settled = same and torch.equal(self._answer, answer)
        # A copy, since the caller may go on in the same memory.
        self._images, self._answer = images.clone(), answer
        return answer
