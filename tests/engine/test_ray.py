"""Ray gives the bytes of one process, also when a node dies, and when nodes share no folder."""

import os
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from unittest import mock

import pytest
from commands import PLUGINS, robench
from killed import end_state, launch

from robench.catalog.request import Places
from robench.engine import places
from robench.grid.spec import SpecError

with_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason='Ray is not installed: pip install "robench[ray]"'
)
TOYS = tuple(w for name in ("tiny", "marking") for w in ("--plugin", str(PLUGINS / f"{name}.py")))
GRID = ("run", *TOYS, "--encoders", "tiny", "--sources", "shapes10(size=8)", "--threads", "1")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three nodes on this machine, of one core each; the first one is the head."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        for _ in range(2):
            made.add_node(num_cpus=1)
        yield made
        made.shutdown()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@with_ray
@pytest.mark.filterwarnings("ignore")
def test_a_killed_node_changes_no_byte(tmp_path: Path, cluster: Any) -> None:
    marks = [Path(gettempdir()) / f"{tmp_path.name}-{os.getpid()}-{name}" for name in "ab"]
    methods = ",".join(f"marking(name={mark.name})" for mark in marks)
    words = (*GRID, "--methods", methods, "--attacks", "pgd(eps=2/255)", "--limit", "30")
    words = (*words, "--epochs", "800", "--images", "384")
    one, two = tmp_path / "one", tmp_path / "two"
    _, err = launch(one, *words).communicate(timeout=300)
    assert err == ""
    for mark in marks:
        mark.unlink()
    process = launch(two, *words, "--executor", "ray", "--address", cluster.address)
    nodes = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
    killed = None
    while killed is None:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
        for mark in marks:
            if mark.exists() and (pid := mark.read_text()):
                killed = killed or nodes.get(parent(int(pid)))
    cluster.remove_node(killed, allow_graceful=False)
    assert not list(two.glob("zoo/*/card.json"))
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), out
    assert end_state(one) == end_state(two)


@pytest.mark.slow
@with_ray
@pytest.mark.filterwarnings("ignore")
def test_nodes_without_a_shared_folder_bring_results_back(tmp_path: Path) -> None:
    fails = "--set", "clae.lr=1e30"
    words = (*GRID, "--methods", "plain,clae", "--attacks", "pgd(eps=2/255)", "--limit", "30")
    words = (*words, "--epochs", "1", "--images", "384", *fails)
    one, two = tmp_path / "one", tmp_path / "two"
    alone = robench(*words, "--out", str(one / "out"), "--zoo", str(one / "zoo"))
    with mock.patch("robench.engine.ray._shared", return_value=False):
        places = ("--out", str(two / "out"), "--zoo", str(two / "zoo"))
        done = robench(*words, "--executor", "ray", *places)
    assert (alone.code, done.code) == (1, 1)
    assert alone.err == done.err
    assert end_state(one) == end_state(two)


def test_an_executor_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match=r"no executor 'rey'; .*ray"):
        Places(executor="rey")
    with pytest.raises(SpecError, match=r"ray: no need 'gpu'; .*gpus"):
        Places(ray="gpu=1")  # type: ignore[arg-type]
    assert Places(ray="gpus=1,cpus=4").ray == (("cpus", 4), ("gpus", 1))  # type: ignore[arg-type]
    with (
        mock.patch.object(places, "find_spec", return_value=None),
        pytest.raises(SpecError, match=r'executor ray needs more: pip install "robench\[ray\]"'),
    ):
        places.make_bench(Places(executor="ray"), Path("out"), lambda i, _: i, print, print)
