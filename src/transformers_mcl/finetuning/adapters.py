"""LoRA: a small adapter is trained beside the encoder's weights, which stay as they are, and is merged with them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel, Trainer

from ..errors import UserError
from ..models.adapters import ADAPTER_TASKS
from .arguments import EncoderArguments
from .task import LoadedTask

__all__ = ["add_adapter", "merge_adapter"]


def add_adapter(model: PreTrainedModel, encoder: EncoderArguments, task: LoadedTask) -> Any:
    """The model with an adapter for each linear layer of its encoder, or for those that were named; the task's head is
    trained as ever.

    Returns:
        A `peft.PeftModel`.

    Raises:
        UserError: PEFT is not installed, or refuses these arguments.
    """
    try:
        import peft
    except ImportError as error:
        raise UserError('lora=True needs PEFT: pip install "transformers-mcl[peft]"') from error
    base = getattr(model, model.base_model_prefix)
    linear = [name for name, module in base.named_modules() if isinstance(module, nn.Linear)]
    inside = [f"{model.base_model_prefix}.{name}" for name in linear if not name.startswith("pooler.")]
    parts = {name: part for name, part in model.named_children() if name != model.base_model_prefix}
    heads = [name for name, part in parts.items() if any(True for _ in part.parameters())]
    if getattr(base, "pooler", None) is not None:  # new in most encoders
        heads.append("pooler")
    config = peft.LoraConfig(
        task_type=next((name for name, auto in ADAPTER_TASKS.items() if auto is task.auto), None),
        r=encoder.lora_r,
        lora_alpha=encoder.lora_alpha,
        lora_dropout=encoder.lora_dropout,
        target_modules=encoder.lora_target_modules or inside,
        modules_to_save=heads,
    )
    try:
        with warnings.catch_warnings():  # PEFT's own, of what transformers renamed
            warnings.simplefilter("ignore", FutureWarning)
            return peft.get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"lora_target_modules: {' '.join(str(error).split())[:200]}") from error


def merge_adapter(trainer: Trainer, folder: Path) -> None:
    """Saves the adapter that was trained into `folder`, and has the trainer go on with the model it is merged into."""
    adapted: Any = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.args.process_index == 0:
        adapted.save_pretrained(folder)
        adapted.config.save_pretrained(folder)  # the names of the classes, which PEFT does not keep
    trainer.model = trainer.model_wrapped = adapted.merge_and_unload()
