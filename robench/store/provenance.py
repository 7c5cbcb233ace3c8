"""With what a number is made: versions, commit, device and precision."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from robench.grid.records import Provenance

PACKAGES = (
    "torch",
    "torchvision",
    "torchattacks",
    "pyautoattack",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "safetensors",
)


def gather(device: torch.device, precision: str) -> Provenance:
    """The provenance of this process now, with the ``precision`` of its computations."""
    return Provenance(
        robench=importlib.metadata.version("robench"),
        commit=commit(),
        versions={"python": platform.python_version(), **versions()},
        device=describe(device),
        threads=torch.get_num_threads(),
        precision=precision,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def versions() -> dict[str, str]:
    """The installed version of every package that a number depends on; "missing" where it is not
    installed.
    """
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


@cache
def commit() -> str:
    """The commit of the code, with "+" where files differ from it; "" where the code is not in a
    checkout.
    """
    git = ["git", "-C", str(Path(__file__).parents[1])]
    asked = ["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno", "--", "."]
    try:
        found, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True, timeout=10)
            for words in asked
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")


@cache
def describe(device: torch.device) -> str:
    """The device in words, such as "cpu: Intel(R) Xeon(R)" or "cuda: NVIDIA H100"."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
