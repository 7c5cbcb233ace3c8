"""Commented files to begin a component with: each runs as it is, and is shown in the docs."""

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from robench.catalog.catalog import Catalog
from robench.grid.spec import SpecError, nearest

KINDS = {
    "method": "--methods plain,{name} --attacks pgd",
    "attack": "--methods plain --attacks pgd,{name}",
    "probe": "--methods plain --attacks pgd --probes linear,{name}",
    "encoder": "--methods plain --attacks pgd --encoders {name}",
    "dataset": "--methods plain --attacks pgd --sources {name} --targets {name}",
    "metric": "--methods plain --attacks pgd",
}
"""The kinds of components, and the options of a short run with one."""


@dataclass(frozen=True)
class Begun:
    """A component's first file: where it is, and the command of a short run with it."""

    path: Path
    command: str


def text(kind: str, name: str) -> str:
    """The template of a kind, for a component of that name."""
    content = Path(__file__).with_name(f"{kind}.py").read_text("utf-8")
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return content.replace(f"My{kind.capitalize()}", camel).replace(f"my_{kind}", name)


def command(kind: str, name: str, path: Path | str) -> str:
    """The command of a short run with a component in a file."""
    return f"robench run --plugin {path} {KINDS[kind].format(name=name)}"


def begin(kind: str, typed: str, folder: Path) -> Begun:
    """Write the template of a kind into ``folder``, as the file of a new component.

    Raises SpecError for a kind that does not exist, a name that is no name or is taken, and a file
    that is there already.
    """
    if kind not in KINDS:
        raise SpecError(f"no kind '{kind}'; {nearest(kind, list(KINDS))}")
    name = typed.removesuffix(".py").replace("-", "_")
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise SpecError(
            f"'{typed}' is no name for a {kind}; write small letters, digits and _, as my_{kind}"
        )
    if name.replace("_", "-") in Catalog().names(f"{kind}s"):
        raise SpecError(f"the name {name} is taken by another {kind}; choose one of your own")
    path = folder / f"{name}.py"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text(kind, name))
    except FileExistsError:
        raise SpecError(f"{path} is there already; choose another name") from None
    return Begun(path, command(kind, name, path))
