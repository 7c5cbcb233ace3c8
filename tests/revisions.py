"""Renew ``robench/catalog/revisions.json``, which the identity of code is read from.

``python tests/revisions.py`` prints what was edited since the file was written, and what of it
moved golden values. ``--renew`` writes the file again: edited code that gives its golden values
keeps its revision, and answers of the last release stay known; where the golden values of edited
code were written anew (``python tests/golden.py --write``), its revision is raised, and its answers
are computed again. Values that moved without an edit moved with their images, which an answer knows
by itself. ``--moved attacks/square`` raises it for numbers that no golden value shows.
"""

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import golden

from robench.catalog.catalog import Catalog
from robench.catalog.revisions import (
    MANIFEST,
    PACKAGE,
    STAGES,
    closure,
    digest,
    files_of_stage,
    manifest,
)

KINDS = {"methods": "objectives", "encoders": "encoders", "probes": "probes", "attacks": "attacks"}


def files() -> dict[str, set[Path]]:
    """The files that each component and stage is computed with."""
    found = {name: files_of_stage(name) for name in STAGES}
    for kind, folder in KINDS.items():
        for name in Catalog().names(kind):
            path = PACKAGE / folder / f"{name.replace('-', '_')}.py"
            found[f"{folder}/{name}"] = closure(path)
    return found


def golden_digests() -> dict[str, str]:
    """A digest of each component's golden values; those of grids are the stages'."""
    kept, parts = json.loads(golden.FILE.read_text()), defaultdict[str, list[Any]](list)
    for folder in KINDS.values():
        for spec, values in kept.get(folder, {}).items():
            parts[f"{folder}/{spec.partition('(')[0]}"].append([spec, values])
    for name in STAGES:
        parts[name] = [kept["grid"], kept["quick"]]
    return {
        name: hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
        for name, values in sorted(parts.items())
    }


def current() -> dict[str, dict[str, Any]]:
    """The manifest of today's code and golden values, with the revisions as they are."""
    known, used = manifest(), files()
    paths = sorted(set().union(*used.values()))
    return {
        "revisions": {name: known["revisions"].get(name, 1) for name in sorted(used)},
        "golden": golden_digests(),
        "files": {path.relative_to(PACKAGE).as_posix(): digest(path) for path in paths},
    }


def edited() -> list[str]:
    """The components and stages whose code is not the manifest's, or is new."""
    known = manifest()
    return [
        name
        for name, paths in sorted(files().items())
        if name not in known["revisions"]
        or any(
            known["files"].get(path.relative_to(PACKAGE).as_posix()) != digest(path)
            for path in paths
        )
    ]


def moved() -> list[str]:
    """The components and stages whose golden values were written anew."""
    before, now = manifest()["golden"], golden_digests()
    return [name for name in now if name in before and before[name] != now[name]]


def renewed(raised: Iterable[str]) -> str:
    """The manifest's text, with these revisions raised by one."""
    made = current()
    for name in raised:
        made["revisions"][name] += 1
    return json.dumps(made, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--moved", nargs="*", default=[], metavar="NAME")
    asked = parser.parse_args()
    print("edited:", ", ".join(edited()) or "nothing")
    print("golden values written anew:", ", ".join(moved()) or "none")
    if asked.renew or asked.moved:
        found = [line for section in golden.FAST for line in golden.compared(section)]
        if found:
            print("\n".join(found))
            sys.exit("numbers moved; on purpose? then first: python tests/golden.py --write")
        MANIFEST.write_text(renewed({*moved()} & {*edited()} | {*asked.moved}))


if __name__ == "__main__":
    main()
