"""Each layout's weights, in an encoder of ours, compute what their own network computes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from layout_files import (
    DUAL,
    IMAGENET,
    SINGLE,
    Written,
    clae_plain,
    kuangliu,
    torchvision,
    torchvision_50,
)
from reference_nets import Net, randomised, weights
from torch import Tensor, nn
from torchvision import models

from robench.catalog.catalog import Catalog
from robench.checkpoints.heads import own_head
from robench.checkpoints.layouts import choose_branch, normalization, recognise, stem
from robench.checkpoints.naming import place, trunk
from robench.checkpoints.reading import Checkpoint, read
from robench.checkpoints.translate import load, names, translate
from robench.contracts import Encoder
from robench.grid.spec import SpecError, Value, parse
from robench.tensors.modes import preserved_random_state

GIVEN = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
TYPED = "0.4,0.5,0.6:0.2,0.3,0.25"
IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def built(spec: str, **more: Value) -> Encoder:
    encoder = Catalog().build("encoders", parse(spec).with_defaults(more))
    assert isinstance(encoder, Encoder)
    return encoder


def saved(written: Written, folder: Path) -> Checkpoint:
    path = folder / "guest.pt"
    torch.save(written.entries, path)
    return read(path)


def pixels(written: Written) -> Tensor:
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in written.pixels or GIVEN)
    return (IMAGES - mean) / std


def check(written: Written, folder: Path, branch: str | None) -> None:
    checkpoint = saved(written, folder)
    found = trunk(checkpoint.state)
    layout = recognise(checkpoint, found)
    assert layout.name == written.layout
    own = TYPED if written.pixels is None else normalization(layout, checkpoint.state, found)[0]
    encoder = built(written.encoder, normalize=own, stem=stem(layout, checkpoint.state, found))
    if written.pixels is not None:
        used = [buffer.flatten().tolist() for buffer in encoder.normalize.buffers()]
        assert used == [pytest.approx(numbers) for numbers in written.pixels]
    translation = translate(checkpoint.state, encoder, choose_branch(layout, found, branch))
    load(encoder, translation)
    encoder.eval()
    with torch.no_grad():
        expected = written.net.through(1 if branch == "adversarial" else 0)(pixels(written))
        features = encoder(IMAGES)
    assert expected.std() > 0.01
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    assert written.heads <= set(translation.unused)
    rest = {name for name in translation.unused if "normalize." not in name} - written.heads
    if branch is None:
        assert not rest
    else:
        # The other branches' BatchNorms, and nothing else.
        assert rest
        assert all("bn" in name for name in rest)
        assert len(rest) % (20 * 5) == 0  # 20 BatchNorms of 5 tensors in a ResNet-18


@pytest.mark.parametrize("write", SINGLE)
def test_one_branch(write: Callable[[], Written], tmp_path: Path) -> None:
    check(write(), tmp_path, None)


@pytest.mark.parametrize("branch", ["clean", "adversarial"])
@pytest.mark.parametrize("write", DUAL)
def test_two_branches(write: Callable[[], Written], branch: str, tmp_path: Path) -> None:
    check(write(), tmp_path, branch)


@pytest.mark.parametrize("write", DUAL)
def test_two_branches_are_asked_for(write: Callable[[], Written], tmp_path: Path) -> None:
    checkpoint = saved(write(), tmp_path)
    found = trunk(checkpoint.state)
    with pytest.raises(SpecError, match=r"two BatchNorm branches; give --bn clean or --bn adv"):
        choose_branch(recognise(checkpoint, found), found, None)


def test_a_branch_that_is_not_there_is_refused(tmp_path: Path) -> None:
    checkpoint = saved(kuangliu(), tmp_path)
    found = trunk(checkpoint.state)
    layout = recognise(checkpoint, found)
    with pytest.raises(SpecError, match="no BatchNorm branch 'adversarial'"):
        choose_branch(layout, found, "adversarial")
    assert choose_branch(layout, found, "clean") == "clean"


@pytest.mark.parametrize("write", [w for w in SINGLE if w().pixels is None])
def test_unknown_normalisation_is_asked_for(write: Callable[[], Written], tmp_path: Path) -> None:
    checkpoint = saved(write(), tmp_path)
    found = trunk(checkpoint.state)
    with pytest.raises(SpecError, match=r"give it, such as --encoder 'resnet18\(norm"):
        normalization(recognise(checkpoint, found), checkpoint.state, found)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_torchvision_s_own_networks_give_their_own_logits(
    name: str, size: int, tmp_path: Path
) -> None:
    with preserved_random_state():
        theirs = randomised(getattr(models, name)(num_classes=4), 3).eval()
    torch.save(theirs.state_dict(), tmp_path / "guest.pt")
    checkpoint = read(tmp_path / "guest.pt")
    found = trunk(checkpoint.state)
    assert stem(recognise(checkpoint, found), checkpoint.state, found) == "imagenet"
    encoder = built(f"{name}(stem=imagenet, normalize=imagenet)")
    translation = translate(checkpoint.state, encoder)
    load(encoder, translation)
    head = own_head(checkpoint.state, found, encoder.width, 4)
    assert set(translation.unused) == set(head.names)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in IMAGENET)
    with torch.no_grad():
        expected = theirs((images - mean) / std)
        logits = head.layer(encoder.eval()(images))
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_the_last_layer_of_clae_s_plain_branch_is_the_embedding(tmp_path: Path) -> None:
    written = clae_plain()
    checkpoint = saved(written, tmp_path)
    encoder = built("resnet18(embedding=128, normalize=pytorch-cifar, width=4)")
    translation = translate(checkpoint.state, encoder, "clean")
    load(encoder, translation)
    assert all("bn_adv" in name or "_adv." in name for name in translation.unused)
    head = {name: checkpoint.state[f"linear.{name}"] for name in ("weight", "bias")}
    with torch.no_grad():
        plain = written.net.through(0)(pixels(written)) @ head["weight"].T + head["bias"]
        features = encoder.eval()(IMAGES)
    torch.testing.assert_close(features, plain / plain.norm(dim=1, keepdim=True))


def test_a_list_of_one_is_clean_and_a_third_branch_neither() -> None:
    assert place("bn1.bn_list.weight") == ("bn1.weight", "clean")
    assert place("layer1.0.bn1.bn_list.2.weight") == ("layer1.0.bn1.weight", "branch 2")


def test_safetensors_and_older_files_without_counters(tmp_path: Path) -> None:
    written = torchvision()
    state = {n: t for n, t in written.entries.items() if not n.endswith("num_batches_tracked")}
    path = tmp_path / "guest.safetensors"
    safetensors.torch.save_file(state, path)
    checkpoint = read(path)
    encoder = built(written.encoder, normalize=TYPED)
    load(encoder, translate(checkpoint.state, encoder))
    with torch.no_grad():
        expected = written.net(pixels(written))
        torch.testing.assert_close(encoder.eval()(IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_half_precision_weights_become_float32() -> None:
    state = {name: tensor.half() for name, tensor in weights(torchvision().net).items()}
    translation = translate(state, built("resnet18(width=4)"))
    assert translation.weights["network.0.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("state", "encoder", "message"),
    [
        (weights(torchvision().net), "resnet18(width=8)", "conv1.weight is [4, 3, 3, 3], expected"),
        (weights(torchvision().net), "resnet18(width=8)", "'resnet18(width=4)' would fit"),
        (weights(torchvision().net), "resnet8(width=4)", "layer1.1 has no place"),
        (weights(torchvision().net), "resnet50(width=4)", "layer1.0.conv3.weight is missing"),
        (weights(torchvision_50().net), "resnet18(width=4)", "'resnet50(width=4)' would fit"),
        (weights(Net("torchvision", stem=7)), "resnet18(width=4)", "'resnet18(width=4)' would fit"),
        (weights(torchvision().net), "resnet18(stem=imagenet, width=4)", "expected [4, 3, 7, 7]"),
        (weights(Net("torchvision", stem=5)), "resnet18(width=4)", "its stem is 5x5, and those"),
        # Everything that the encoder wants is in a deeper network too.
        (weights(Net("kuangliu", depths=(3, 4, 6, 3))), "resnet18(width=4)", "has no place"),
        (weights(Net("kuangliu", depths=(3, 4, 6, 3))), "resnet18(width=4)", "'resnet34(width=4)'"),
        (weights(Net("kuangliu", depths=(3, 4, 9, 3))), "resnet34(width=4)", "basic blocks, 3, 4,"),
        ({"blocks.0.attn.qkv.weight": torch.zeros(1)}, "resnet18(width=4)", "no residual network"),
    ],
)
def test_what_does_not_fit_is_refused(state: dict[str, Tensor], encoder: str, message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        translate(state, built(encoder))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_encoders_of_another_kind_are_refused() -> None:
    class Flat(Encoder):
        pass

    with pytest.raises(SpecError, match="use resnet8, resnet18, resnet34, resnet50"):
        names(Flat())


def test_several_encoders_are_refused() -> None:
    net = Net("kuangliu")
    state = weights(net, "student.") | weights(net, "teacher.")
    with pytest.raises(
        SpecError, match=r"several encoders in the checkpoint \(student., teacher.\)"
    ):
        trunk(state)
    assert trunk(weights(net, "student.")).prefix == "student."


def test_own_heads() -> None:
    net = Net("kuangliu")
    wide = nn.Linear(32, 128)
    state = weights(net) | weights(wide, "linear.")
    with pytest.raises(SpecError, match="head linear has 128 outputs and the data 4 classes"):
        own_head(state, trunk(state), 32, 4)
    # AdvCL's trained classifier lies beside the model, whose own was never trained.
    fitted = nn.Linear(32, 4, bias=False)
    state |= weights(fitted, "classifier.fc.")
    head = own_head(state, trunk(state), 32, 4)
    assert head.names == ("classifier.fc.weight",)
    features = torch.ones(2, 32)
    assert torch.equal(head.layer(features), fitted(features))
    with pytest.raises(SpecError, match="no linear head of 16 features"):
        own_head(state, trunk(state), 16, 4)
