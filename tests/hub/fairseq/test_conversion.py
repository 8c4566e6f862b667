"""A converted model computes what the original code does, and is an ordinary model of this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from transformers_mcl import MclDiscriminator, MclForPreTraining, MclModel, UserError, convert_fairseq_checkpoint
from transformers_mcl.hub.export import as_electra
from transformers_mcl.training.initialization import load_pair

Originals = Callable[[str], Any]
NAMES = ["mcl_base_like", "unilm_electra", "unilm_electra_no_bias", "coco_lm", "amos"]
EVERY = pytest.mark.parametrize("name", NAMES)
BACKENDS = ["eager", "sdpa", "flex_attention"]
DECLARED = "classification_heads"
pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def convert(original: Any, folder: Path, **options: Any) -> MclForPreTraining:
    convert_fairseq_checkpoint(original.path, folder, **options)
    pair: MclForPreTraining = AutoModelForPreTraining.from_pretrained(folder)
    return pair.eval()


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "model.pt")
    return folder / "model.pt"


def vocabulary_logits(reference: dict[str, Tensor]) -> Tensor:
    """The original generator's, `(tokens, vocabulary)` where it gives them; AMOS's as its own forward mixes them."""
    if "gen_logits_at_masks" in reference:
        return reference["gen_logits_at_masks"]
    tokens = reference["attention_mask"].bool()
    if "gen_mlm_logits" in reference:
        return reference["gen_mlm_logits"][tokens]
    layers = [name for name in reference if name.startswith("gen_mlm_logits_layer")]
    scores = [reference[name.replace("mlm_logits", "mixture_logit")] for name in layers]
    mixed = torch.stack([reference[name] for name in layers]) * torch.stack(scores).softmax(0)
    return mixed.sum(0)[tokens]


# --- the same numbers ---------------------------------------------------------------------------------------------
@EVERY
def test_both_halves_compute_what_the_original_does(name: str, original: Originals, tmp_path: Path) -> None:
    reference = original(name).reference()
    mask, pair = reference["attention_mask"], convert(original(name), tmp_path / "out")
    tokens, ids = mask.bool(), reference["input_ids"]
    assert not tokens.all()  # there is padding in it
    corrupted = reference.get("masked_input_ids", ids)
    asked = reference.get("masked_positions", mask).bool()
    for implementation in BACKENDS:
        pair.set_attn_implementation(implementation)
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            ours = pair.electra(ids, mask, output_hidden_states=True).hidden_states
            theirs = pair.generator(corrupted, mask, output_hidden_states=True)
            verdict = pair.detect("rtd", ids, mask)
            gathered = pair.generator.logits_at(corrupted, mask, torch.arange(ids.shape[1]).expand_as(ids))
        for layers, key in ((ours, "disc_hidden_states"), (theirs.hidden_states, "gen_hidden_states")):
            assert len(layers) == len(reference[key])
            for found, expected in zip(layers, reference[key], strict=True):
                close(found[tokens], expected[tokens])
        close(theirs.logits[asked], vocabulary_logits(reference))
        close(gathered[asked], vocabulary_logits(reference))
        original_wins = reference.get("disc_logits", reference.get("disc_rtd_logits"))
        assert original_wins is not None
        if original_wins.dim() == 3:
            original_wins = original_wins[..., 1] - original_wins[..., 0]
        close(verdict[tokens], -original_wins[tokens])  # positive = replaced


@pytest.mark.parametrize("name", NAMES[1:])  # the first's reference has no task
def test_a_fine_tuned_head_gives_the_originals_logits(name: str, original: Originals, tmp_path: Path) -> None:
    reference = original(name).reference()
    report = convert_fairseq_checkpoint(saved(original(name).finetuned(), tmp_path), tmp_path / "out")
    assert report.architecture == "MclForSequenceClassification"
    opened: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", output_loading_info=True)
    model, info = opened
    assert not any(info.values())
    with torch.no_grad():
        close(model.eval()(reference["input_ids"], reference["attention_mask"]).logits, reference["cls_logits"])
    # The detection head, which fine-tuning leaves as it was, is kept too.
    assert report.extra
    assert set(load_file(tmp_path / "out" / "extra_weights.safetensors")) == set(report.extra)


def test_a_head_for_question_answering(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra").finetuned()
    weights = {k: v for k, v in content["model"].items() if not k.startswith(DECLARED)}
    ends = {end: (torch.randn(1, 32), torch.randn(1)) for end in ("start", "end")}
    for end, (weight, bias) in ends.items():
        head = f"{DECLARED}.question_answering_head.{end}_logits.dense"
        weights |= {f"{head}.weight": weight, f"{head}.bias": bias}
    convert_fairseq_checkpoint(saved({**content, "model": weights}, tmp_path), tmp_path / "out")
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "out").eval()
    reference = original("unilm_electra").reference()
    hidden = reference["disc_hidden_states"][-1]
    with torch.no_grad():
        found = model(reference["input_ids"], reference["attention_mask"])
    tokens = reference["attention_mask"].bool()
    for end, (weight, bias) in ends.items():
        close(found[f"{end}_logits"][tokens], (hidden @ weight[0] + bias)[tokens])


def test_a_masked_language_model_of_torchscale_is_a_generator(original: Originals, tmp_path: Path) -> None:
    content, reference = original("unilm_electra").content(), original("unilm_electra").reference()
    weights = {}
    for key, tensor in content["model"].items():
        if key.startswith("generator"):
            key = key.replace("generator_lm_head", "encoder.output_projection").replace("generator.", "encoder.")
            weights[key.replace(".fc", ".ffn.fc")] = tensor
    report = convert_fairseq_checkpoint(saved({"model": weights, "cfg": None}, tmp_path), tmp_path / "out")
    assert (report.family, report.architecture) == ("TorchScale masked language model", "MclForMaskedLM")
    opened: Any = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    model, info = opened
    assert not any(info.values())
    with torch.no_grad():
        logits = model.eval()(reference["input_ids"], reference["attention_mask"]).logits
    tokens = reference["attention_mask"].bool()
    close(logits[tokens], reference["gen_mlm_logits"][tokens])


@pytest.mark.parametrize("positions", [512, 64, 17, 5])
def test_a_short_table_of_positions_counts_coco_lms_buckets_from_its_own_farthest_pair(
    positions: int, original: Originals, tmp_path: Path
) -> None:
    content = original("coco_lm").content()
    buckets = original("coco_lm").reference()["rp_bucket"][:positions, :positions].long()
    for key in [key for key in content["model"] if key.endswith("embed_positions.weight")]:
        content["model"][key] = content["model"][key][:positions]
    convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "out")
    model = MclModel.from_pretrained(tmp_path / "out")
    table = content["model"]["encoder.sentence_encoder.relative_attention_bias.weight"]
    expected = table[buckets - buckets.min()].permute(2, 0, 1)
    assert model.relative_attention_bias is not None
    assert model.relative_attention_bias(positions)[0].equal(expected)


# --- an ordinary model --------------------------------------------------------------------------------------------
@EVERY
def test_a_converted_pair_saves_loads_and_trains_on(name: str, original: Originals, tmp_path: Path) -> None:
    pair = convert(original(name), tmp_path / "out")
    pair.save_pretrained(tmp_path / "again")
    files = [load_file(tmp_path / folder / "model.safetensors") for folder in ("out", "again")]
    assert files[0].keys() == files[1].keys()
    assert all(files[0][key].equal(files[1][key]) for key in files[0])
    encoder = AutoModel.from_pretrained(tmp_path / "again")
    discriminator: Any = MclDiscriminator.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not discriminator[1]["missing_keys"]
    reference = original(name).reference()
    ids, mask = reference["input_ids"], reference["attention_mask"]
    with torch.no_grad():
        assert encoder(ids, mask).last_hidden_state.equal(pair.electra(ids, mask).last_hidden_state)
        assert discriminator[0](ids, mask).logits.equal(pair.detect("rtd", ids, mask))
        generated = AutoModelForMaskedLM.from_pretrained(tmp_path / "again")(ids, mask).logits
        assert generated.equal(pair.generator(ids, mask).logits)
    before = {key: weight.clone() for key, weight in pair.state_dict().items()}
    optimizer = torch.optim.SGD(pair.parameters(), lr=1e-3)
    for _ in range(2):
        loss = pair.train()(ids, mask, generator=torch.Generator().manual_seed(0)).loss
        assert loss.isfinite()
        loss.backward()
        optimizer.step()
    unmoved = {key for key, weight in pair.state_dict().items() if weight.equal(before[key])}
    assert {key for key in unmoved if not key.endswith("key.bias")} == set()  # which attention is blind to


def test_the_methods_other_courses_are_added_to_a_converted_pair(original: Originals, tmp_path: Path) -> None:
    for name in ("coco_lm", "unilm_electra"):
        config = convert(original(name), tmp_path / name).config
        assert config.active_courses == ("rtd",)
        config.objective = "mcl"
        pair = load_pair(str(tmp_path / name), config)
        head, trained = pair.course_predictions["std"].state_dict(), pair.discriminator_predictions.state_dict()
        assert all(head[key].equal(trained[key]) for key in trained)


def test_what_electra_cannot_compute_is_not_exported_as_one(original: Originals, tmp_path: Path) -> None:
    convert(original("unilm_electra_no_bias"), tmp_path / "out")
    encoder = MclModel.from_pretrained(tmp_path / "out")
    ids = torch.tensor([[0, 30, 40, 2]])
    assert as_electra(encoder)(ids)[0].equal(encoder.eval()(ids)[0])
    with pytest.raises(UserError, match="detection_head_type='layer_norm'"):
        as_electra(MclDiscriminator.from_pretrained(tmp_path / "out"))


# --- what stands in the report --------------------------------------------------------------------------------------
def test_the_report_says_where_everything_came_from_and_went(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra").content()
    content["model"]["discriminator.version"] = torch.ones(1)
    report = convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "out")
    assert report.sizes["num_attention_heads"] == (
        4,
        "columns of discriminator.relative_position.relative_attention_bias.weight",
    )
    assert report.sizes["max_position_embeddings"][0] == 512
    assert report.sizes["hidden_dropout_prob"] == (0.1, "cfg.model.dropout")
    assert report.sizes["mask_token_id"][1].startswith("assumed")
    assert any("mask_token_id" in note for note in report.notes)
    assert set(report.tensors) == set(content["model"]) - {"discriminator.version"}
    assert report.unused == ["discriminator.version", *(k for k in content if content[k] is not None and k != "model")]
    written = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert written["tensors"].keys() == report.tensors.keys()
    # What may be uploaded has no folder of this machine in it.
    assert (written["source"], written["output_dir"]) == (Path(report.source).name, "out")
    texts = [path for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".md", ".txt")]
    assert len(texts) == 3 and not any(str(tmp_path) in path.read_text(encoding="utf-8") for path in texts)
    text = str(report)
    line = (
        "discriminator.layers.*.fc1.weight (64, 32) -> electra.encoder.layer.*.intermediate.dense.weight (* = 0 to 2)"
    )
    assert line in text
    assert all(f"{name} = " in text for name in report.sizes)
    card = (tmp_path / "out" / "README.md").read_text()
    assert str(tmp_path) not in card and "pip install transformers-mcl" in card and card.count("@") == 2
    assert "AutoModelForPreTraining" in card


@pytest.mark.parametrize(
    ("name", "shares", "dropout"),
    [("unilm_electra", "token", 0.0), ("coco_lm", "all", None), ("amos", "token", 0.0)],
)
def test_what_the_halves_share_and_how_they_go_on(
    name: str, shares: str, dropout: float | None, original: Originals, tmp_path: Path
) -> None:
    content = original(name).content()
    model = content["cfg"]["model"]
    (model if isinstance(model, dict) else vars(model)).update(dropout=0.2, attention_dropout=0.3)
    given = content["cfg"]["criterion"]
    changes = {"weight": 40.0} if name == "unilm_electra" else {"binary_loss_weight": 40.0}
    (given if isinstance(given, dict) else vars(given)).update(changes)
    if name != "unilm_electra":
        vars(model).update(changes)
    convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "out")
    config = MclForPreTraining.from_pretrained(tmp_path / "out").config
    assert (config.generator_shares, config.generator_dropout) == (shares, dropout)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.3)
    assert {name: weight for name, weight in config.weights.items() if weight} == {"mlm": 1.0, "rtd": 40.0}


def test_without_a_bias_the_number_of_heads_is_the_settings_or_given(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra_no_bias").content()
    report = convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "a")
    assert report.sizes["num_attention_heads"] == (4, "cfg.model.encoder_attention_heads")
    bare = saved(content["model"], tmp_path)
    with pytest.raises(UserError, match="give num_attention_heads"):
        convert_fairseq_checkpoint(bare, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    report = convert_fairseq_checkpoint(bare, tmp_path / "b", num_attention_heads=4)
    assert report.sizes["generator_num_attention_heads"] == (4, "given")
    files = [load_file(tmp_path / folder / "model.safetensors") for folder in "ab"]
    assert all(files[0][key].equal(files[1][key]) for key in files[0])


def further_heads(content: Any, *names: str) -> dict[str, dict[str, Tensor]]:
    """Adds detection heads to a checkpoint of unilm's; what was added, by name."""
    usual = "discriminator_lm_head"
    head = {key.removeprefix(usual): v for key, v in content["model"].items() if key.startswith(usual)}
    added = {name: {part: torch.randn_like(v) for part, v in head.items() if part} for name in names}
    for name, parts in added.items():
        content["model"] |= {f"{name}{part}": tensor for part, tensor in parts.items()}
    return added


