"""The page on fine-tuning and its recipe: commands that parse, and Python that runs."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertTokenizer,
)

from tests.documentation import blocks_of, text_of
from transformers_mcl.cli.arguments import ParsedArguments, parse_arguments
from transformers_mcl.evaluation.evaluation import EVALUATIONS
from transformers_mcl.finetuning.arguments import EncoderArguments, FinetuningArguments, TaskArguments
from transformers_mcl.finetuning.grid import plan_runs
from transformers_mcl.finetuning.question_answering_task import ANSWERING
from transformers_mcl.finetuning.task import TASKS, task_groups

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "finetuning.md").read_text()
KINDS = (EncoderArguments, TaskArguments, FinetuningArguments)


def parsed(words: list[str]) -> ParsedArguments:
    return parse_arguments(KINDS, [*words, "--use_cpu", "true"], prog="", description="")


@pytest.mark.parametrize("page", ["finetuning", "finetuned_minilm"])
def test_arguments_that_pages_name(page: str) -> None:
    for name in re.findall(r"`(--\w+)", text_of(f"docs/{page}.md")):
        assert any(name[2:] in kind.__dataclass_fields__ for kind in KINDS), name


def test_python(
    tokenizer: BertTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=384, **shape)
    BertForQuestionAnswering(config).save_pretrained(tmp_path / "my-squad")
    tokenizer.save_pretrained(tmp_path / "my-squad")
    monkeypatch.chdir(tmp_path)
    answers, figures = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert answers.strip() == ANSWERING.replace("CHECKPOINT", "my-squad")  # as cards say it
    names: dict[str, Any] = {}
    exec(compile(answers, "docs/finetuning.md", "exec"), names)
    printed = capsys.readouterr().out.strip()
    assert printed == "no answer" or printed in names["context"]
    exec(compile(figures, "docs/finetuning.md", "exec"), {})
    assert "'f1'" in capsys.readouterr().out


def test_answers_of_the_page_are_those_of_the_evaluation(
    tokenizer: BertTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A context of several pieces, and logits that point at a word of the last."""
    context = "anna lives in rome . " * 30 + "bob lives in paris ."
    code = ANSWERING.replace("384", "64").replace("128", "8")
    code = re.sub(r"question, context = .*", f"question, context = 'who lives in paris ?', {context!r}", code)

    class Pointer(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, **rest: Any) -> Any:
            bob = torch.eq(input_ids, tokenizer.vocab["bob"]).float()
            first = torch.zeros_like(bob)
            first[:, 0] = 0.5
            return SimpleNamespace(start_logits=bob + first, end_logits=bob + first)

    monkeypatch.setattr(AutoModelForQuestionAnswering, "from_pretrained", lambda _: Pointer())
    tokenizer.save_pretrained(tmp_path / "CHECKPOINT")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "ANSWERING", "exec"), {})
    assert capsys.readouterr().out.strip() == "bob"


def test_adding_a_task(
    bert: str, tokenizer: BertTokenizer, tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's two programs, with its commands, on files of these columns."""
    for split in ("train", "validation"):
        rows = [{"question": "who ?", "passage": f"film {i}", "answer": bool(i % 2)} for i in range(8)]
        write(f"boolq/{split}.jsonl", rows)
    (tmp_path / "verbs.csv").write_text("sentence_good,sentence_bad,verb\nbob lives,lives bob,live\n")
    BertForMaskedLM(BertConfig.from_pretrained(bert)).save_pretrained(tmp_path / "my-mcl")
    tokenizer.save_pretrained(tmp_path / "my-mcl")
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of("docs/add_a_task.md")
    programs, commands = ([block.code for block in blocks if block.language == kind] for kind in ("python", "bash"))
    small = {
        "boolq.py": ["--dataset_name", "boolq", "--use_cpu", "true", "--max_steps", "1", "--max_seq_length", "16"],
        "verbs.py": ["--use_cpu", "true"],
    }
    try:
        for program, command in zip(programs, commands, strict=True):
            python, file, *words = shlex.split(command)
            assert python == "python"
            monkeypatch.setattr(sys, "argv", [file, *words, *small.pop(file)])
            with pytest.raises(SystemExit, match="^0$"):
                exec(compile(program, file, "exec"), {})
    finally:
        for known, name in ((TASKS, "boolq"), (EVALUATIONS, "verbs")):
            known.pop(name, None)
    assert not small
    assert "| boolq | **accuracy** |" in Path("my-boolq/results.md").read_text(encoding="utf-8")
    assert "| live | 1 |" in Path("my-verbs/results.md").read_text(encoding="utf-8")


def test_recipes(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(*re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    base = ["--model_name_or_path", "m", "--output_dir", str(tmp_path / "out")]
    encoder, task_args, args = parsed([*base, "--config", str(tmp_path / "sweep.yaml")])
    assert len(plan_runs(encoder, task_args, args)) == 2 * 2 * 2 * 5
    encoder, task_args, args = parsed([*base, "--config", str(ROOT / "examples" / "recipes" / "finetune_glue.yaml")])
    assert task_args.task_name == task_groups()["glue"]
    runs = plan_runs(encoder, task_args, args)
    assert len(runs) == 1080 == len({run.folder for run in runs})
    assert (args.adam_beta2, args.max_grad_norm) == (0.98, 0)
    _, task_args, args = parsed([*base, "--config", str(ROOT / "examples" / "recipes" / "finetune_babylm.yaml")])
    assert task_args.task_name == ["mnli_10k", "qqp_10k"]
    assert args.lr_scheduler_kwargs == {"min_lr_rate": 0.1}
