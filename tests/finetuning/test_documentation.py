"""The page on fine-tuning and its recipe: commands that parse, and Python that runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from transformers_mcl.cli.arguments import ParsedArguments, parse_arguments
from transformers_mcl.evaluation.glue import GLUE_TASKS
from transformers_mcl.training.finetuning import _runs
from transformers_mcl.training.task_arguments import EncoderArguments, FinetuningArguments, TaskArguments

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "finetuning.md").read_text()
KINDS = (EncoderArguments, TaskArguments, FinetuningArguments)


def parsed(words: list[str]) -> ParsedArguments:
    return parse_arguments(KINDS, [*words, "--use_cpu", "true"], prog="", description="")


def test_commands() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    assert len(commands) == 6
    for command in commands:
        words = shlex.split(command)
        assert words[:2] == ["transformers-mcl", "finetune"]
        assert parsed(words[2:])[0].model_name_or_path
    for name in re.findall(r"`(--\w+)", PAGE):
        assert any(name[2:] in kind.__dataclass_fields__ for kind in KINDS), name


def test_python(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/finetuning.md", "exec"), {})
    assert "'f1'" in capsys.readouterr().out


def test_recipes(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(*re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    base = ["--model_name_or_path", "m", "--output_dir", str(tmp_path / "out")]
    encoder, task_args, args = parsed([*base, "--config", str(tmp_path / "sweep.yaml")])
    assert len(_runs(encoder, task_args, args)) == 2 * 2 * 2 * 5
    encoder, task_args, args = parsed([*base, "--config", str(ROOT / "examples" / "recipes" / "finetune_glue.yaml")])
    assert task_args.task_name == list(GLUE_TASKS)
    runs = _runs(encoder, task_args, args)
    assert len(runs) == 1080 == len({run.folder for run in runs})
    assert (args.adam_beta2, args.max_grad_norm) == (0.98, 0)
