"""Each layout's weights, in an encoder of ours, compute what their own network computes."""

import re
from pathlib import Path

import pytest
import torch
from layout_files import DUAL, IMAGENET, LAYOUTS, SINGLE, Written, torchvision
from reference_nets import Net, randomised, weights
from torch import Tensor, nn
from torchvision import models

from robench.catalog.catalog import Catalog
from robench.checkpoints.heads import own_head
from robench.checkpoints.layouts import Layout, choose_branch, normalization, recognise, usual_stem
from robench.checkpoints.naming import Trunk, place, trunk
from robench.checkpoints.reading import Checkpoint, read
from robench.checkpoints.translate import architecture, load, names, translate
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
    kernel = str(architecture(checkpoint.state, found).get("stem"))
    encoder = built(written.encoder, normalize=own, stem=usual_stem(layout, kernel, found))
    if written.pixels is not None:
        used = [buffer.flatten().tolist() for buffer in encoder.normalize.buffers()]
        assert used == [pytest.approx(numbers) for numbers in written.pixels]
    translation = translate(checkpoint.state, found, encoder, choose_branch(layout, found, branch))
    load(encoder, translation)
    encoder.eval()
    with torch.no_grad():
        expected = written.net.through(1 if branch == "adversarial" else 0)(pixels(written))
        features = encoder(IMAGES)
    assert expected.std() > 0.01
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    unused = {name.removeprefix("model.") for name in translation.unused}
    assert written.heads <= unused
    rest = {name for name in unused if "normalize." not in name} - written.heads
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
    with pytest.raises(SpecError, match=r"give it with --normalize: one of none, half"):
        normalization(layout, checkpoint.state, found)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("resnet34", 32), ("resnet50", 32)])
def test_torchvision_s_own_networks_give_their_own_logits(name: str, size: int) -> None:
    with preserved_random_state():
        theirs = randomised(getattr(models, name)(num_classes=4), 3).eval()
    state = theirs.state_dict()
    encoder = built(f"{name}(stem=imagenet, normalize=imagenet)")
    translation = translate(state, trunk(state), encoder)
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
    checkpoint, found, _ = saved(written, tmp_path)
    encoder = built("resnet18(embedding=128, normalize=pytorch-cifar, width=4)")
    translation = translate(checkpoint.state, found, encoder, "clean")
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
    load(encoder, translate(state, trunk(state), encoder))
    with torch.no_grad():
        expected = written.net(pixels(written))
        torch.testing.assert_close(encoder.eval()(IMAGES), expected, rtol=1e-5, atol=1e-5)
    halves = {name: tensor.half() for name, tensor in state.items()}
    translation = translate(halves, trunk(halves), encoder)
    assert translation.weights["network.0.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("net", "encoder", "message"),
    [
        (Net("torchvision"), "resnet18(width=8)", "conv1.weight is [4, 3, 3, 3], expected"),
        (Net("torchvision"), "resnet18(width=8)", "--encoder 'resnet18(width=4)' would fit"),
        (Net("torchvision"), "resnet8(width=4)", "layer1.1.conv1.weight has no place"),
        (Net("torchvision"), "resnet50(width=4)", "layer1.0.conv3.weight is missing"),
        (Net("torchvision", 1, DEEP, 4), "resnet18(width=4)", "'resnet50(width=4)' would fit"),
        (Net("torchvision", stem=7), "resnet18(width=4)", "--stem imagenet would fit"),
        (Net("torchvision"), "resnet18(stem=imagenet, width=4)", "expected [4, 3, 7, 7]"),
        (Net("torchvision", stem=5), "resnet18(width=4)", "its stem is 5x5; those"),
        # Everything that the encoder wants is in a deeper network too.
        (Net("kuangliu", 1, DEEP), "resnet18(width=4)", "has no place"),
        (Net("kuangliu", 1, DEEP), "resnet18(width=4)", "'resnet34(width=4)'"),
        (Net("kuangliu", 1, (3, 4, 9, 3)), "resnet34(width=4)", "basic blocks, 3, 4,"),
        (nn.Linear(1, 1), "resnet18(width=4)", "no residual network"),
    ],
)
def test_what_does_not_fit_is_refused(net: nn.Module, encoder: str, message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        translate(weights(net), trunk(weights(net)), built(encoder))
    assert message in str(refusal.value)
    assert not (would := re.search(r"'(\S.*?)' would", str(refusal.value))) or would[1] != encoder
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "extra",
    [
        "layer1.0.conv2.scale",
        "layer2.0.se.fc1.weight",
        "layer5.0.conv1.weight",
        "bn2.weight",
        "attnpool.positional_embedding",
        "normalize.weight",
    ],
)
@pytest.mark.parametrize("prefix", ["", "student.backbone."])
def test_a_weight_of_the_network_without_a_place_is_named(prefix: str, extra: str) -> None:
    state = weights(Net("torchvision"), prefix) | {f"{prefix}{extra}": torch.ones(4)}
    with pytest.raises(SpecError) as refusal:
        translate(state, trunk(state), built("resnet18(width=4)"))
    assert f"the encoder: {prefix}{extra} has no place" in str(refusal.value)
    assert "would fit" not in str(refusal.value)


