"""What the README shows works as it stands there."""

import re
from pathlib import Path

import torch
from batches import batch_of

from robench.catalog.catalog import Catalog
from robench.grid.spec import parse

README = Path(__file__).parents[1] / "README.md"


def test_the_method_of_one_s_own_is_a_component(tmp_path: Path) -> None:
    (code,) = re.findall(r"`mine.py`:\n\n```python\n(.*?)```", README.read_text(), re.S)
    path = tmp_path / "mine.py"
    path.write_text(code)
    catalog = Catalog([path])
    spec = catalog.resolve("methods", parse("mine(temperature=0.1)"))
    objective = catalog.build_objective(spec, catalog.build("encoders", "resnet8(width=2)"))
    images = torch.rand(4, 3, 8, 8)
    loss = objective(batch_of(images, torch.Generator().manual_seed(0)))
    assert loss.isfinite()
    assert catalog.label("methods", spec) == "mine(temperature=0.1)"
