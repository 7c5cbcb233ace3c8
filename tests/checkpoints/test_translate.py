"""Each layout's weights, in an encoder of ours, compute what their own network computes."""

from pathlib import Path

import pytest
import torch
from layout_files import DUAL, IMAGENET, LAYOUTS, SINGLE, Written
from reference_nets import Net, randomised, weights
from torch import Tensor, nn
from torchvision import models

from robench.catalog.catalog import Catalog
from robench.checkpoints.heads import own_head
from robench.checkpoints.layouts import Layout, choose_branch, normalization, recognise, stem
from robench.checkpoints.naming import Trunk, place, trunk
from robench.checkpoints.reading import Checkpoint, read
from robench.checkpoints.translate import load, names, translate
from robench.contracts import Encoder
from robench.grid.spec import SpecError, Value, parse
from robench.tensors.modes import preserved_random_state

GIVEN = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
TYPED = "0.4,0.5,0.6:0.2,0.3,0.25"
DEEP = (3, 4, 6, 3)
IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def built(spec: str, **more: Value) -> Encoder:
    encoder = Catalog().build("encoders", parse(spec).with_defaults(more))
    assert isinstance(encoder, Encoder)
    return encoder


def saved(written: Written, folder: Path) -> tuple[Checkpoint, Trunk, Layout]:
    path = folder / "guest.pt"
    torch.save(written.entries, path)
    checkpoint = read(path)
    found = trunk(checkpoint.state)
    return checkpoint, found, recognise(checkpoint, found)


def pixels(written: Written) -> Tensor:
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in written.pixels or GIVEN)
    return (IMAGES - mean) / std


@pytest.mark.parametrize(
    ("name", "branch"),
    [*((name, None) for name in SINGLE)]
    + [(name, branch) for name in DUAL for branch in ("clean", "adversarial")],
)
def test_features_are_those_of_the_network_that_was_written(
    name: str, branch: str | None, tmp_path: Path
) -> None:
    written = LAYOUTS[name]()
    checkpoint, found, layout = saved(written, tmp_path)
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
    assert bool(rest) == (branch is not None)
    assert all("bn" in name for name in rest)  # the other branches' BatchNorms
    assert len(rest) % (20 * 5) == 0  # 20 BatchNorms of 5 tensors in a ResNet-18


@pytest.mark.parametrize("name", DUAL)
def test_two_branches_are_asked_for(name: str, tmp_path: Path) -> None:
    _, found, layout = saved(LAYOUTS[name](), tmp_path)
    with pytest.raises(SpecError, match=r"two BatchNorm branches; give --bn clean or --bn adv"):
        choose_branch(layout, found, None)


def test_a_branch_that_is_not_there_is_refused(tmp_path: Path) -> None:
    _, found, layout = saved(LAYOUTS["kuangliu"](), tmp_path)
    with pytest.raises(SpecError, match="no BatchNorm branch 'adversarial'"):
        choose_branch(layout, found, "adversarial")
    assert choose_branch(layout, found, "clean") == "clean"


@pytest.mark.parametrize("name", ["solo", "lightly", "torchvision", "kuangliu"])
def test_unknown_normalisation_is_asked_for(name: str, tmp_path: Path) -> None:
    checkpoint, found, layout = saved(LAYOUTS[name](), tmp_path)
    with pytest.raises(SpecError, match=r"give it, such as --encoder 'resnet18\(norm"):
        normalization(layout, checkpoint.state, found)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("resnet34", 32), ("resnet50", 32)])
def test_torchvision_s_own_networks_give_their_own_logits(name: str, size: int) -> None:
    with preserved_random_state():
        theirs = randomised(getattr(models, name)(num_classes=4), 3).eval()
    state = theirs.state_dict()
    encoder = built(f"{name}(stem=imagenet, normalize=imagenet)")
    translation = translate(state, encoder)
    load(encoder, translation)
    head = own_head(state, trunk(state), encoder.width, 4)
    assert set(translation.unused) == set(head.names)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in IMAGENET)
    with torch.no_grad():
        expected = theirs((images - mean) / std)
        logits = head.layer(encoder.eval()(images))
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_the_last_layer_of_clae_s_plain_branch_is_the_embedding(tmp_path: Path) -> None:
    written = LAYOUTS["clae_plain"]()
    checkpoint, _, _ = saved(written, tmp_path)
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


def test_older_weights_have_no_counters_and_some_half_precision() -> None:
    written = LAYOUTS["torchvision"]()
    state = {name: t for name, t in weights(written.net).items() if "batches" not in name}
    encoder = built(written.encoder, normalize=TYPED)
    load(encoder, translate(state, encoder))
    with torch.no_grad():
        expected = written.net(pixels(written))
        torch.testing.assert_close(encoder.eval()(IMAGES), expected, rtol=1e-5, atol=1e-5)
    translation = translate({name: tensor.half() for name, tensor in state.items()}, encoder)
    assert translation.weights["network.0.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("net", "encoder", "message"),
    [
        (Net("torchvision"), "resnet18(width=8)", "conv1.weight is [4, 3, 3, 3], expected"),
        (Net("torchvision"), "resnet18(width=8)", "'resnet18(width=4)' would fit"),
        (Net("torchvision"), "resnet8(width=4)", "layer1.1 has no place"),
        (Net("torchvision"), "resnet50(width=4)", "layer1.0.conv3.weight is missing"),
        (Net("torchvision", 1, DEEP, 4), "resnet18(width=4)", "'resnet50(width=4)' would fit"),
        (Net("torchvision", stem=7), "resnet18(width=4)", "'resnet18(width=4)' would fit"),
        (Net("torchvision"), "resnet18(stem=imagenet, width=4)", "expected [4, 3, 7, 7]"),
        (Net("torchvision", stem=5), "resnet18(width=4)", "its stem is 5x5, and those"),
        # Everything that the encoder wants is in a deeper network too.
        (Net("kuangliu", 1, DEEP), "resnet18(width=4)", "has no place"),
        (Net("kuangliu", 1, DEEP), "resnet18(width=4)", "'resnet34(width=4)'"),
        (Net("kuangliu", 1, (3, 4, 9, 3)), "resnet34(width=4)", "basic blocks, 3, 4,"),
        (nn.Linear(1, 1), "resnet18(width=4)", "no residual network"),
    ],
)
def test_what_does_not_fit_is_refused(net: nn.Module, encoder: str, message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        translate(weights(net), built(encoder))
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
    with pytest.raises(SpecError, match=r"several encoders in .* \(student., teacher.\)"):
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
