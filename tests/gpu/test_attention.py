"""Attention functions agree with eager attention, losses and gradients, as far as 16 bits can."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils.import_utils import is_flash_attn_2_available

from tests.models.conftest import MASK
from transformers_mcl import MclForPreTraining

from .conftest import make_pair, on, skip_without

# A call that transformers makes when it builds Flex's mask.
pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")
ABLE = {"sdpa": [8, 0], "flex_attention": [8, 0], "flash_attention_2": [0]}


def computed(pair: MclForPreTraining, implementation: str, inputs: dict[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Loss, logits and gradients on rows that are given: another sample would have another gradient."""
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    places = torch.tensor([[1, 2]], device=ids.device).expand(len(ids), -1)
    labels = (ids % 3 == 0).float()
    present = torch.ones_like(labels) if mask is None else mask.float()
    pair.set_attn_implementation(implementation)
    pair.zero_grad()
    with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=half):
        logits = pair.predict_at(ids.scatter(1, places, MASK), mask, places)
        verdicts = pair.detect("rtd", ids, mask)
    generated = functional.cross_entropy(logits.float().flatten(0, 1), ids.gather(1, places).flatten())
    detected = functional.binary_cross_entropy_with_logits(verdicts.float(), labels, present)
    if torch.is_grad_enabled():
        (generated + detected).backward()
    found = {name: p.grad for name, p in pair.named_parameters() if p.grad is not None}
    return {
        **found,
        "loss": (generated + detected).detach(),
        "logits": logits.detach(),
        "verdicts": verdicts.detach() * present,
    }


def distances(found: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """As shares of each one's length; of what is near zero, such as the keys' bias, of the longest's."""
    assert found.keys() == exact.keys()
    floor = 1e-2 * max(value.norm().item() for value in exact.values())
    return {
        name: (found[name] - value).norm().item() / max(value.norm().item(), floor) for name, value in exact.items()
    }


@pytest.mark.parametrize("padding", ["none", "right"])
@pytest.mark.parametrize(("implementation", "buckets"), [(name, b) for name, able in ABLE.items() for b in able])
def test_attention_agrees_with_eager(implementation: str, buckets: int, padding: str, device: str) -> None:
    skip_without("bf16", device)
    if implementation == "flash_attention_2" and (device == "cpu" or not is_flash_attn_2_available()):
        pytest.skip("flash-attn is not installed, or there is no GPU")
    pair = make_pair(device, relative_attention_num_buckets=buckets)
    inputs = on(device, padding)
    # On a CPU, Flex has no backward, and would compile for minutes.
    flex_on_cpu = device == "cpu" and implementation == "flex_attention"
    with (
        torch.set_grad_enabled(not flex_on_cpu),
        torch.compiler.set_stance("force_eager" if flex_on_cpu else "default"),
    ):
        exact = computed(pair, "eager", inputs, half=False)
        eager = distances(computed(pair, "eager", inputs, half=True), exact)
        found = distances(computed(pair, implementation, inputs, half=True), exact)
    assert len(found) > 60 or flex_on_cpu
    # What eager attention loses by 16 bits bounds what another may lose: it sums in another order.
    assert max(eager.values()) < 0.05
    worst = max(found, key=found.__getitem__)
    assert found[worst] < max(2 * max(eager.values()), 0.01), worst
