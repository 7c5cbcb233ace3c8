"""Names are found, arguments checked and defaults filled, before any compute."""

from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from commands import PLUGINS

from robench.catalog.catalog import Catalog
from robench.contracts import Attack, Objective
from robench.grid.spec import Spec, SpecError

CATALOG = Catalog()
TOY_KINDS = {
    "blobs": "datasets",
    "tiny": "encoders",
    "mirror": "methods",
    "nudge": "attacks",
    "centroid": "probes",
    "spread": "metrics",
}

DATASET = """
from dataclasses import dataclass
from robench.contracts import Dataset
@dataclass(frozen=True)
class One(Dataset):
    def load(self, root, progress): ...
"""


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("methods", {"plain", "clae", "rocl"}),
        ("encoders", {"resnet8", "resnet18", "resnet34", "resnet50"}),
        ("datasets", {"cifar10", "cifar100", "npz", "folder", "shapes10", "shapes100"}),
        ("probes", {"linear", "linear-adam", "linear-sgd"}),
        ("attacks", {"clean", "pgd", "autoattack"}),
        ("metrics", {"accuracy"}),
        ("presets", {"quick", "cifar-small", "paper/clae", "paper/rocl", "paper/simclr-rocl"}),
    ],
)
def test_a_file_s_name_is_the_component_s(kind: str, some: set[str]) -> None:
    assert some <= set(CATALOG.names(kind))
    for name in CATALOG.names(kind):
        assert CATALOG.summary(kind, name)
        assert CATALOG.signature(kind, name) == "" or CATALOG.signature(kind, name).startswith(name)


