"""Metrics as modules of `evaluate`: what its modules of the same names take and give."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from tests.families import demo_tokenizer, save_encoder
from transformers_mcl import UserError

evaluate = pytest.importorskip("evaluate")
from transformers_mcl.evaluation.modules import METRICS, load_metric, write_modules  # noqa: E402

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


def test_tags_that_mark_no_spans_are_read_as_seqeval_reads_them() -> None:
    tags = [["NN", "NN", "VB", ".", "U-X", "L-X", "B-", "ORG"]]
    found = load_metric("seqeval").compute(predictions=tags, references=tags)
    assert {name: figures["number"] for name, figures in found.items() if "overall" not in name} == {
        "B": 1, "N": 1, "X": 1, "_": 1
    }  # fmt: skip


def test_options_of_seqeval(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"predictions": [["I-X", "O"]], "references": [["B-X", "O"]], "mode": "strict", "scheme": "IOB2"}
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "seqeval", None)
        with pytest.raises(UserError, match="mode, scheme needs the package of this name: pip install seqeval"):
            load_metric("seqeval").compute(**wanted)
    pytest.importorskip("seqeval")
    assert load_metric("seqeval").compute(**wanted)["overall_f1"] == 0
    assert load_metric("seqeval").compute(**{**wanted, "mode": None, "scheme": None})["overall_f1"] == 1
    with pytest.raises(UserError, match="scheme 'IOB' must be one of IOB1"):
        load_metric("seqeval").compute(**{**wanted, "scheme": "IOB"})


def test_degenerate_answers_count_as_in_the_script_of_squad() -> None:
    """Where nothing but an article is left of an answer, it is right and has no F1; a missing one is wrong."""
    answers = [{"id": str(i), "answers": {"text": ["the"], "answer_start": [0]}} for i in range(2)]
    given = [{"id": "0", "prediction_text": "a"}]
    assert load_metric("squad").compute(predictions=given * 2, references=answers) == {"exact_match": 50.0, "f1": 0.0}
    nothing = [{"id": "0", "answers": {"text": [], "answer_start": []}}]
    with pytest.raises(UserError, match="question '0' has no answer in references: squad_v2 takes such"):
        load_metric("squad").compute(predictions=given, references=nothing)


def test_more_of_the_hubs_forms() -> None:
    lists = {"predictions": [[0, 1], [1, 0], [1, 1]], "references": [[0, 1], [1, 1], [0, 1]]}
    found = load_metric("matthews_correlation", "multilabel").compute(**lists)
    assert found["matthews_correlation"] == pytest.approx([0.5, 0.0])
    mean = load_metric("matthews_correlation", "multilabel").compute(**lists, average="macro")
    assert mean == {"matthews_correlation": pytest.approx(0.25)}
    scores = {"predictions": [0.0, 2.0], "references": [1.0, 0.0]}
    assert load_metric("mse").compute(**scores) == {"mse": 2.5}
    assert load_metric("mse").compute(**scores, squared=False)["mse"] == pytest.approx(2.5**0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, of what is constant
        constant = load_metric("glue", "stsb").compute(predictions=[1.0, 1.0, 1.0], references=[1.0, 2.0, 3.0])
    assert np.isnan(list(constant.values())).all()
    kinds = {str(load_metric("glue", task).features["references"].dtype) for task in ("sst2", "mnli", "hans")}
    assert kinds == {"int64"} and load_metric("glue", "stsb").features["references"].dtype == "float32"


def test_programs_that_know_nothing_of_us_find_the_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers' scripts load them, by names that the Hub has, too."""
    write_modules(tmp_path)
    write_modules(tmp_path)  # again
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "cache"))
    for name, config in (("glue", "mrpc"), ("squad_v2", None), ("squad", None), ("seqeval", None), ("accuracy", None)):
        found = evaluate.load(name, config, cache_dir=None)
        assert (found.name, found.features) == (name, load_metric(name, config).features)
    both = evaluate.load("glue", "mrpc").compute(predictions=[0, 1, 1], references=[0, 1, 0])
    assert both == pytest.approx({"accuracy": 2 / 3, "f1": 2 / 3})
    with pytest.raises(UserError, match="glue: unknown configuration 'sst'; choose from cola"):
        evaluate.load("glue", "sst")
    (tmp_path / "f1" / "f1.py").write_text("# a user's own\n")
    with pytest.raises(UserError, match="f1.py exists already, and is something else: choose another folder"):
        write_modules(tmp_path)


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
