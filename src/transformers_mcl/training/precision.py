"""What depends on the machine and the terminal of a training where nothing is asked for: its precision, above all."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.utils.import_utils import is_in_notebook, is_torch_tf32_available

from ..errors import UserError
from .checked_arguments import CheckedArguments

__all__ = ["PrecisionArguments", "device_name", "multiplies_bf16"]


@dataclass
class PrecisionArguments(CheckedArguments):
    """[`CheckedArguments`] that train under bfloat16 autocast where the hardware multiplies in it, and
    say why (`precision_reason`); what stays float32 on CUDA is multiplied in TF32. Batches are pinned for an
    accelerator alone, since torch warns of it elsewhere, and progress bars are for terminals and notebooks: what is
    written into a file has none.

    Raises:
        UserError: a precision that the device does not have.
    """

    bf16: bool | None = field(  # type: ignore[assignment]
        default=None,
        metadata={
            "help": "bfloat16 autocast. Without it: where the device multiplies in bfloat16 (CUDA from compute "
            "capability 8 on, CPUs with amx_bf16 or avx512_bf16); false: float32."
        },
    )

    def __post_init__(self) -> None:
        device, launched = _device_type(self), os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        able, why = multiplies_bf16(device)
        self.precision_reason = "asked for"
        if self.bf16 is None and not self.fp16 and launched == "no":
            self.bf16, self.precision_reason = able, why
        elif self.bf16 is None:
            self.fp16 = self.fp16 or launched == "fp16"
            self.bf16 = launched == "bf16" and not self.fp16
        if self.fp16 and device in ("cpu", "mps"):
            raise UserError(f"fp16=True: {device} trains in float32 or bfloat16 only: leave --fp16 out")
        if self.bf16 and not able:
            if device == "cuda":
                raise UserError(f"bf16=True: {why}: leave --bf16 out, or give --fp16 true")
            self.precision_reason += f", though {why}"
        if self.bf16 and device == "cpu":
            self.use_cpu = True  # transformers takes bf16 for a GPU's without
        if device == "cuda" and self.tf32 is None and is_torch_tf32_available():
            self.tf32 = True
        self.dataloader_pin_memory = self.dataloader_pin_memory and device != "cpu"
        if self.disable_tqdm is None and not sys.stderr.isatty() and not is_in_notebook():
            self.disable_tqdm = True
        super().__post_init__()

    def __getstate__(self) -> dict[str, Any]:
        """Without what is secret: transformers pickles the arguments beside every model."""
        return {**self.__dict__, "hub_token": None}

    @property
    def precision(self) -> str:
        """What matrices are multiplied in, and why, for people."""
        names = {"no": "float32", "bf16": "bfloat16 autocast", "fp16": "float16 autocast"}
        return f"{names.get(self.mixed_precision, self.mixed_precision)} ({self.precision_reason})"


def multiplies_bf16(device: str) -> tuple[bool, str]:
    """Whether a device of this type multiplies in bfloat16 faster than in float32, and why.

    Not where bfloat16 is emulated, which is some 20 times slower than float32 on a CPU.
    """
    if device == "cuda":
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return True, f"{name} multiplies in it"
        return False, f"{name} does not multiply in bfloat16"
    if device == "cpu":
        # oneDNN's own way to leave instructions out, by which bfloat16 would be emulated.
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
        within = limit.upper() in ("DEFAULT", "ALL")
        if torch.cpu._is_amx_tile_supported() and (within or "AMX" in limit.upper()):
            return True, "this CPU has matrix units for it"
        if not torch.cpu._is_avx512_bf16_supported():
            return False, "this CPU has no instructions for bfloat16 (amx_bf16, avx512_bf16)"
        if within or any(name in limit.upper() for name in ("BF16", "FP16", "AMX", "AVX10")):  # what AVX512_BF16 is in
            return True, "this CPU has instructions for it (avx512_bf16)"
        return False, f"ONEDNN_MAX_CPU_ISA={limit} leaves out the CPU's instructions for bfloat16"
    return False, f"nothing else is known to be faster on {device}"


def device_name(device: str) -> str:
    """What a device of this type is called: the name of the GPU or, where torch knows it, of the processor."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.9 has none
    return str(known.get("cpu_name") or platform.machine())


def _device_type(args: TrainingArguments) -> str:
    """Where the training will run, asked before transformers sets the device up."""
    if args.use_cpu or os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes"):
        return "cpu"
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if accelerator is None else accelerator.type
