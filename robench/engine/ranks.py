"""One pretraining in several processes: the first answers the plan, the others train along."""

import os
import sys
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

import torch
from torch import distributed

from robench.engine.bench import Bench
from robench.engine.pretrain import TrainingError
from robench.tensors.ranks import rank, share

_LONGEST = timedelta(days=14)  # the others wait while the first one attacks


def launch(count: int) -> NoReturn:
    """Become ``torchrun`` with as many processes of the same command."""
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    words = [sys.executable, "-m", *torchrun, "-m", "robench", *sys.argv[1:]]
    os.execv(sys.executable, words)


def launched() -> bool:
    """Whether this is one of several processes that ``torchrun`` started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that answers the plan."""
    return rank() == 0


def join(device: str) -> str:
    """Join the other processes; the name of this one's ``device``."""
    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    distributed.init_process_group(backend, timeout=_LONGEST)
    if not gpus:
        return "cpu"
    name = f"cuda:{int(os.environ['LOCAL_RANK']) % gpus}"
    torch.cuda.set_device(name)
    return name


def follow(bench: Bench) -> None:
    """Train along with whatever the first process announces, until it ends."""
    while (question := share()) is not None:
        with suppress(TrainingError):  # the first process has the same, and says it
            bench.train(question)
