from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import BertConfig, BertModel, BertTokenizer, ElectraConfig, ElectraForMaskedLM, GPT2Config

from transformers_mcl import MclDiscriminator, MclForMaskedLM, UserError
from transformers_mcl.evaluation import EvaluationArguments
from transformers_mcl.evaluation import evaluate as evaluate_checkpoint
from transformers_mcl.evaluation.halves import open_scorer
from transformers_mcl.evaluation.minimal_pairs import Pair, PairsArguments, PairScorer, ScoringArguments, score_pairs
from transformers_mcl.evaluation.minimal_pairs import evaluation as module


@pytest.fixture
def checkpoints(tmp_path: Path, models: dict[str, Any], tokenizer: BertTokenizer) -> Path:
    """Directories of models and halves, named by what they hold."""
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
    MclForMaskedLM.from_pretrained(tmp_path / "mcl").save_pretrained(tmp_path / "mcl-generator")
    disc: Any = MclDiscriminator.from_pretrained(tmp_path / "mcl")
    disc.save_pretrained(tmp_path / "mcl-discriminator")
    sizes: dict[str, Any] = {"vocab_size": 15, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ElectraForMaskedLM(ElectraConfig(**sizes, embedding_size=8)).save_pretrained(tmp_path / "electra-generator")
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / "encoder")
    GPT2Config().save_pretrained(tmp_path / "gpt2")
    models["mcl"].config.save_pretrained(tmp_path / "no-weights")
    for folder in tmp_path.iterdir():
        tokenizer.save_pretrained(folder)
    return tmp_path


