from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from tests.families import demo_tokenizer, tiny_pair
from tests.markup import NASTY, look
from transformers_mcl.hub.model_card import RunSummary, model_card
from transformers_mcl.models.configuration_mcl import MclConfig

RECIPE = {
    "train_file": ["/home/ada/my corpus/novels.txt.gz", "relative/letters.txt"],
    "tokenizer_name": "C:\\Users\\ada b\\wordpieces",
    "output_dir": "/home/ada/runs/mcl-novels",
    "learning_rate": 5e-4,
    "lr_scheduler_kwargs": {"table": "~/rates.csv"},
}
TRAIN = {"mlm_loss": 5.4321, "rtd_masked_lm_accuracy": 0.2468, "rtd_disc_auc": 0.7531, "loss": 31.75, "step": 1990}
EVALUATION = {
    "eval_mlm_loss": 5.6789,
    "eval_re_std_loss": 0.0123,
    "eval_rtd_masked_lm_loss": 5.6789,
    "eval_rtd_masked_lm_accuracy": 0.2345,
    "eval_std_sampled_masked_lm_accuracy": 0.1357,
    "eval_itd_disc_loss": 0.1987,
    "eval_itd_disc_auc": 0.8642,
    "eval_itd_disc_accuracy": 0.9246,
    "eval_itd_disc_precision": 0.9753,
    "eval_itd_disc_recall": 0.3864,
    "eval_runtime": 12.25,
    "most_frequent_token": 0.0511,
    "unigram_entropy": 6.4209,
}


@pytest.fixture
def summary() -> RunSummary:
    return RunSummary(
        config=MclConfig.tiny(loss_weights={"mlm": 1, "rtd": 50, "std": 45, "itd": 40, "re_std": 7}, swap_ratio=0.12),
        parameters={"discriminator": 1234567, "generator": 345678, "shared": 200001},
        data="/home/ada/my corpus/novels.txt.gz and (/srv/texts/en/plays.txt): 54 documents and/or 98,765 tokens",
        recipe=yaml.safe_dump(RECIPE),
        steps=2000,
        tokens=4096000,
        seconds=3725.4,
        hardware="1 x Abacus 9000",
        versions={"torch": "2.13.0", "transformers": "5.23.0"},
        train=TRAIN,
        evaluation=EVALUATION,
        curves="/home/ada/runs/mcl-novels/curves.png",
        base_checkpoint="ada/mcl-plays",
    )


