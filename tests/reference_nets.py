"""Small residual networks with the names that other people's code gives to weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 4


class Listed(nn.Module):
    """Several BatchNorms in ``bn_list``, as in ACL."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.bn_list = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(count))
        self.branch = 0

    def forward(self, images: Tensor) -> Tensor:
        return self.bn_list[self.branch](images)


class Named(nn.Module):
    """BatchNorms under names of their own: ``bn1`` and, with two branches, ``bn1_adv``."""

    def __init__(self, style: str, branches: int) -> None:
        super().__init__()
        self.style, self.branches, self.branch = style, branches, 0

    def add_norm(self, name: str, channels: int) -> None:
        if self.style == "acl":
            setattr(self, name, Listed(channels, self.branches))
            return
        setattr(self, name, nn.BatchNorm2d(channels))
        if self.branches == 2:
            setattr(self, f"{name}_adv", nn.BatchNorm2d(channels))

    def norm(self, name: str, images: Tensor) -> Tensor:
        last = "_adv" if self.branch == 1 and self.style != "acl" else ""
        return getattr(self, name + last)(images)


class Downsample(Named):
    def __init__(self, inputs: int, outputs: int, stride: int, style: str, branches: int) -> None:
        super().__init__(style, branches)
        self.conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.add_norm("bn", outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm("bn", self.conv(images))


class Block(Named):
    """A basic block, or a bottleneck with ``expansion`` 4."""

    def __init__(
        self, inputs: int, width: int, stride: int, style: str, branches: int, expansion: int
    ) -> None:
        super().__init__(style, branches)
        outputs = width * expansion
        if expansion == 1:
            sizes = [(inputs, width, 3, stride), (width, width, 3, 1)]
        else:
            sizes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        for i, (before, after, kernel, step) in enumerate(sizes, 1):
            conv = nn.Conv2d(before, after, kernel, step, padding=kernel // 2, bias=False)
            setattr(self, f"conv{i}", conv)
            self.add_norm(f"bn{i}", after)
        self.depth = len(sizes)
        if stride == 1 and inputs == outputs:
            return
        conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        if style == "kuangliu":
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))
        elif style == "torchvision":
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))
        elif style == "clae":
            self.shortcut = nn.Sequential(conv)
            self.add_norm("shortcut_bn", outputs)
        else:  # ACL, and its older form with bn_adv
            self.downsample = Downsample(inputs, outputs, stride, style, branches)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for i in range(1, self.depth + 1):
            x = self.norm(f"bn{i}", getattr(self, f"conv{i}")(x))
            x = F.relu(x) if i < self.depth else x
        if hasattr(self, "downsample"):
            images = self.downsample(images)
        elif hasattr(self, "shortcut"):
            images = self.shortcut(images)
            images = self.norm("shortcut_bn", images) if self.style == "clae" else images
        return F.relu(x + images)


class Net(Named):
    """A whole network without a head: images to features."""

    def __init__(
        self,
        style: str,
        branches: int = 1,
        depths: tuple[int, ...] = (2, 2, 2, 2),
        expansion: int = 1,
        padding: int = 1,
        stem: int = 3,
        rectified: bool = True,
    ) -> None:
        super().__init__(style, branches)
        stride = 2 if stem == 7 else 1
        self.conv1 = nn.Conv2d(3, WIDTH, stem, stride, padding=padding, bias=False)
        self.pooled = stem == 7
        self.add_norm("bn1", WIDTH)
        self.rectified = rectified
        inputs = WIDTH
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                stride = 2 if stage and not i else 1
                width = WIDTH * 2**stage
                blocks.append(Block(inputs, width, stride, style, branches, expansion))
                inputs = width * expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages, self.features = len(depths), inputs
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm("bn1", self.conv1(images))
        x = F.relu(x) if self.rectified else x
        x = F.max_pool2d(x, 3, 2, padding=1) if self.pooled else x
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))

    def through(self, branch: int) -> "Net":
        for module in self.modules():
            if isinstance(module, Named | Listed):
                module.branch = branch
        return self


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Random weights and statistics that keep activations about as large as they were."""
    dice = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5, generator=dice)
        elif tensor.is_floating_point():
            spread = 1.5 / max(1, tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.2
            tensor.normal_(0, spread, generator=dice)
    return module


def weights(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor.clone() for name, tensor in module.state_dict().items()}