@pytest.fixture
def pairs_file(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> str:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [{"sentence_good": p.good, "sentence_bad": p.bad, "UID": p.paradigm, "field": p.field} for p in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def evaluate(checkpoint: Path, pairs_file: str, output_dir: Path, **rest: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    scoring = ScoringArguments(rest.pop("scorer", None))
    args = EvaluationArguments("blimp", str(checkpoint), str(output_dir), use_cpu=True, **rest)
    return evaluate_checkpoint(args, scoring, PairsArguments(pairs_file=[pairs_file]), say=said.append), said


@pytest.mark.parametrize(
    ("name", "scorers"),
    [
        ("mcl", ["generator", "discriminator"]),
        ("mcl-generator", ["generator"]),
        ("mcl-discriminator", ["discriminator"]),
        ("bert", ["generator"]),
        ("electra", ["discriminator"]),
        ("electra-generator", ["generator"]),
    ],
)
def test_what_a_checkpoint_has_is_what_judges(
    name: str, scorers: list[str], checkpoints: Path, pairs_file: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    results, said = evaluate(checkpoints / name, pairs_file, tmp_path_factory.mktemp("out"))
    assert list(results["results"]) == scorers
    missing: Any = {"generator", "discriminator"} - set(scorers)
    assert [half for half in missing if not any(half in line and name in line for line in said)] == []
    for scorer in missing:
        with pytest.raises(UserError, match=scorer if "electra" in name or "mcl" in name else "no discriminator"):
            open_scorer(str(checkpoints / name), scorer)


@pytest.mark.parametrize("half", ["generator", "discriminator"])
def test_a_half_scores_as_the_pair_that_it_was_part_of(
    half: Any, checkpoints: Path, models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair]
) -> None:
    expected = score_pairs(models["mcl"], tokenizer, pairs, half)
    for name in ("mcl", f"mcl-{half}"):
        found = score_pairs(open_scorer(str(checkpoints / name), half), tokenizer, pairs, half)
        assert found.bad == pytest.approx(expected.bad, abs=2e-5)


def test_results(
    checkpoints: Path, pairs_file: str, models: dict[str, Any], tokenizer: BertTokenizer, pairs: list[Pair]
) -> None:
    out = checkpoints / "out"
    results, said = evaluate(checkpoints / "mcl", pairs_file, out)
    assert json.loads((out / "results.json").read_text()) == results
    for scorer in ("generator", "discriminator"):
        correct = score_pairs(models["mcl"], tokenizer, pairs, scorer).correct
        summary = results["results"][scorer]
        assert summary["all"]["all"]["correct"] == correct.sum()
        # The two paradigms take turns in the file.
        assert [g["correct"] for g in summary["paradigm"].values()] == [correct[::2].sum(), correct[1::2].sum()]
        assert any(line.startswith(f"{scorer}: 5 pairs, ") for line in said)
        assert any("pairs/s" in line for line in said)
    table = (out / "results.md").read_text()
    assert "| field | pairs | generator | 95 % interval | ties | with ties | discriminator |" in table
    assert (out / "results.png").read_bytes()[:4] == b"\x89PNG"


def test_a_card_is_told_the_accuracies(checkpoints: Path, pairs_file: str) -> None:
    card, out = checkpoints / "mcl" / "README.md", checkpoints / "out"
    before = "license: mit\nmodel-index:\n- name: chef\n  results:\n  - task:\n      type: fill-mask\n    dataset:\n"
    before += "      name: x\n      type: x\n    metrics:\n    - type: loss\n      value: 1.5\n"
    card.write_text(f"---\n{before}---\n\n# chef\n\nWords.\n")
    results, _ = evaluate(checkpoints / "mcl", pairs_file, out, update_card=True)
    first = card.read_text()
    evaluate(checkpoints / "mcl", pairs_file, out, update_card=True)
    assert card.read_text() == first, "the same results replace themselves"
    data: Any = ModelCard(first).data
    assert first.endswith("# chef\n\nWords.\n") and data.license == "mit" and data.model_name == "chef"
    found = {(r.dataset_config, r.metric_name): r.metric_value for r in data.eval_results or []}
    assert found.pop((None, None)) == 1.5
    assert found == {
        (None if group == "all" else group, f"accuracy ({scorer})"): summary[grouping][group]["accuracy"]
        for scorer, summary in results["results"].items()
        for grouping, group in (("all", "all"), ("field", "syntax"))
    }
    card.unlink()
    with pytest.raises(UserError, match="update_card: .*mcl' is no folder with a model card"):
        evaluate(checkpoints / "mcl", pairs_file, out, update_card=True)


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_and_other_weights_start_anew(
    checkpoints: Path, pairs_file: str, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = evaluate(checkpoints / "mcl", pairs_file, checkpoints / "whole")
    calls: list[int] = []
    score = PairScorer.score

    def counted(self: PairScorer, encoded: Any, update: Any = None) -> Any:
        calls.append(len(encoded))
        if len(calls) == 4:
            raise Killed
        return score(self, encoded, update)

    out, file = checkpoints / "out", checkpoints / "out" / "scores.jsonl"
    monkeypatch.setattr(PairScorer, "score", counted)
    with pytest.raises(Killed):
        evaluate(checkpoints / "mcl", pairs_file, out)
    assert calls == [3, 2, 3, 2]
    file.write_text(file.read_text() + '{"key": "half a li')
    results, said = evaluate(checkpoints / "mcl", pairs_file, out)
    assert calls[4:] == [2], "only what was not done"
    assert "discriminator: 1 of 2 paradigms stand in scores.jsonl" in said
    assert results == whole
    assert file.read_text() == (checkpoints / "whole" / "scores.jsonl").read_text()

    (checkpoints / "mcl").rename(checkpoints / "moved")
    evaluate(checkpoints / "moved", pairs_file, out)
    assert calls[5:] == [], "nothing is left to do, wherever the checkpoint lies"

    with torch.no_grad():
        models["mcl"].discriminator_predictions.dense_prediction.bias += 1
    try:
        models["mcl"].save_pretrained(checkpoints / "moved")
    finally:
        with torch.no_grad():
            models["mcl"].discriminator_predictions.dense_prediction.bias -= 1
    evaluate(checkpoints / "moved", pairs_file, out)
    assert calls[5:] == [3, 2], "the generator is the same, the discriminator is another"
    assert len(file.read_text().splitlines()) == 4


def test_a_long_run_begins_with_an_estimate(
    checkpoints: Path, pairs_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ESTIMATE_FROM", 0)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    _, said = evaluate(checkpoints / "electra", pairs_file, checkpoints / "out", per_device_eval_batch_size=2)
    assert any(re.search(r": 5 pairs, 10 rows, about \d+ seconds$", line) for line in said)


@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_dtypes(dtype: str, checkpoints: Path, pairs_file: str) -> None:
    model = open_scorer(str(checkpoints / "mcl"), "discriminator", dtype)
    assert model.dtype == (torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    evaluate(checkpoints / "mcl", pairs_file, checkpoints / dtype, dtype=dtype)
    evaluate(checkpoints / "mcl", pairs_file, checkpoints / "out")
    kept = [(checkpoints / name / "scores.jsonl").read_text() for name in (dtype, "out")]
    assert (kept[0] == kept[1]) == (dtype == "auto")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("missing", {}, ["'", "missing", "no directory"]),
        ("no-weights", {}, ["no-weights", "has no weights"]),
        ("mcl-generator", {"scorer": "discriminator"}, ["MclForMaskedLM", "holds no discriminator"]),
        ("mcl-generator", {"scorer": "both"}, ["holds no discriminator"]),
        ("electra-generator", {"scorer": "discriminator"}, ["ElectraForMaskedLM", "holds no discriminator"]),
        ("mcl-discriminator", {"scorer": "generator"}, ["MclDiscriminator", "holds no generator"]),
        ("encoder", {}, ["BertModel", "holds no generator"]),
        ("gpt2", {}, ["'gpt2'", "no masked language model"]),
        ("mcl", {"output_dir": "mcl/config.json"}, ["output_dir", "config.json"]),
        ("mcl", {"per_device_eval_batch_size": 0}, ["per_device_eval_batch_size=0"]),
    ],
)
def test_mistakes_are_one_line(
    name: str, arguments: dict[str, Any], words: list[str], checkpoints: Path, pairs_file: str
) -> None:
    output_dir = checkpoints / arguments.pop("output_dir", "out")
    with pytest.raises(UserError) as error:
        evaluate(checkpoints / name, pairs_file, output_dir, **arguments)
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)
