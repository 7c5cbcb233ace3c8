"""Progress inside an attack counts the model's calls and changes nothing else."""

import io
import sys
from contextlib import redirect_stderr
from types import ModuleType

import torch
from torch import nn

from robench.engine.progress import bar, counted_calls


def test_progress_moves_with_calls_and_jumps_to_the_end_of_a_batch_that_ends_early():
    model, image = nn.Identity(), torch.ones(1)
    seen = []

    def progress(items, label):
        assert label == "attack"
        for item in items:
            seen.append(item)
            yield item

    with counted_calls(model, 3, 2, progress, "attack") as begin:
        begin()
        assert torch.equal(model(image), image)
        assert seen == [0]
        begin()
        assert seen == [0, 1, 2]
        for _ in range(5):  # more than were promised: the batch's share is all there is
            model(image)
        assert seen == [0, 1, 2, 3, 4, 5]
    model(image)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert not model._forward_pre_hooks


def test_a_notebook_shows_bars_and_a_pipe_does_not(monkeypatch):
    for shown in (False, True):
        if shown:
            monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
        seen = io.StringIO()
        with redirect_stderr(seen):
            assert list(bar(range(3), "pretraining")) == [0, 1, 2]
        assert ("pretraining" in seen.getvalue()) is shown
