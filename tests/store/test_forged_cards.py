"""A card may be anybody's: what it asks for is made where it fits its weights, or refused."""

import hashlib
import json
from pathlib import Path

import pytest
from commands import PLUGINS, finished
from pydantic import TypeAdapter

import robench
from robench.grid.questions import Pretraining, key
from robench.grid.spec import SpecError
from robench.store.formats import sealed


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("resnet8(nothing=1)", "resnet8 has no argument 'nothing'"),
        ("resnet8(width=abc)", "width=abc should be a whole number"),
        ("resnet8(width=-1)", "width=-1 must be positive"),
        ("resnet8(width=99999999)", r"it has [\d,]+ numbers, the file [\d,]+\)"),
        ("resnet8(width=2000)", r"it has [\d,]+ numbers, the file [\d,]+\)"),
        ("nosuch", "no encoder 'nosuch'"),
        ("resnet18(width=2)", "was trained with another"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(tmp_path: Path, encoder: str, told: str) -> None:
    name = forged(tmp_path, {"encoder": encoder})
    with pytest.raises(SpecError, match=told) as refused:
        robench.load_encoder(name, zoo=tmp_path / "zoo", plugins=[PLUGINS / "tiny.py"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"evaluated_branch": "other"}, "no BatchNorm branch 'other'; this encoder has clean"),
        ({"evaluated_branch": "adversarial"}, "no BatchNorm branch 'adversarial'"),
        ({"branches": ["clean", "adversarial"]}, "was trained with another"),
    ],
)
def test_a_branch_that_is_not_there_is_refused(
    tmp_path: Path, card: dict[str, object], told: str
) -> None:
    finished(tmp_path)
    (path,) = (tmp_path / "zoo").glob("*/card.json")
    path.write_bytes(sealed(json.dumps({**json.loads(path.read_bytes()), **card}).encode()))
    with pytest.raises(SpecError, match=told):
        robench.load_encoder(path.parent.name, zoo=tmp_path / "zoo", plugins=[PLUGINS / "tiny.py"])


def test_weights_that_are_no_safetensors_are_damage(tmp_path: Path) -> None:
    name = forged(tmp_path, {}, b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(SpecError):
        robench.load_encoder(name, zoo=tmp_path / "zoo", plugins=[PLUGINS / "tiny.py"])
    name = forged(tmp_path, {}, b'\x10\0\0\0\0\0\0\0{"a":{"dtype":1}}')
    with pytest.raises(SpecError, match="is damaged"):
        robench.load_encoder(name, zoo=tmp_path / "zoo", plugins=[PLUGINS / "tiny.py"])


def forged(folder: Path, training: dict[str, object], weights: bytes | None = None) -> str:
    """A zoo with one card, whose key and hash are right whatever it says."""
    if not (folder / "from").exists():
        finished(folder / "from")
    (path,) = (folder / "from" / "zoo").glob("*/card.json")
    content = json.loads(path.read_bytes())
    content["question"] |= training
    name = key(TypeAdapter(Pretraining).validate_python(content["question"]))
    data = weights or (path.parent / "encoder.safetensors").read_bytes()
    content |= {"key": name, "weights_sha256": hashlib.sha256(data).hexdigest()}
    (folder / "zoo" / name).mkdir(parents=True, exist_ok=True)
    (folder / "zoo" / name / "card.json").write_bytes(sealed(json.dumps(content).encode()))
    (folder / "zoo" / name / "encoder.safetensors").write_bytes(data)
    return name
