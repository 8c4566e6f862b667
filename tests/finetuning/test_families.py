"""Encoders of every family of transformers, by the command whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.families import FAMILIES, LAYERS, demo_tokenizer, each, save_encoder
from transformers_mcl.cli.main import main
from transformers_mcl.data.tokenizer import fit_tokenizer
from transformers_mcl.errors import UserError
from transformers_mcl.finetuning.arguments import EncoderArguments, TaskArguments
from transformers_mcl.finetuning.encoders import load_encoder, task_length
from transformers_mcl.finetuning.loading import load_task
from transformers_mcl.finetuning.task import LoadedTask, find_task
from transformers_mcl.models.structure import input_names

Command = Callable[..., list[str]]
Write = Callable[..., str]

WITHOUT_ANSWERS = ("eurobert", "nomic_bert", "esm")
PAIRS = [{"sentence1": "the film was good", "sentence2": f"a fine film {i}", "label": i % 2} for i in range(8)]


@pytest.fixture
def on_file(command: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command of two steps that reads all from one file of rows, without what takes time and is no family's."""
    monkeypatch.setattr("transformers_mcl.finetuning.run.plot_curves", lambda *_, **__: None)
    monkeypatch.setattr("transformers_mcl.finetuning.run.release_memory", lambda: None)
    monkeypatch.setattr("transformers_mcl.finetuning.results.plot_results", lambda *_, **__: None)

    def words(model: Path, task: str, rows: list[dict[str, Any]], *more: str) -> list[str]:
        file = write(f"{task}.jsonl", rows)
        files = [word for split in ("train", "validation", "test") for word in (f"--{split}_file", file)]
        steps = ["--max_steps", "2", "--warmup_steps", "0", "--learning_rate", "1e-2", "--max_seq_length", "32"]
        return command("--model_name_or_path", str(model), "--task_name", task, *files, *steps, *more)

    return words


@each(FAMILIES)
def test_pairs_of_texts_are_learnt_and_predicted_and_a_run_goes_on(
    family: str, on_file: Command, tmp_path: Path
) -> None:
    words = on_file(
        save_encoder(tmp_path / "model", family), "text_classification", PAIRS,
        *["--layerwise_learning_rate_decay", "0.8", "--save_strategy", "steps", "--save_steps", "1"],
    )  # fmt: skip
    out, resumed = tmp_path / "out", tmp_path / "resumed"
    assert main(words) == 0
    assert len((out / "predict_results_text_classification.txt").read_text().splitlines()) == 1 + len(PAIRS)
    assert main([*words, "--output_dir", str(resumed), "--resume_from_checkpoint", str(out / "checkpoint-1")]) == 0
    found, wanted = (load_file(folder / "model.safetensors") for folder in (resumed, out))
    assert all(found[name].equal(wanted[name]) for name in wanted)
    model, info = AutoModelForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    # Whoever opens it has a tokenizer that gives what it takes.
    assert AutoTokenizer.from_pretrained(out).model_input_names == list(input_names(model))
    classify: Any = pipeline("text-classification", model=str(out), device="cpu")
    assert classify({"text": "the film was good", "text_pair": "a fine film"})["label"] in ("0", "1")


@each(FAMILIES)
def test_tags_and_answers(family: str, on_file: Command, tmp_path: Path, refused: Any) -> None:
    model = save_encoder(tmp_path / "model", family)
    tags = [{"tokens": ["the", "film", "was", "wonderfully"], "ner_tags": ["O", "B-X", "O", "O"]}] * 4
    assert main(on_file(model, "token_classification", tags, "--output_dir", str(tmp_path / "tags"))) == 0
    answers = {"text": ["bob"], "answer_start": [7]}
    rows = [{"question": "who was it?", "context": f"it was bob {i}", "answers": answers} for i in range(4)]
    words = on_file(model, "question_answering", rows, "--doc_stride", "4")
    if family in WITHOUT_ANSWERS:
        assert f"is a {family!r} model, which transformers has no AutoModelForQuestionAnswering for" in refused(words)
    else:
        assert main(words) == 0
        assert len(json.loads((tmp_path / "out" / "predict_predictions.json").read_text())) == len(rows)


@pytest.fixture
def task(write: Write) -> LoadedTask:
    file = write("pairs.jsonl", PAIRS)
    return load_task(find_task("text_classification"), TaskArguments(train_file=[file], validation_file=[file]))


@each(FAMILIES)
def test_an_encoder_without_its_weights_is_refused_and_one_without_a_pooler_is_not(
    family: str, task: LoadedTask, tmp_path: Path
) -> None:
    folder = save_encoder(tmp_path / "model", family, AutoModelForMaskedLM)
    encoder = EncoderArguments(str(folder))
    model, _ = load_encoder(encoder, task, seed=0)
    weights, base = load_file(folder / "model.safetensors"), f"{model.base_model_prefix}."
    path = LAYERS[family] if family != "nomic_bert" else "encoder.layers"  # whose file has names of its own
    for lost in (f"{base}{path}.0", f"{base}embed"):
        left = {name: weight for name, weight in weights.items() if not name.startswith(lost)}
        assert left.keys() != weights.keys()
        save_file(left, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=rf"holds no weights of the encoder to fine-tune \({base}"):
            load_encoder(encoder, task, seed=0)


def test_a_checkpoint_of_old_names_goes_on(on_file: Command, tmp_path: Path) -> None:
    """transformers saves norms that it found as gamma and beta under these names, and would not read them again."""
    folder = save_encoder(tmp_path / "model", "bert")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
        for name, weight in load_file(folder / "model.safetensors").items()
    }
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    words = on_file(folder, "text_classification", PAIRS, "--save_strategy", "steps", "--save_steps", "1")
    assert main(words) == 0
    whole = load_file(tmp_path / "out" / "model.safetensors")
    more = ["--output_dir", str(tmp_path / "resumed"), "--resume_from_checkpoint"]
    assert main([*words, *more, str(tmp_path / "out" / "checkpoint-1")]) == 0
    found = load_file(tmp_path / "resumed" / "model.safetensors")
    assert all(found[name].equal(weight) for name, weight in whole.items())


def test_a_length_beyond_the_positions_of_roberta_is_refused(task: LoadedTask, tmp_path: Path) -> None:
    tokenizer = demo_tokenizer()
    model, _ = load_encoder(EncoderArguments(str(save_encoder(tmp_path / "model", "roberta"))), task, seed=0)
    assert model.config.max_position_embeddings == 65
    assert [task_length(asked, task, tokenizer, model) for asked in (None, 64)] == [64, 64]
    with pytest.raises(UserError, match="max_seq_length=65 is more than the 64 tokens"):
        task_length(65, task, tokenizer, model)


@pytest.mark.parametrize("types", [1, 2])
def test_token_types_are_given_to_those_that_tell_them_apart(types: int, tmp_path: Path) -> None:
    tokenizer = demo_tokenizer()
    model = AutoModel.from_pretrained(save_encoder(tmp_path / "model", "bert", type_vocab_size=types))
    fit_tokenizer(tokenizer, model)
    rows = tokenizer("one sentence", "and another", return_tensors="pt")
    assert ("token_type_ids" in rows) == (types == 2)
    model(**rows)