@pytest.mark.parametrize(
    ("style", "branches", "branch"),
    [("torchvision", 1, "clean"), ("clae", 2, "clean"), ("acl", 2, "adversarial")],
)
def test_biases_of_convolutions_are_folded_into_batchnorm(
    style: str, branches: int, branch: str
) -> None:
    net = randomised(Net(style, branches), 5)
    generator = torch.Generator().manual_seed(1)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and ("conv1" in name or "s" in name):
            bias = torch.randn(module.out_channels, generator=generator)
            module.bias = nn.Parameter(bias, requires_grad=False)
    state, encoder = weights(net), built("resnet18(width=4, normalize=none)")
    translation = translate(state, trunk(state), encoder, branch)
    assert len(translation.folded) == 1 + 8 + 3
    assert not {name for name in translation.unused if name.endswith("bias")} - {
        name for name in state if "bn" in name
    }
    load(encoder, translation)
    with torch.no_grad():
        expected = net.through(1 if branch == "adversarial" else 0)(IMAGES)
        torch.testing.assert_close(encoder.eval()(IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_there_twice_is_refused() -> None:
    state = weights(Net("torchvision")) | weights(Net("kuangliu"))
    with pytest.raises(SpecError, match=r"has layer2.0.shortcut.0.weight twice: .*downsample"):
        translate(state, trunk(state), built("resnet18(width=4)"))


@pytest.mark.parametrize(
    ("prefixes", "typed", "chosen"),
    [
        (["encoder_q.", "encoder_k."], "encoder_q", "encoder_q."),
        (["encoder_q.", "encoder_k."], "module.encoder_k.", "encoder_k."),
        (["", "ema."], "ema", "ema."),
        (["", "ema."], "", ""),
        (["state_dict.backbone.", "state_dict_ema.backbone."], "state_dict_ema", None),
        (["model.student.", "model.teacher."], "teacher", "model.teacher."),
        (["backbone.", "momentum_backbone."], None, "backbone."),
        (["backbone.", "momentum_backbone."], "momentum_backbone", "momentum_backbone."),
        (["backbone.", "backbone_momentum."], None, "backbone."),
        (["online_encoder.", "target_encoder."], None, None),
        (["encoder_q.", "encoder_k."], "encoder", None),
    ],
)
def test_an_encoder_is_chosen_among_several(
    prefixes: list[str], typed: str | None, chosen: str | None
) -> None:
    state = {}
    for prefix in prefixes:
        state |= weights(Net("torchvision"), prefix)
    if chosen is None:
        listed = ", ".join(prefix.rstrip(".") for prefix in sorted(prefixes))
        with pytest.raises(SpecError, match=listed):
            trunk(state, typed)
    else:
        found = trunk(state, typed)
        assert (found.prefix, {*found.others}) == (chosen, {*prefixes} - {chosen})
        assert len(found.names) == len(weights(Net("torchvision")))


@pytest.mark.parametrize(
    ("numbers", "kernel", "stem"),
    [
        ("013456", 7, "imagenet-no-pool"),
        ("014567", 7, "imagenet"),
        ("012345", 7, "imagenet-no-relu-no-pool"),
        ("013456", 3, "cifar"),
    ],
)
def test_a_sequential_tells_by_its_numbers_whether_it_pools(
    numbers: str, kernel: int, stem: str, tmp_path: Path
) -> None:
    written = torchvision(numbers=numbers, stem=kernel, padding=kernel // 2, prefix="net.")
    checkpoint, found, layout = saved(written, tmp_path)
    fits = architecture(checkpoint.state, found)
    assert fits.without("stem") == parse("resnet18(width=4)")
    assert usual_stem(layout, str(fits.get("stem")), found) == stem
    encoder = built(f"resnet18(width=4, stem={stem}, normalize={TYPED!r})")
    load(encoder, translate(checkpoint.state, found, encoder))
    written.net.pooled, written.net.rectified = stem == "imagenet", numbers != "012345"
    with torch.no_grad():
        expected, features = written.net(pixels(written)), encoder.eval()(IMAGES)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["normalize.mean", "mu", "module.0.mean", "norm.mean"])
@pytest.mark.parametrize("scale", [1, 255])
def test_normalization_in_the_file_is_read(name: str, scale: int, tmp_path: Path) -> None:
    twin = name.replace("mean", "std").replace("mu", "sigma")
    numbers = dict(zip((name, twin), map(torch.tensor, IMAGENET), strict=True))
    layer = {name: (scale * tensor)[None, :, None, None] for name, tensor in numbers.items()}
    entries = torchvision(prefix="model.").entries | layer
    torch.save(entries, tmp_path / "a.pt")
    checkpoint = read(tmp_path / "a.pt")
    found = trunk(checkpoint.state)
    text, source = normalization(recognise(checkpoint, found), checkpoint.state, found)
    assert text == "imagenet"
    assert source.endswith("in the checkpoint")
    assert architecture(checkpoint.state, found).name == "resnet18"


def test_simsiam_s_names_are_not_solo_learn_s(tmp_path: Path) -> None:
    for prefix, heads in (("encoder.", ["predictor.0"]), ("backbone.", ["projector.layer1.0"])):
        written = torchvision(prefix=prefix, heads=heads)
        _, found, layout = saved(written, tmp_path)
        assert (layout.name, usual_stem(layout, "cifar", found)) == ("torchvision", "cifar")


def test_encoders_of_another_kind_are_refused() -> None:
    class Flat(Encoder):
        pass

    with pytest.raises(SpecError, match="use resnet8, resnet18, resnet34, resnet50"):
        names(Flat())


def test_several_encoders_are_refused() -> None:
    net = Net("kuangliu")
    state = weights(net, "student.") | weights(net, "teacher.")
    with pytest.raises(SpecError, match=r"several encoders in .* --prefix: student, teacher$"):
        trunk(state)
    assert trunk(weights(net, "student.")).prefix == "student."


def test_own_heads() -> None:
    net = Net("kuangliu")
    wide = nn.Linear(32, 128)
    state = weights(net) | weights(wide, "linear.")
    with pytest.raises(SpecError, match="linear has 128 outputs and the data 4 classes"):
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
    # One of other classes, or whose bias is of another, hides none behind it.
    hidden = {"classifier.bias": torch.ones(5), "classifier.weight": torch.ones(4, 32)}
    fc = weights(nn.Linear(32, 4), "student.head.fc.")
    state = weights(net, "student.backbone.") | hidden | weights(wide, "fc.") | fc
    assert own_head(state, trunk(state), 32, 4).place == "student.head.fc"
