"""A run waits for the device once a log, and at no other step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from transformers_mcl import MclTrainer

Make = Callable[..., MclTrainer]

# What makes Python wait for a tensor's value, and the operators whose result has a size that depends on values.
READS = ("cpu", "item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__")
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "repeat_interleave")


class Reads(TorchFunctionMode):
    """Counts reads of tensors, by step, as they would wait for an accelerator.

    On the CPU nothing waits, so it follows what would lie where: all tensors lie on the device but what was read from
    it, and what is computed of that alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.reads: Counter[int] = Counter()
        self.on_host: Any = WeakIdKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if tensors and all(tensor in self.on_host for tensor in tensors):
            self._keep(result)
        elif tensors and getattr(func, "__name__", "") in READS:
            self.reads[self.step] += 1
            # On an accelerator it would be a copy: what was read from stays there.
            result = result.clone() if isinstance(result, Tensor) else result
            self._keep(result)
        return result

    def _keep(self, result: Any) -> None:
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.on_host[leaf] = True


class Waiting(TorchDispatchMode):
    """Counts operators that wait, wherever they are called from, by step."""

    def __init__(self, reads: Reads):
        super().__init__()
        self.reads = reads
        self.calls: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in tree_leaves(args[1])
        )
        self.calls[self.reads.step] += name in WAITING or by_mask
        return func(*args, **(kwargs or {}))


class Steps(TrainerCallback):
    """Tells the counters which step it is: what comes before the first is nobody's."""

    def __init__(self, reads: Reads):
        self.reads = reads

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.reads.step = state.global_step


@pytest.mark.parametrize("objective", ["electra", "mcl"])
def test_one_read_a_log_and_none_between(make_trainer: Make, objective: str) -> None:
    trainer = make_trainer({"objective": objective}, max_steps=5, logging_steps=3, gradient_accumulation_steps=2)
    reads = Reads()
    waiting = Waiting(reads)
    trainer.add_callback(Steps(reads))
    with reads, waiting:
        trainer.train()
    # A step's log comes after its `on_step_end`. Before the first the loader draws its order; the last is saved.
    assert {step: reads.reads[step] for step in range(1, 5)} == {1: 0, 2: 0, 3: 1, 4: 0}
    assert {step: waiting.calls[step] for step in (1, 2, 4)} == {1: 0, 2: 0, 4: 0}
    assert [log["step"] for log in trainer.state.log_history if "loss" in log] == [3]


def test_the_counters_see_what_waits() -> None:
    reads = Reads()
    waiting = Waiting(reads)
    device = torch.arange(6.0)
    with reads, waiting:
        host = device.cpu()
        host.sum().item(), float(host[0]), host.double().tolist()
        assert reads.reads[0] == 1
        float(device[0]), device.sum().item(), bool(host[0] + device[0])
        assert reads.reads[0] == 4
        waited = waiting.calls[0]
        device[device > 2], device.nonzero()
    assert waiting.calls[0] == waited + 2
