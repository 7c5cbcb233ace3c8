"""Probes that go on from where they were."""

from abc import abstractmethod

from torch import Generator, nn

from robench.contracts import NO_CHECKPOINTS, Checkpoints, Encoder, Probe, Progress, Split


class Resumable(Probe):
    """A probe whose fit takes minutes, and is one that begins with nothing to go on from."""

    def fit(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
    ) -> nn.Module:
        return self.resume(encoder, train, held_out, classes, generator, progress, NO_CHECKPOINTS)

    @abstractmethod
    def resume(
        self,
        encoder: Encoder,
        train: Split,
        held_out: Split,
        classes: int,
        generator: Generator,
        progress: Progress,
        checkpoints: Checkpoints,
    ) -> nn.Module: ...