@pytest.mark.parametrize(
    ("kind", "typed", "message"),
    [
        ("attacks", "pdg", "no attack 'pdg'; did you mean pgd"),
        ("methods", "rokl", "no method 'rokl'; did you mean rocl"),
        ("datasets", "cifar", "no dataset 'cifar'; did you mean cifar10 or cifar100"),
        ("probes", "linear_sdg", "no probe 'linear_sdg'; did you mean linear-sgd"),
        ("encoders", "vit", "no encoder 'vit'; choose from resnet18, resnet34, resnet50, resnet8"),
        ("attacks", "pgd(step=5)", "pgd has no argument 'step'; did you mean steps"),
        ("attacks", "clean(eps=1)", "clean has no argument 'eps'; it takes none"),
        ("attacks", "pgd(steps=2.5)", "pgd: steps=2.5 should be a whole number"),
        ("attacks", "pgd(steps=many)", "pgd: steps=many should be a whole number"),
        ("attacks", "pgd(steps=none)", "pgd: steps=none should be a whole number"),
        ("attacks", "pgd(eps=8/25x)", "pgd: eps='8/25x' should be a number"),
        ("attacks", "pgd(norm=8)", "pgd: "),
        ("attacks", "pgd(steps=0)", "pgd: steps=0"),
        ("datasets", "npz", "npz needs path: write npz(path=...)"),
        ("datasets", "npz(path=none)", "npz: path=none should be a word"),
        ("encoders", "resnet8(width=0)", "resnet8: "),
        ("methods", "clae(base=rocl)", "clae: base=rocl is unknown; choose simclr, plain, uel"),
        ("attacks", "pgd,clean", "attacks: give one, not 'pgd,clean'"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, typed: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        CATALOG.resolve(kind, typed)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_resolved_spec_says_everything_and_is_stable() -> None:
    full = CATALOG.resolve("attacks", "pgd(eps=4/255)")
    attack = CATALOG.component("attacks", "pgd")
    assert {name for name, _ in full.arguments} == {field.name for field in fields(attack)}
    assert full.get("eps") == Fraction(4, 255)
    assert CATALOG.resolve("attacks", full) == full
    assert CATALOG.resolve("attacks", "pgd(eps=4/255, steps=20.0)") == full


def test_typed_beats_preset_beats_default() -> None:
    full = CATALOG.resolve("attacks", "pgd(restarts=3)", "pgd(steps=7, restarts=2)")
    assert (full.get("steps"), full.get("restarts"), full.get("norm")) == (7, 3, "linf")


def test_a_component_is_built_as_described() -> None:
    attack = CATALOG.build("attacks", "pgd(eps=8/255, steps=3)")
    assert isinstance(attack, Attack)
    assert attack.ball.eps == 8 / 255
    assert type(CATALOG.build("attacks", Spec("pgd", (("eps", 1),))).eps) is float
    objective = CATALOG.build_objective("plain", CATALOG.build("encoders", "resnet8(width=4)"))
    assert isinstance(objective, Objective)


def test_trying_a_spec_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    CATALOG.resolve("encoders", "resnet8(width=4)")
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_have_what_differs_from_the_defaults() -> None:
    full = CATALOG.resolve("attacks", "pgd(steps=50, eps=1/255)")
    assert CATALOG.label("attacks", full.without("norm", "eps")) == "pgd(steps=50)"
    for typed in ("clae", "clae(base=uel)", "clae(base=plain, eps=0.01)", "plain(base=rocl)"):
        assert CATALOG.label("methods", CATALOG.resolve("methods", typed)) == typed


# --- bases


def test_a_base_brings_its_own_numbers() -> None:
    full = CATALOG.resolve("methods", "clae(base=uel, crop=0.3)")
    assert full.get("temperature") is None
    objective = CATALOG.build_objective(full, CATALOG.build("encoders", "resnet8(width=4)"))
    assert (objective.temperature, objective.ball.eps) == (0.1, 0.006027)
    assert objective.augment.crop_scale == (0.3, 1.0)


# --- plug-ins


@pytest.mark.parametrize(("name", "kind"), TOY_KINDS.items())
def test_a_plug_in_is_one_file_with_one_component(name: str, kind: str) -> None:
    catalog = Catalog([PLUGINS / f"{name}.py"])
    assert name in catalog.names(kind)
    assert name not in CATALOG.names(kind)
    assert catalog.summary(kind, name)
    for other in set(TOY_KINDS.values()) - {kind}:
        assert name not in catalog.names(other)


def test_a_plug_in_s_arguments_are_checked_too() -> None:
    catalog = Catalog([PLUGINS / "mirror.py", PLUGINS / "tiny.py"])
    assert str(catalog.resolve("methods", "mirror(noise=0.2)")) == (
        "mirror(noise=0.2, temperature=0.5)"
    )
    with pytest.raises(SpecError, match="mirror: temperature=0"):
        catalog.resolve("methods", "mirror(temperature=0)")
    with pytest.raises(SpecError, match="did you mean noise"):
        catalog.resolve("methods", "mirror(nois=1)")


def _plugin(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", "fails: SyntaxError"),
        ("import nothing_of_that_name\n", "fails: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "fails: SystemExit"),
        ("x = 1\n", "plug-in own holds none; it should define one"),
        (DATASET + DATASET.replace("One", "Two"), "holds One (dataset), Two (dataset)"),
        (DATASET.replace("class One", "class _One"), "holds none"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Catalog([_plugin(tmp_path, text)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plug_in_must_be_a_python_file_with_a_plain_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"missing.py' is not a file"):
        Catalog([tmp_path / "missing.py"])
    for name in ("my set.py", "own.txt", "8ball.py"):
        with pytest.raises(SpecError, match="the file's name is the component's"):
            Catalog([_plugin(tmp_path, DATASET, name)])


def test_a_plug_in_may_not_take_a_name_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a dataset of that name already; rename the file"):
        Catalog([_plugin(tmp_path, DATASET, "cifar10.py")])
    path = _plugin(tmp_path, DATASET)
    with pytest.raises(SpecError, match="of that name already"):
        Catalog([path, path])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("def load", "def __init__(self, size): ...\n    def load", "cannot be written in a spec"),
        (
            "def load",
            "def __init__(self, size: list[int] = []): ...\n    def load",
            "cannot be written in a spec",
        ),
        ("def load", "def __init__(self, *sizes: int): ...\n    def load", "cannot be written"),
        ("def load", "def lod", "own cannot be made: TypeError"),
        # A constructor may compute, which takes real memory; annotations may be postponed.
        ("def load", "def __post_init__(self): torch.ones(2).sum().item()\n    def load", "own"),
        ("    def load", "    size: int = 3\n    def load", "own(size=3)"),
    ],
)
def test_a_plug_in_s_constructor_is_read_and_tried(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = f"from __future__ import annotations\nimport torch\n{DATASET.replace(old, new)}"
    if "__init__" in new:
        text = text.replace("@dataclass(frozen=True)\n", "")
    catalog = Catalog([_plugin(tmp_path, text)])
    try:
        said = str(catalog.resolve("datasets", "own"))
    except SpecError as error:
        said = str(error)
    assert says == said if "cannot" not in says else says in said