def table(card: ModelCard, corner: str) -> dict[str, dict[str, str]]:
    """The table whose first cell is `corner`: cells by row and column."""
    lines = re.search(rf"^\| {corner} \|.*\n(?:\|.*\n)+", card.text, re.MULTILINE)
    assert lines is not None, f"no table {corner}"
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]
    assert all(len(row) == len(head) for row in rows)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_saved_card_has_the_metadata_of_a_pretrained_encoder(summary: RunSummary, tmp_path: Path) -> None:
    told: dict[str, Any] = {"language": ["en", "de"], "license": "apache-2.0", "datasets": ["ada/novels"]}
    replace(summary, **told).save(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    metadata = card.data.to_dict()
    (results,) = metadata.pop("model-index")
    assert results["name"] == "mcl-novels"
    found = [(r["task"]["type"], m["name"], m["type"], m["value"]) for r in results["results"] for m in r["metrics"]]
    assert found == [  # of 10 figures those that say how good it is
        ("fill-mask", "rtd_masked_lm_accuracy", "accuracy", 0.2345),
        ("token-classification", "itd_disc_auc", "roc_auc", 0.8642),
    ]
    assert metadata == {
        "base_model": "ada/mcl-plays",
        "datasets": ["ada/novels"],
        "language": ["en", "de"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "feature-extraction",
        "tags": ["mcl", "electra", "pretraining"],
    }
    assert str(card) == str(model_card(replace(summary, **told)))


def test_metadata_says_nothing_that_was_not_given(summary: RunSummary, tmp_path: Path) -> None:
    (tmp_path / "mcl-plays").mkdir()
    for local in (None, str(tmp_path / "mcl-plays"), "./mcl-plays"):
        data = model_card(replace(summary, base_checkpoint=local)).data.to_dict()
        assert data.keys() == {"library_name", "model-index", "pipeline_tag", "tags"}


def test_a_pair_made_of_two_models_names_both(summary: RunSummary, tmp_path: Path) -> None:
    both = ["ada/electra-discriminator", "ada/electra-generator"]
    card = model_card(replace(summary, base_checkpoint=both))
    assert card.data.to_dict()["base_model"] == both
    assert "Goes on from: ada/electra-discriminator and ada/electra-generator\n" in card.text
    card = model_card(replace(summary, base_checkpoint=[both[0], str(tmp_path / "mine" / "generator")]))
    assert card.data.to_dict()["base_model"] == both[0]
    assert "Goes on from: ada/electra-discriminator and generator\n" in card.text


def test_folder_named_like_a_repository_is_no_base_model(
    summary: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ada" / "mcl-plays").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "base_model" not in model_card(summary).data.to_dict()


def test_figures_stand_in_their_tables(summary: RunSummary) -> None:
    card = model_card(summary)
    losses = table(card, "loss")
    assert losses == {
        "mlm": {"held out": "5.679", "training": "5.432"},
        "re_std": {"held out": "0.0123", "training": "–"},
    }
    held_out = table(card, "held out")
    assert list(held_out) == [
        "masked_lm_loss",
        "masked_lm_accuracy",
        "sampled_masked_lm_accuracy",
        "disc_loss",
        "disc_auc",
        "disc_accuracy",
        "disc_precision",
        "disc_recall",
    ]
    assert held_out["masked_lm_loss"] == {"RTD": "5.679", "STD": "–", "ITD": "–", "without context": "6.421"}
    assert held_out["masked_lm_accuracy"] == {"RTD": "0.2345", "STD": "–", "ITD": "–", "without context": "0.0511"}
    assert held_out["disc_auc"] == {"RTD": "–", "STD": "–", "ITD": "0.8642", "without context": "0.5"}
    assert table(card, "training")["disc_auc"] == {"RTD": "0.7531", "STD": "–", "ITD": "–"}
    assert table(card, "other")["step"] == {"held out": "–", "training": "1,990"}


def test_every_figure_appears(summary: RunSummary) -> None:
    text = model_card(summary).text
    for name, value in {**TRAIN, **EVALUATION}.items():
        written = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        assert f"| {written} |" in text, name
    for figure in ("1,234,567", "345,678", "200,001", "2,000", "4,096,000", "1:02:05", "98,765", "2.13.0", "Abacus"):
        assert figure in text


def test_courses_with_their_ratios_and_weights(summary: RunSummary) -> None:
    courses = table(model_card(summary), "course")
    assert [row["tokens"] for row in courses.values()] == ["15 % masked", "12 % swapped", "15 % inserted"]
    assert list(courses["RTD"].values())[1:] == ["mlm × 1", "rtd × 50", "–", "–"]
    assert list(courses["STD"].values())[1:] == ["–", "std × 45", "–", "re_std × 7"]
    assert list(courses["ITD"].values())[1:] == ["–", "itd × 40", "–", "–"]


def test_electra_is_called_what_it_is(summary: RunSummary) -> None:
    card = model_card(replace(summary, config=MclConfig.tiny(objective="electra")))
    assert list(table(card, "course")) == ["RTD"]
    assert "pre-trained by replaced token detection" in card.text
    assert "pre-trained with MCL" not in card.text and "pre-trained with MCL" in model_card(summary).text


def test_recipe_repeats_the_run_and_names_files_only(summary: RunSummary) -> None:
    block = re.search(r"```yaml\n(.*?)```\n", model_card(summary).text, re.DOTALL)
    assert block is not None
    assert yaml.safe_load(block[1]) == {
        "train_file": ["novels.txt.gz", "relative/letters.txt"],
        "tokenizer_name": "wordpieces",
        "output_dir": "mcl-novels",
        "learning_rate": 5e-4,
        "lr_scheduler_kwargs": {"table": "rates.csv"},
    }
    assert "yaml" not in model_card(replace(summary, recipe="")).text
    assert "```yaml\n{}\n```" in model_card(replace(summary, recipe="{}\n")).text


def test_no_folder_of_the_machine_is_on_the_card(summary: RunSummary) -> None:
    path = "/home/ada/runs/old one/mcl-novels"
    versions = {"transformers_mcl": "0.1 @ file:///home/ada/src/transformers-mcl"}
    text = str(
        model_card(replace(summary, versions=versions, base_checkpoint=path, curves=f"{path}/c.png", hardware=path))
    )
    for private in ("/home", "ada/my corpus", "/srv", "Users", "~/"):
        assert private not in text, private
    # What looks like a path and is none stays.
    for public in ("novels.txt.gz and (plays.txt): 54 documents and/or", "(https://arxiv.org/abs/2305.03981)"):
        assert public in text
    for shortened in ("0.1 @ transformers-mcl", "Goes on from: mcl-novels\n", "](c.png)", "on mcl-novels\n"):
        assert shortened in text


def test_short_local_names_leave_other_words_alone(summary: RunSummary) -> None:
    text = model_card(replace(summary, recipe="train_file: /abs\n", data="/abs, and /absolute")).text
    assert "- Text: abs, and /absolute\n" in text
    assert "https://arxiv.org/abs/2305.03981" in text


def test_picture_is_shown_if_there_is_one(summary: RunSummary) -> None:
    assert "](curves.png)" in model_card(summary).text
    assert "![" not in model_card(replace(summary, curves=None)).text


def test_warnings_of_the_run_are_listed(summary: RunSummary) -> None:
    warnings = ["step 7, course rtd: the generator is too weak. What to do: wait", "step 9, course std: another"]
    text = model_card(replace(summary, warnings=warnings)).text
    assert "\n\n## Warnings during training\n\n" + "".join(f"- {warning}\n" for warning in warnings) in text
    assert "Warnings" not in model_card(summary).text


@pytest.mark.parametrize(
    ("shares", "said"), [("encoder", "whose detection head is untrained"), ("token", "It is the generator of a pair.")]
)
def test_masked_language_modelling_alone_trains_no_discriminator(summary: RunSummary, shares: str, said: str) -> None:
    config = MclConfig.tiny(loss_weights={"mlm": 2.0}, generator_shares=shares)
    text = model_card(replace(summary, config=config)).text
    assert said in text and "the generator that it was trained with" not in text


@pytest.mark.parametrize("word", NASTY)
def test_words_of_files_and_users_are_no_markup(summary: RunSummary, word: str) -> None:
    def card(name: str, word: str) -> ModelCard:
        recipe = {
            **RECIPE,
            "output_dir": f"/home/ada/{name}",
            "run_name": word,
            "train_file": [word],
            "a": {word: word},
        }
        words: dict[str, Any] = {"data": f"/srv/{word}: 54 documents", "warnings": [word], "datasets": [word]}
        words |= {"hardware": word, "base_checkpoint": ["ada/a", f"/home/{word}"], "language": [word], "license": word}
        return model_card(replace(summary, recipe=yaml.safe_dump(recipe), **words))

    found = card(word.replace("/", ""), word)
    assert look(found) == look(card("name", "word"))
    data: Any = found.data
    assert data.datasets == [word] and data.license == word
    if not word.isprintable() or "\\" in word:
        return
    code = next(token.content for token in MarkdownIt().parse(found.text) if token.info == "python")
    (name,) = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assign)][:1]
    assert ast.literal_eval(name) == word.replace("/", "")


def test_run_without_figures_says_so(summary: RunSummary) -> None:
    text = model_card(replace(summary, train={}, evaluation={}, curves=None)).text
    assert re.search(r"Nothing was logged\.\n+## Citation", text)
    assert "Nothing was logged" not in model_card(summary).text


def test_code_of_the_card_runs(summary: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from transformers_mcl import MclForMaskedLM, MclForPreTraining, MclForSequenceClassification, MclModel

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[MASK]": 4, "The": 5, "chef": 6}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    monkeypatch.chdir(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained("mcl-novels")
    config = MclConfig.tiny(vocab_size=8, num_hidden_layers=1, cls_token_id=2, sep_token_id=3, mask_token_id=4)
    pair = MclForPreTraining(config)
    pair.save_pretrained("mcl-novels")
    code = re.search(r"```python\n(.*?)```", model_card(summary).text, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    kinds = [type(names[name]) for name in ("encoder", "classifier", "generator")]
    assert kinds == [MclModel, MclForSequenceClassification, MclForMaskedLM]
    assert names["vectors"].shape == (1, 6, config.hidden_size)
    assert torch.equal(
        names["encoder"].embeddings.word_embeddings.weight, pair.electra.embeddings.word_embeddings.weight
    )


def test_a_pair_of_another_family_is_told_as_one(summary: RunSummary, tmp_path: Path) -> None:
    frozen: dict[str, Any] = {"generator_trainable": False, "generator_shares": "gdes", "generator_temperature": 2.0}
    pair = tiny_pair("modernbert", **frozen, objective="electra")
    pair.save_pretrained(tmp_path / "mcl-novels")
    demo_tokenizer().save_pretrained(tmp_path / "mcl-novels")
    card = model_card(replace(summary, config=pair.config))
    assert card.data.to_dict()["tags"] == ["mcl", "replaced-token-detection", "modernbert", "pretraining"]
    lines = card.text.splitlines()
    shape = "layers of width 32, attention heads 4, feed-forward 64"
    assert f"- Discriminator: modernbert, 2 {shape}" in lines
    assert f"- Generator: modernbert, 1 {shape}; not trained; sampled from at temperature 2" in lines
    assert "- Shared: token embeddings, disentangled (gdes)" in lines
    assert "`ModernBertModel` and `ModernBertForMaskedLM`" in card.text and "--format native" in card.text
    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace('"mcl-novels"', repr(str(tmp_path / "mcl-novels"))), names)
    assert type(names["encoder"]).__name__ == "ModernBertModel"
    assert type(names["generator"]).__name__ == "ModernBertForMaskedLM"


def test_the_default_pair_says_what_it_shares(summary: RunSummary) -> None:
    card = model_card(summary)
    assert "- Shared: token embeddings\n" in card.text and "--format native" not in card.text
    assert "temperature" not in card.text and "not trained" not in card.text


def test_it_renders_as_it_is_meant(summary: RunSummary) -> None:
    card = model_card(replace(summary, warnings=["step 7: look"]))
    tokens = MarkdownIt().enable("table").parse(card.text)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == [
        "mcl-novels",
        *("How to use it", "How it was trained", "Results"),
        *("Losses", "Courses on held-out text", "Courses in training", "Other figures"),
        *("Warnings during training", "Citation"),
    ]
    assert sum(token.type == "table_open" for token in tokens) == 5
    fences = {token.info: token.content for token in tokens if token.type == "fence"}
    assert fences.keys() == {"bash", "python", "yaml", "bibtex"}
    assert fences["bibtex"].count("@") == 2 and "Beiduo" in fences["bibtex"]
    assert "pip install transformers-mcl\n" in card.text and "https://pypi.org/project/transformers-mcl/" in card.text
    pictures = [part for token in tokens for part in token.children or () if part.type == "image"]
    assert [picture.attrs["src"] for picture in pictures] == ["curves.png"]
    # A table or a list that fell apart is text to the renderer.
    assert not [token for token in tokens if token.type == "inline" and token.content.startswith(("|", "- "))]
