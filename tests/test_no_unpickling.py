"""No module of the package loads what may be a pickle; ruff's S rules forbid unpickling itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import robench

SAFE = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}


def faults(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        safe = SAFE.get(ast.unparse(node.func)) if isinstance(node, ast.Call) else None
        if safe and safe not in {f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords}:
            yield f"{ast.unparse(node)}: expected {safe}"


def test_no_module_of_the_package_may_run_what_a_file_says() -> None:
    modules = sorted(Path(robench.__file__).parent.rglob("*.py"))
    assert len(modules) > 100
    assert [fault for path in modules for fault in faults(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("code", ["torch.load(path)", "np.load(path, allow_pickle=True)"])
def test_the_rule_finds_what_it_is_for(code: str) -> None:
    assert list(faults(code))
