"""My encoder: three convolutions with BatchNorm, and the mean over the image."""

from torch import Tensor, nn

from robench.contracts import Encoder


class MyEncoder(Encoder):
    """A plain convolutional network: `robench ls encoders` shows this line."""

    # An argument has a type and a default, and is typed as --encoders "my_encoder(channels=32)".
    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels={channels} should be positive")
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, channels), (channels, channels), (channels, 2 * channels)):
            convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.width = 2 * channels  # of the features

    def forward(self, images: Tensor) -> Tensor:
        # Images are float32 [B, 3, H, W] in [0, 1], of any size, and normalising them is the
        # encoder's own work. In eval mode an image's features do not depend on the others.
        features: Tensor = self.layers((images - 0.5) / 0.5)
        return features
