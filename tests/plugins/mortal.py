"""An attack whose process is killed when it is first asked; with ``always``, at every time."""

import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import Generator, Tensor

from robench.contracts import Attack, Attacked, Run, Target


@dataclass(frozen=True)
class Mortal(Attack):
    """Dies, and changes nothing."""

    name: str = "once"
    always: bool = False
    needs = frozenset({"labels"})

    @property
    def ball(self) -> None:
        return None

    def __call__(
        self, target: Target, images: Tensor, labels: Tensor, generator: Generator, run: Run
    ) -> Attacked:
        died = Path(tempfile.gettempdir()) / self.name
        if self.always or not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Attacked(images)