def test_heads_of_the_other_courses_are_found_by_their_names(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra").content()
    names = ("swap_head", "d_insert_head", "unknown_head", "re_std_head")
    added = further_heads(content, *reversed(names))  # a correction's head, in the way, first
    report = convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "out")
    pair: Any = MclForPreTraining.from_pretrained(tmp_path / "out")
    assert pair.config.objective == "mcl"
    for course, name in {"std": names[0], "itd": names[1]}.items():
        weight = added[name][".weight"]
        assert pair.course_predictions[course].dense_prediction.weight.equal(weight[:1] - weight[1:])
    kept = load_file(tmp_path / "out" / "extra_weights.safetensors")
    expected = {f"{name}{part}": v for name in names[2:] for part, v in added[name].items()}
    assert kept.keys() == expected.keys() == set(report.extra)
    assert all(kept[key].equal(expected[key]) for key in kept)
    assert any("kept: re_std_head, unknown_head" in note for note in report.notes)


def test_heads_of_unknown_names_are_kept_until_they_are_named(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra").content()
    added = further_heads(content, "head_a", "head_b", "head_c")
    for key in [key for key in content["model"] if key.startswith("discriminator_lm_head")]:
        del content["model"][key]
    path = saved(content, tmp_path)
    report = convert_fairseq_checkpoint(path, tmp_path / "guessed")
    assert any("head_a is taken for" in note and "a guess" in note for note in report.notes)
    assert {name.split(".")[0] for name in report.extra} == {"head_b", "head_c"}
    heads = {"rtd": "head_c", "std": "head_a"}
    report = convert_fairseq_checkpoint(path, tmp_path / "named", course_heads=heads)
    pair: Any = MclForPreTraining.from_pretrained(tmp_path / "named")
    assert pair.config.active_courses == ("rtd", "std")
    assert pair.discriminator_predictions.dense.weight.equal(added["head_c"][".dense.weight"])
    assert pair.course_predictions["std"].dense.weight.equal(added["head_a"][".dense.weight"])
    with pytest.raises(UserError, match="no detection head 'head_x'; .* head_a, head_b, head_c"):
        convert_fairseq_checkpoint(path, tmp_path / "none", course_heads={"rtd": "head_x"})


def test_other_tensors_are_kept_but_not_copies_of_the_embeddings(original: Originals, tmp_path: Path) -> None:
    content = original("coco_lm").content()
    table = content["model"]["encoder.sentence_encoder.embed_tokens.weight"]
    content["model"] |= {"encoder.lm_head.weight": table.clone(), "encoder.seq_head.dense.weight": torch.ones(3, 32)}
    report = convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "out")
    assert report.extra == ["encoder.seq_head.dense.weight"]
    assert report.tensors["encoder.lm_head.weight"][1].startswith("nowhere: equal to")


