"""transformers' own scripts, which know nothing of this package, open, train and save our checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
)

from tests.families import demo_tokenizer
from transformers_mcl import MclConfig, MclForPreTraining

HEADS = {
    "SequenceClassification": AutoModelForSequenceClassification,
    "TokenClassification": AutoModelForTokenClassification,
    "QuestionAnswering": AutoModelForQuestionAnswering,
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A pair, and what `export --format mcl` makes of it."""
    folder, tokenizer = tmp_path_factory.mktemp("checkpoints"), demo_tokenizer()
    torch.manual_seed(0)
    pair = MclForPreTraining(MclConfig.tiny(vocab_size=len(tokenizer)))
    pair.save_pretrained(folder / "pair")
    tokenizer.save_pretrained(folder / "pair")
    pair.export(str(folder / "export"), half="discriminator", format="mcl", tokenizer=tokenizer)
    return {name: str(folder / name) for name in ("pair", "export")}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ["pair", "export"])
def test_what_the_scripts_ask_of_a_checkpoint(
    head: str, kind: str, checkpoints: dict[str, str], tmp_path: Path
) -> None:
    hub: Any = {"cache_dir": None, "revision": "main", "token": None, "trust_remote_code": False}
    name, labels = checkpoints[kind], ["no", "perhaps", "yes"]
    three: Any = {"num_labels": 3}
    more: Any = {} if head == "QuestionAnswering" else {**three, "finetuning_task": "ner"}
    config = AutoConfig.from_pretrained(name, **more, **hub)
    tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **hub)
    model = HEADS[head].from_pretrained(name, from_tf=False, config=config, ignore_mismatched_sizes=False, **hub)
    assert type(model).__name__ == f"MclFor{head}"
    assert hasattr(tokenizer, "_tokenizer") and tokenizer.is_fast and tokenizer.padding_side == "right"
    if more:  # a pair has no classes of its own, which the scripts would think are a task's
        assert model.config.label2id == PreTrainedConfig(**three).label2id
        model.config.label2id = {label: i for i, label in enumerate(labels)}
        model.config.id2label = dict(enumerate(labels))
    text = ["the sea", "a ship"]
    rows = tokenizer(text, text, padding="max_length", max_length=16, truncation="only_second", return_tensors="pt")
    logits = model.eval()(**rows)[0]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, info = HEADS[head].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(again.eval()(**rows)[0], logits)
    if more:
        assert again.config.id2label == dict(enumerate(labels))


SCRIPT = """
import sys
import beside
from transformers import AutoConfig
assert "transformers_mcl" in sys.modules and __name__ == "__main__"
print(AutoConfig.for_model("mcl").model_type, beside.WORD, sys.argv)
raise SystemExit(3)
"""


def test_a_script_is_run_with_the_package_imported(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n")
    module = [sys.executable, "-m", "transformers_mcl"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*module, *words], capture_output=True, text=True)

    script = str(tmp_path / "script.py")
    done = run(script, "--flag", "value")
    assert (done.returncode, done.stdout) == (3, f"mcl beside {[script, '--flag', 'value']}\n"), done.stderr
    for words, says in ((["no.py"], "error: there is no script 'no.py'"), ([], "error: no script is given")):
        done = run(*words)
        assert done.returncode == 2 and done.stderr.startswith(says) and done.stderr.count("\n") == 1


# --- the scripts themselves, where TRANSFORMERS_EXAMPLES names the folder `examples/pytorch` of a copy of transformers
EXAMPLES = os.environ.get("TRANSFORMERS_EXAMPLES", "")
WORDS = ["the", "sea", "a", "ship", "was", "good", "and", "old"]


def rows_of(script: str, count: int) -> Any:
    if script == "run_glue":
        return [
            {"sentence1": WORDS[i % 8], "sentence2": "a ship", "label": ["no", "yes"][i % 2]} for i in range(count)
        ]
    if script == "run_ner":
        tags = ["O", "B-PER", "I-PER", "O"]
        return [{"tokens": WORDS[: 2 + i % 3], "ner_tags": tags[: 2 + i % 3]} for i in range(count)]
    answers = {"text": ["ship"], "answer_start": [6]}
    none: dict[str, list[Any]] = {"text": [], "answer_start": []}
    asked = {"question": "who?", "context": "the a ship"}
    return {"data": [{"id": str(i), **asked, "answers": [answers, none][i % 2]} for i in range(count)]}


@pytest.mark.slow
@pytest.mark.skipif(not EXAMPLES, reason="TRANSFORMERS_EXAMPLES names no copy of transformers' examples/pytorch")
@pytest.mark.parametrize("kind", ["pair", "export"])
@pytest.mark.parametrize(
    ("script", "head", "figures", "more"),
    [
        ("text-classification/run_glue", "SequenceClassification", {"eval_accuracy"}, []),
        ("token-classification/run_ner", "TokenClassification", {"eval_f1", "eval_precision", "eval_recall"}, []),
        (
            "question-answering/run_qa",
            "QuestionAnswering",
            {"eval_exact", "eval_HasAns_f1", "eval_best_f1"},
            ["--version_2_with_negative", "true", "--doc_stride", "4"],
        ),
    ],
)
def test_the_scripts_themselves(
    script: str, head: str, figures: set[str], more: list[str], kind: str, checkpoints: dict[str, str], tmp_path: Path
) -> None:
    from transformers_mcl.evaluation.modules import write_modules

    write_modules(tmp_path)
    files = []
    for split, count in (("train", 8), ("validation", 4), ("test", 4)):
        rows = rows_of(script.split("/")[1], count)
        text = json.dumps(rows) if isinstance(rows, dict) else "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.json").write_text(text)
        files += [f"--{split}_file", f"{split}.json"]
    command = [sys.executable, "-m", "transformers_mcl", str(Path(EXAMPLES, f"{script}.py").resolve()), *files, *more]
    command += ["--model_name_or_path", checkpoints[kind], "--output_dir", "out", "--max_seq_length", "24"]
    command += [
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--use_cpu",
        "true",
        "--max_steps",
        "2",
        "--report_to",
        "none",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert figures <= json.loads((tmp_path / "out" / "eval_results.json").read_text()).keys()
    model, info = HEADS[head].from_pretrained(tmp_path / "out", output_loading_info=True)
    assert type(model).__name__ == f"MclFor{head}" and not any(info.values())
    assert AutoTokenizer.from_pretrained(tmp_path / "out").is_fast
