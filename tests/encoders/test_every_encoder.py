"""What each file in robench/encoders promises; a new file is under test without an edit here."""

from collections.abc import Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from robench.catalog.catalog import Catalog
from robench.contracts import Encoder
from robench.grid.spec import SpecError, parse
from robench.tensors.modes import preserved_random_state

NAMES = Catalog().names("encoders")
OTHERWISE = ["resnet8(stem=imagenet, width=4)", "resnet8(embedding=6, width=4)"]


@pytest.fixture(params=[*(f"{name}(width=4)" for name in NAMES), *OTHERWISE])
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    """With statistics that differ from batch to batch, and from where they started."""
    with preserved_random_state():
        torch.manual_seed(0)
        encoder: Encoder = Catalog().build("encoders", request.param)
        encoder(images(16, count=8, seed=9))
        yield encoder.eval()


def images(size: int, count: int = 4, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [16, 32])
def test_images_become_features_of_its_width_and_nothing_else_changes(
    encoder: Encoder, size: int
) -> None:
    batch, before = images(size), torch.get_rng_state()
    features = encoder(batch)
    assert features.shape == (4, encoder.width)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    turned = encoder(batch.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, features, rtol=0, atol=1e-5)
    encoder.train()(batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(batch, images(size))


def test_in_eval_mode_an_image_s_features_are_its_own(encoder: Encoder) -> None:
    batch = images(16)
    with torch.no_grad():
        whole, alone = encoder(batch), torch.cat([encoder(image[None]) for image in batch])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)
    assert (whole[0] - whole[1]).abs().max() > 1e-5


def test_it_computes_in_float64(encoder: Encoder) -> None:
    single = encoder(images(16))
    double = encoder.double()(images(16).double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-4)


def test_gradients_reach_the_pixels_and_every_weight(encoder: Encoder) -> None:
    batch = images(16).requires_grad_()
    encoder.train()(batch).square().sum().backward()
    assert batch.grad is not None
    assert batch.grad.flatten(1).any(dim=1).all()
    assert all(p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize("name", ["resnet8", "resnet50"])
@pytest.mark.parametrize(
    ("typed", "mean", "std"),
    [
        ("none", (0.0,), (1.0,)),
        ("half", (0.5,), (0.5,)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        ("cifar100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        ("pytorch-cifar", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("'0.1, 0.2,0.3:0.5'", (0.1, 0.2, 0.3), (0.5,)),
    ],
)
def test_normalization_is_its_first_layer(
    name: str, typed: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    spec = Catalog().resolve("encoders", parse(f"{name}(width=4, normalize={typed})"))
    with preserved_random_state():
        torch.manual_seed(0)
        own = Catalog().build("encoders", spec).eval()
        raw = Catalog().build("encoders", f"{name}(width=4, normalize=none)").eval()
    assert own.state_dict().keys() == raw.state_dict().keys()
    raw.load_state_dict(own.state_dict())
    batch = images(16)
    subtracted, divided = (torch.tensor(numbers)[:, None, None] for numbers in (mean, std))
    torch.testing.assert_close(own(batch), raw((batch - subtracted) / divided))


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    # The authors' networks without their last layer: 11,173,962 and 23,520,842 with ten classes.
    # ResNet-34 and the stem of ImageNet: torchvision's with a thousand classes, 21,797,672 and
    # 11,689,512. ResNet-8: by hand.
    [
        ("resnet8", 64, 432 + 4_608 + 14_336 + 57_344 + 672),
        ("resnet18", 512, 11_173_962 - 5_130),
        ("resnet50", 2048, 23_520_842 - 20_490),
        ("resnet34(stem=imagenet)", 512, 21_797_672 - 513_000),
        ("resnet18(stem=imagenet)", 512, 11_689_512 - 513_000),
    ],
)
def test_the_papers_networks_have_the_papers_size(name: str, width: int, parameters: int) -> None:
    with torch.device("meta"):
        encoder = Catalog().build("encoders", name)
    assert encoder.width == width
    assert sum(weights.numel() for weights in encoder.parameters()) == parameters


@pytest.mark.parametrize(
    ("spec", "size", "rectified", "pool"),
    [
        *((name, (3, 1, 1), True, None) for name in NAMES),
        ("resnet18(stem=imagenet)", (7, 2, 3), True, (3, 2, 1)),
        ("resnet18(stem=cifar-pad2)", (3, 1, 2), True, None),
        ("resnet18(stem=cifar-no-relu)", (3, 1, 1), False, None),
        ("resnet18(stem=cifar-stride2-pad0-pool)", (3, 2, 0), True, (3, 2, 1)),
        ("resnet18(stem=imagenet-stride1-no-relu-no-pool)", (7, 1, 3), False, None),
    ],
)
def test_stems(
    spec: str, size: tuple[int, ...], rectified: bool, pool: tuple[int, ...] | None
) -> None:
    with torch.device("meta"):
        encoder = Catalog().build("encoders", parse(spec))
    stem, _, activation, after = encoder.network[:4]
    kernel, stride, padding = size
    assert (stem.kernel_size, stem.stride) == ((kernel, kernel), (stride, stride))
    assert (stem.padding, stem.bias) == ((padding, padding), None)
    assert isinstance(activation, nn.ReLU) == rectified
    pools = [m for m in encoder.modules() if isinstance(m, nn.MaxPool2d)]
    assert [(m.kernel_size, m.stride, m.padding) for m in pools] == ([pool] if pool else [])
    assert pool is None or pools == [after]


def test_an_embedding_is_the_linear_layer_after_the_pool_at_length_one() -> None:
    with preserved_random_state():
        torch.manual_seed(0)
        encoder = Catalog().build("encoders", "resnet8(embedding=6, width=4)").eval()
    batch = images(16)
    with torch.no_grad():
        features, pooled = encoder(batch), encoder.network[:-2](encoder.normalize(batch))
    weights = encoder.state_dict()
    plain = pooled @ weights["network.8.weight"].T + weights["network.8.bias"]
    assert encoder.width == 6
    torch.testing.assert_close(features, plain / plain.square().sum(1, keepdim=True).sqrt())


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("normalize='0.1,0.2:1'", "normalize=0.1,0.2:1 should be none, half"),
        ("normalize=wide", "normalize=wide should be none, half"),
        ("normalize='0:0.2,0,0.2'", "std must be positive"),
        ("normalize='0.5:-0.5'", "std must be positive"),
        ("stem=cifar-pool-pad2", "in this order, such as cifar-pad2-pool"),
        ("stem=large", "stem=large is unknown; choose cifar or imagenet, changed"),
        ("embedding=-1", "embedding=-1 must be positive, or 0 for none"),
        ("width=0", "width=0 must be positive"),
    ],
)
@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_arguments_out_of_range_are_refused(name: str, argument: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Catalog().resolve("encoders", parse(f"{name}({argument})"))