def test_amos_without_settings_mixes_the_layers_that_it_usually_does(original: Originals, tmp_path: Path) -> None:
    bare = saved(original("amos").content()["model"], tmp_path)
    report = convert_fairseq_checkpoint(bare, tmp_path / "out")
    assert report.sizes["generator_prediction_layers"][0] == [1, 2]
    assert any("AMOS's: no shape tells" in note for note in report.notes)


# --- what is refused ------------------------------------------------------------------------------------------------
def test_a_layout_that_is_not_known_is_reported_with_its_names(tmp_path: Path) -> None:
    strange = {f"bert.layers.{i}.weight": torch.ones(2, 3) for i in range(3)} | {"bert.words": torch.ones(4)}
    with pytest.raises(
        UserError, match=r"please report it.* bert\.layers\.\*\.weight \(2x3\), bert\.words \(4\)"
    ) as error:
        convert_fairseq_checkpoint(saved({"model": strange}, tmp_path), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"discriminator.layers.1.fc1.weight": None}, "missing are: discriminator.layers.1.fc1.weight; "),
        ({"discriminator.layer_norm.weight": torch.ones(32)}, r"without a place .*: discriminator.layer_norm.weight"),
        ({"generator.layers.0.fc3.weight": torch.ones(2)}, r"generator.layers.\*.fc3.weight \(2\)"),
        ({"generator_lm_head.dense.bias": None}, "missing are: .*generator_lm_head.dense.bias"),
        ({"generator.embed_tokens.weight": torch.ones(160, 32)}, "differ, which our models share"),
        ({"generator.embed_positions.weight": torch.ones(20, 32)}, "of another shape: generator.electra"),
    ],
)
def test_what_is_missing_or_left_over_is_named(
    changes: dict[str, Tensor | None], said: str, original: Originals, tmp_path: Path
) -> None:
    content = original("unilm_electra").content()
    weights = {k: v for k, v in {**content["model"], **changes}.items() if v is not None}
    with pytest.raises(UserError, match=said):
        convert_fairseq_checkpoint(saved({**content, "model": weights}, tmp_path), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "model.pt"]


