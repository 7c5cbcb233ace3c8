"""SimSiam (Chen & He 2021, arXiv 2011.10566)."""

from torch import Tensor, nn

from robench.contracts import Batch, Encoder, Objective
from robench.grid.recipe import Recipe
from robench.tensors.augment import Augment
from robench.tensors.contrast import mean_cosine
from robench.tensors.learners import normed_projector


class SimSiam(Objective):
    """Minus the cosine between one view's prediction and the other's projection, held constant.

    L = -cos(h(z1), sg(z2)) / 2 - cos(h(z2), sg(z1)) / 2 (equations 1 to 4), each view a BatchNorm
    batch of its own (simsiam/builder.py:42-58 at a7bc177). Nothing pushes images apart.

    Defaults are the paper's for CIFAR-10 (appendix D): a projector of two layers, where the code,
    for ImageNet, has three; 2,048 outputs, with a BatchNorm without weights after them; a
    ``predictor`` of 512 hidden units; no blur. The predictor's learning rate falls with all others,
    as in the paper's baseline; the code can hold it (--fix-pred-lr).
    """

    # Base learning rate 0.03 for 256 images, in batches of 512 (appendix D, main_simsiam.py:157).
    recipe = Recipe(epochs=800, batch=512, optimizer="sgd", lr=0.06, weight_decay=5e-4)

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden: int = 2048,
        output: int = 2048,
        predictor: int = 512,
        crop: float = 0.2,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = nn.Sequential(
            normed_projector(encoder.width, hidden, output), nn.BatchNorm1d(output, affine=False)
        )
        self.predictor = normed_projector(output, predictor, output, bias=True)
        # main_simsiam.py:229-237
        view = Augment((crop, 1.0), order=("crop", "jitter", "grayscale", "flip"))
        self.augments = view, view

    def forward(self, batch: Batch) -> Tensor:
        views = [augment(batch.images, batch.generator) for augment in self.augments]
        first, second = (self.projector(self.encoder(view)) for view in views)
        agreement = mean_cosine(self.predictor(first), second.detach())
        return -(agreement + mean_cosine(self.predictor(second), first.detach())) / 2
