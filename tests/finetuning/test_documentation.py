"""The page on fine-tuning and its recipe: commands that parse, and Python that runs."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
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

from transformers_mcl.cli.arguments import ParsedArguments, parse_arguments
from transformers_mcl.cli.main import main
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


@pytest.fixture
def workplace(tmp_path: Path, bert: str, write: Any, reviews: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with what the pages' commands speak of, small."""
    monkeypatch.chdir(tmp_path)
    for name in ("my-mcl", "all-MiniLM-L6-v2"):
        shutil.copytree(bert, name)
    rows = reviews(8, 0)
    pairs = [{"sentence1": row["sentence"], "sentence2": "fine", "label": row["label"]} for row in rows]
    answers = {"text": ["bob"], "answer_start": [0]}
    tables = {"sst2": rows, "cola": rows, **dict.fromkeys(("rte", "stsb", "mrpc"), pairs)}
    tables["squad_v2"] = [{"question": "who ?", "context": "bob was in rome", "answers": answers}]
    for split in ("train", "validation"):
        for task, table in tables.items():
            write(f"glue-files/{task}/{split}.jsonl", table)
        for task, (first, second) in {"mnli": ("premise", "hypothesis"), "qqp": ("question1", "question2")}.items():
            table = [{first: row["sentence1"], second: "fine", "label": row["label"]} for row in pairs]
            write(f"glue_filtered/{task}.{split.replace('validation', 'valid')}.jsonl", table)
        os.makedirs("sst2", exist_ok=True)
        with gzip.open(f"sst2/{split}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    for name in ("train.csv", "test.csv"):
        Path(name).write_text("question,answer,quality\nwho,bob,good\nwho,anna,bad\n", encoding="utf-8")
    shutil.copytree(ROOT / "examples" / "names", "examples/names", ignore=shutil.ignore_patterns("*.py"))


@pytest.mark.parametrize(("page", "count"), [("finetuning", 9), ("finetuned_minilm", 6)])
def test_commands(page: str, count: int, workplace: None) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    commands = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    others = [command for command in commands if not command.startswith("transformers-mcl ")]
    commands = [command for command in commands if command not in others]
    assert len(commands) == count
    for number, command in enumerate(commands):
        words = shlex.split(command)
        assert words[:2] == ["transformers-mcl", "finetune"]
        assert parsed(words[2:])[0].model_name_or_path
        small = ["--output_dir", f"out-{number}", "--max_steps", "1", "--use_cpu", "true", "--disable_tqdm", "true"]
        small += ["--num_seeds", "1", "--max_seq_length", "32", "--doc_stride", "8", "--push_to_hub", "false"]
        small += ["--max_train_samples", "16", "--max_eval_samples", "8"]
        given = {"--train_file", "--validation_file", "--test_file", "--dataset_name"} & set(words)
        data = [] if given else ["--dataset_name", "glue-files"]
        assert main([*words[1:], *small, *data]) == 0, command
        if "my-classifier" in words and "--do_train" not in words:  # what the next ones use
            shutil.copytree(f"out-{number}", "my-classifier")
    for name in re.findall(r"`(--\w+)", text):
        assert any(name[2:] in kind.__dataclass_fields__ for kind in KINDS), name
    if page != "finetuning":
        return
    *scripts, writes = others
    assert [re.search(r"-m transformers_mcl (\w+)", line)[1] for line in scripts] == ["run_glue", "run_ner"]  # type: ignore[index]
    python, option, program = shlex.split(writes)
    assert (python, option) == ("python", "-c")
    if find_spec("evaluate") is not None:
        exec(program, {})
        assert Path("glue", "glue.py").is_file()


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
    page = (ROOT / "docs" / "add_a_task.md").read_text()
    programs, commands = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "bash"))
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