def test_options_without_a_counterpart_are_refused(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra").content()
    content["cfg"]["model"]["encoder_normalize_before"] = True
    with pytest.raises(UserError, match="cfg.model.encoder_normalize_before=True: only False"):
        convert_fairseq_checkpoint(saved(content, tmp_path), tmp_path / "out")


# --- the folder -----------------------------------------------------------------------------------------------------
def test_only_a_conversion_is_overwritten_and_only_when_asked(original: Originals, tmp_path: Path) -> None:
    path, out = original("coco_lm").path, tmp_path / "out"
    out.mkdir()
    convert_fairseq_checkpoint(path, out)  # empty: as good as none
    before = (out / "config.json").read_bytes()
    with pytest.raises(UserError, match="holds a conversion already"):
        convert_fairseq_checkpoint(path, out)
    (out / "note.txt").write_text("mine")
    before = (out / "conversion_report.json").read_bytes()
    convert_fairseq_checkpoint(original("amos").path, out, overwrite=True)
    assert (out / "note.txt").read_text() == "mine"
    assert (out / "conversion_report.json").read_bytes() != before
    assert str(tmp_path) not in (out / "conversion_report.json").read_text()  # it is uploaded
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="is not an empty folder"):
        convert_fairseq_checkpoint(path, tmp_path / "mine", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


def test_nothing_half_done_is_left(original: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = original("coco_lm").path, tmp_path / "out"
    convert_fairseq_checkpoint(path, out)
    before = (out / "conversion_report.json").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers_mcl.hub.fairseq.report.ConversionReport.save", full)
    for folder in (out, tmp_path / "new"):
        with pytest.raises(UserError, match="cannot be written: .*No space left"):
            convert_fairseq_checkpoint(original("amos").path, folder, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (out / "conversion_report.json").read_bytes() == before


# --- the tokenizer --------------------------------------------------------------------------------------------------
def test_a_repository_brings_its_tokenizer(repository: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    report = convert_fairseq_checkpoint(repository, tmp_path / "out")
    assert report.sizes["mask_token_id"] == (198, "dict.txt: after 4 special tokens and its lines")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = MclForPreTraining.from_pretrained(tmp_path / "out")
    assert len(tokenizer) == model.config.vocab_size == 304
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    for kind in ("pad", "cls", "sep", "mask"):
        assert getattr(tokenizer, f"{kind}_token_id") == getattr(model.config, f"{kind}_token_id")
    assert not report.notes


def test_positions_that_no_text_was_so_long_for_are_not_the_tokenizers(repository: Path, tmp_path: Path) -> None:
    path = repository / "checkpoint_1_125000.pt"
    content = torch.load(path, weights_only=True)
    content["cfg"]["task"]["tokens_per_sample"] = 40
    torch.save(content, path)
    report = convert_fairseq_checkpoint(repository, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["model_max_length"] == 40
    assert MclForPreTraining.from_pretrained(tmp_path / "out").config.max_position_embeddings == 64
    assert any("beyond 40" in note for note in report.notes)


def test_a_dictionary_of_another_checkpoint_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "dict.txt").write_text("a 1\nb 1\n")
    with pytest.raises(UserError, match="it is another checkpoint's"):
        convert_fairseq_checkpoint(repository, tmp_path / "out")
