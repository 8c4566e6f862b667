"""Metrics as modules of `evaluate`: what its modules of the same names take and give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from tests.families import demo_tokenizer, save_encoder
from transformers_mcl import UserError

evaluate = pytest.importorskip("evaluate")
from transformers_mcl.evaluation.modules import METRICS, load_metric  # noqa: E402

CLASSES = {"predictions": [0, 1, 1, 0, 1], "references": [0, 1, 0, 0, 0]}


@pytest.mark.parametrize(
    ("name", "config", "given", "expected"),
    [
        ("accuracy", None, CLASSES, {"accuracy": 0.6}),
        ("accuracy", None, {**CLASSES, "normalize": False}, {"accuracy": 3.0}),
        ("f1", None, CLASSES, {"f1": 0.5}),
        ("f1", None, {**CLASSES, "average": "macro"}, {"f1": (0.5 + 2 / 3) / 2}),
        ("matthews_correlation", None, CLASSES, {"matthews_correlation": 1 / 6**0.5}),
        ("roc_auc", None, {"references": [0, 1, 0], "prediction_scores": [0.1, 0.4, 0.4]}, {"roc_auc": 0.75}),
        ("glue", "cola", CLASSES, {"matthews_correlation": 1 / 6**0.5}),
        ("glue", "mrpc", CLASSES, {"accuracy": 0.6, "f1": 0.5}),
        ("glue", "qqp", CLASSES, {"accuracy": 0.6, "f1": 0.5}),
        ("glue", "mnli_mismatched", {"predictions": [0, 2], "references": [2, 2]}, {"accuracy": 0.5}),
        (
            "glue",
            "stsb",
            {"predictions": [0.0, 1.0, 2.0], "references": [0.0, 2.0, 4.0]},
            {"pearson": 1.0, "spearmanr": 1.0},
        ),
        (
            "minimal_pairs",
            None,
            {"good": [1.0, 2.0, 3.0, 0.0], "bad": [1.0, 1.0, 4.0, -1.0]},
            {"accuracy": 0.5, "accuracy_with_ties": 0.75, "ties": 1},
        ),
    ],
)
def test_figures(name: str, config: str | None, given: dict[str, Any], expected: dict[str, float]) -> None:
    assert load_metric(name, config).compute(**given) == pytest.approx(expected)


def test_answers() -> None:
    answers = [{"id": "a", "answers": {"text": ["a cat"], "answer_start": [3]}}]
    answers.append({"id": "b", "answers": {"text": [], "answer_start": []}})
    given = [{"id": "a", "prediction_text": "The cat sat"}, {"id": "b", "prediction_text": ""}]
    plain = load_metric("squad").compute(predictions=given[:1], references=answers[:1])
    assert plain == pytest.approx({"exact_match": 0.0, "f1": 200 / 3})
    sure = [{**one, "no_answer_probability": 0.0} for one in given]
    found = load_metric("squad_v2").compute(predictions=sure, references=answers)
    expected = {
        "exact": 50.0,
        "f1": 250 / 3,
        "total": 2,
        "HasAns_f1": 200 / 3,
        "NoAns_exact": 100.0,
        "best_f1": 250 / 3,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_spans() -> None:
    given = [["B-X", "I-X", "O", "B-Y"], ["O"]]
    wanted = [["B-X", "I-X", "O", "O"], ["B-X"]]
    found = load_metric("seqeval").compute(predictions=given, references=wanted)
    assert found["X"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "number": 2}
    assert found["Y"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "number": 0}
    names = ("precision", "recall", "f1", "accuracy")
    assert [found[f"overall_{name}"] for name in names] == pytest.approx([0.5, 0.5, 0.5, 0.6])


def test_modules_are_combined_and_filled_in_batches() -> None:
    both = evaluate.combine([load_metric("accuracy"), load_metric("f1")])
    for start in (0, 2):
        both.add_batch(**{name: values[start : start + 3 - start // 2] for name, values in CLASSES.items()})
    assert set(both.compute()) == {"accuracy", "f1"}


def test_a_model_is_run_by_an_evaluator(tmp_path: Path) -> None:
    save_encoder(tmp_path, "bert", AutoModelForSequenceClassification)
    model: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    tokenizer: Any = demo_tokenizer()
    rows = Dataset.from_dict({"text": ["a cat", "the sea", "a ship"], "label": [0, 1, 0]})
    found = evaluate.evaluator("text-classification").compute(
        model, rows, tokenizer=tokenizer, metric=load_metric("accuracy"), label_mapping={"LABEL_0": 0, "LABEL_1": 1}
    )
    said = [model(**tokenizer(text, return_tensors="pt")).logits.argmax().item() for text in rows["text"][:]]
    assert found["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(said, rows["label"][:], strict=True)]))


def test_the_python_of_the_page() -> None:
    page = Path(__file__).parents[2] / "docs" / "judging.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/judging.md", "exec"), names)
    assert names["figures"] == names["mrpc"] == pytest.approx({"accuracy": 2 / 3, "f1": 2 / 3})


def test_unknown_names() -> None:
    with pytest.raises(UserError, match="unknown metric 'acuracy'; the metrics are accuracy, f1"):
        load_metric("acuracy")
    with pytest.raises(UserError, match="glue: unknown configuration 'default'; choose from cola"):
        load_metric("glue")
    assert {"glue", "squad_v2", "seqeval", "roc_auc", "minimal_pairs"} <= set(METRICS)
