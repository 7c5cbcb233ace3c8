"""60 encoders without a fault, with two probes each, carry no flag that doubts an attack."""

from pathlib import Path

import pytest

from robench import api
from robench.engine.progress import silent
from robench.trust import flags

OF_ATTACKS = {flags.MASKED, flags.RANDOM, flags.BATCH, flags.RECOMPUTED, flags.REPAIRED}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["plain", "clae", "rocl(steps=2)"])
def test_none_of_ten_seeds_is_doubted(tmp_path: Path, method: str, precision: str) -> None:
    results = api.run(
        method,
        "pgd(eps=2/255),pgd(eps=8/255),pgd(norm=l2, eps=0.25),pgd(norm=l1, eps=4)",
        sources="shapes10",
        targets="shapes10",
        encoders="resnet8(width=8)",
        probes="linear,linear-adam",
        seeds=range(10),
        precision=precision,
        epochs=3,
        images=1024,
        limit=150,
        out=tmp_path / "out",
        zoo=tmp_path / "zoo",
        device="cpu",
        progress=silent,
        say=lambda line: None,
    )
    assert len(results) == 10 * 2 * 5  # with the clean column
    doubted = {
        str(result.cell.evaluation): result.flags
        for result in results
        if OF_ATTACKS & {*result.flags}
    }
    assert doubted == {}
