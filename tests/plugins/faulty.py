"""An encoder that may have a fault."""

from faults import Batchwise, Noisy, Quantised, Stubborn
from torch import Tensor, nn

from robench.contracts import Encoder

NORMS = {"stubborn": Stubborn, "batchwise": Batchwise}
AROUND = {"noisy": Noisy, "quantised": Quantised}


class Faulty(Encoder):
    """One convolution and BatchNorm; ``fault`` is nothing, or one of those of the tests."""

    def __init__(self, fault: str = "nothing", width: int = 4) -> None:
        super().__init__()
        self.width = 4 * width
        layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            NORMS.get(fault, nn.BatchNorm2d)(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.layers = AROUND[fault](layers) if fault in AROUND else layers

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features
