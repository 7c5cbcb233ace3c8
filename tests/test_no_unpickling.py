"""No line of the package unpickles: a rule for what is still to be written."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import robench

FOLDER = Path(robench.__file__).parent
MODULES = {"cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "_pickle"}


def faults(code: str) -> Iterator[str]:
    """What in the code may run what a file says."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.partition(".")[0] for alias in node.names}
            names |= {(getattr(node, "module", None) or "").partition(".")[0]}
            yield from (f"imports {name}" for name in sorted(names & MODULES))
            if getattr(node, "module", None) == "pickle":
                yield "takes names from pickle"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if node.value.id == "pickle" and node.attr != "UnpicklingError":
                yield f"uses {name}"
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
            if called in ("eval", "exec", "__import__", "pd.read_pickle", "torch.hub.load"):
                yield f"calls {called}"
            for function, word, value in (
                ("torch.load", "weights_only", True),
                ("np.load", "allow_pickle", False),
                ("npy.read_array", "allow_pickle", False),
                ("np.save", "allow_pickle", False),
            ):
                told = given.get(word)
                if called == function and not (
                    isinstance(told, ast.Constant) and told.value is value
                ):
                    yield f"calls {function} without {word}={value}"


def test_no_module_of_the_package_may_run_what_a_file_says() -> None:
    modules = sorted(FOLDER.rglob("*.py"))
    assert len(modules) > 100
    found = {str(path): list(faults(path.read_text(encoding="utf-8"))) for path in modules}
    assert {path: told for path, told in found.items() if told} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.load(file)",
        "from pickle import load",
        "import joblib",
        "class A(pickle.Unpickler): pass",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "eval(text)",
    ],
)
def test_the_rule_finds_what_it_is_for(code: str) -> None:
    assert list(faults(code))
