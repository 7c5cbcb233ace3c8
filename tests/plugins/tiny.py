"""The smallest encoder that learns something."""

from torch import Tensor, nn

from robench.contracts import Encoder


class Tiny(Encoder):
    """One convolution to ``width`` channels, pooled to two by two."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width={width} is too small")
        self.width = 4 * width
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images - 0.5)
        return features
