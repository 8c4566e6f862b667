"""`training/precision.py`: what a training multiplies in, by the machine and by what is asked for."""

from __future__ import annotations

import platform
from typing import Any

import pytest
import torch

from transformers_mcl import MclTrainingArguments
from transformers_mcl.errors import UserError
from transformers_mcl.finetuning.arguments import FinetuningArguments
from transformers_mcl.training import precision


@pytest.fixture
def matrix_units(monkeypatch: pytest.MonkeyPatch) -> None:
    _cpu(monkeypatch, amx=True, avx512_bf16=True)


def _cpu(monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)


def _gpu(monkeypatch: pytest.MonkeyPatch, multiplies: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Some GPU")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: multiplies and not including_emulation
    )


@pytest.mark.parametrize("kind", [MclTrainingArguments, FinetuningArguments])
def test_a_cpu_with_matrix_units_trains_in_bfloat16_unless_told_not_to(
    kind: Any, tmp_path: Any, matrix_units: None
) -> None:
    args = kind(output_dir=str(tmp_path))
    assert args.bf16 is True
    assert args.mixed_precision == "bf16"
    assert args.precision == "bfloat16 autocast (this CPU has matrix units for it)"
    args = kind(output_dir=str(tmp_path), bf16=False)
    assert args.bf16 is False
    assert args.precision == "float32 (asked for)"


def test_a_cpu_without_them_trains_in_float32(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _cpu(monkeypatch, amx=False, avx512_bf16=False)
    args = MclTrainingArguments(output_dir=str(tmp_path))
    assert args.bf16 is False
    assert args.precision == "float32 (this CPU has no instructions for bfloat16 (amx_bf16, avx512_bf16))"
    args = MclTrainingArguments(output_dir=str(tmp_path), bf16=True)
    assert args.bf16 is True
    assert args.precision.startswith("bfloat16 autocast (asked for, though this CPU has no instructions")


def test_a_cpu_with_instructions_alone_trains_in_bfloat16(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _cpu(monkeypatch, amx=False, avx512_bf16=True)
    args = MclTrainingArguments(output_dir=str(tmp_path))
    assert args.precision == "bfloat16 autocast (this CPU has instructions for it (avx512_bf16))"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("AVX512_CORE", False), ("avx2", False), ("AVX512_CORE_BF16", True), ("AVX512_CORE_AMX", True), ("ALL", True)],
)
def test_instructions_that_onednn_is_told_to_leave_out_are_not_there(
    limit: str, expected: bool, matrix_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    found, why = precision.multiplies_bf16("cpu")
    assert found is expected
    assert expected or limit in why


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_gpu_that_only_emulates_bfloat16_does_not_multiply_in_it(
    multiplies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _gpu(monkeypatch, multiplies)
    found, why = precision.multiplies_bf16("cuda")
    assert found is multiplies
    assert "Some GPU" in why


def test_what_accelerate_launch_asks_for_wins_over_the_machine(
    tmp_path: Any, matrix_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    assert MclTrainingArguments(output_dir=str(tmp_path)).bf16 is False
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    args = MclTrainingArguments(output_dir=str(tmp_path))
    assert args.bf16 is True
    assert args.precision == "bfloat16 autocast (asked for)"


def test_a_precision_that_the_device_does_not_have_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="fp16=True: cpu trains in float32 or bfloat16 only"):
        MclTrainingArguments(output_dir=str(tmp_path), fp16=True, use_cpu=True)
    _gpu(monkeypatch, False)
    monkeypatch.setattr(precision, "_device_type", lambda args: "cuda")
    with pytest.raises(UserError, match="bf16=True: Some GPU does not multiply in bfloat16"):
        MclTrainingArguments(output_dir=str(tmp_path), bf16=True)


def test_a_device_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpu(monkeypatch, True)
    assert precision.device_name("cuda") == "Some GPU"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "Some CPU"}, raising=False)
    assert precision.device_name("cpu") == "Some CPU"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision.device_name("cpu") == platform.machine()
