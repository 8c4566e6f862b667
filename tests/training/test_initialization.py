"""A pair made of ELECTRA's two checkpoints is those two; a pair whose vocabulary grows stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
)

from transformers_mcl import MclConfig, MclForPreTraining, MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.data import DataArguments
from transformers_mcl.training.initialization import grow_vocabulary, load_pair, pair_from_sources, sources_fields
from transformers_mcl.training.run import ModelArguments, PretrainingRun, prepare

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(35))]
SHAPE: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "embedding_size": 12,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}
DISCRIMINATOR: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 20,
}
GENERATOR: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 12,
}
IDS = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")

Make = Callable[..., tuple[str, str]]  # see the fixture `sources`


def words(number: int = 0) -> BertTokenizer:
    """A tokenizer of the sources' vocabulary and of some words more."""
    entries = [*WORDS, *(f"new{i}" for i in range(number))]
    return BertTokenizer(vocab={token: i for i, token in enumerate(entries)})


def randomize(model: torch.nn.Module) -> None:
    """No two weights equal, and none what initialisation gives."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)


@pytest.fixture
def sources(tmp_path: Path) -> Make:
    """Makes the folders of a discriminator and a generator as transformers saves them, embeddings equal in both, and
    returns their names; takes fields of the two configurations that differ from the usual."""

    def make(
        discriminator: dict[str, Any] | None = None, generator: dict[str, Any] | None = None, binary: bool = False
    ) -> tuple[str, str]:
        torch.manual_seed(3)
        names = []
        first: Any = None
        for kind, shape, other in (
            (ElectraForPreTraining, DISCRIMINATOR, discriminator or {}),
            (ElectraForMaskedLM, GENERATOR, generator or {}),
        ):
            model: Any = kind(ElectraConfig(**{**SHAPE, **shape, **other}))
            randomize(model)
            if first is None:
                first = model.electra.embeddings
            elif not set(other) & {"vocab_size", "embedding_size", "max_position_embeddings"}:
                model.electra.embeddings.load_state_dict(first.state_dict())
            folder = tmp_path / kind.__name__
            words().save_pretrained(folder)
            model.save_pretrained(folder)
            if binary:  # as the Hub's older checkpoints are, with a buffer that is no weight any more
                weights = load_file(folder / "model.safetensors")
                weights["electra.embeddings.position_ids"] = torch.arange(24)[None]
                torch.save(weights, folder / "pytorch_model.bin")
                (folder / "model.safetensors").unlink()
            names.append(str(folder))
        return names[0], names[1]

    return make


def pair_of(discriminator: str, generator: str | None = None, **overrides: Any) -> Any:
    """The `MclForPreTraining` of two sources, for evaluation."""
    fields = sources_fields(discriminator, generator, overrides)
    return pair_from_sources(MclConfig(**{**fields, **IDS, **overrides}), discriminator, generator).eval()


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, len(WORDS), (3, 20), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 13:] = 0
    return {"input_ids": ids, "attention_mask": mask}


# --- from ELECTRA's two checkpoints ---------------------------------------------------------------------------------
@pytest.mark.parametrize("shares", ["token", "all"])
@pytest.mark.parametrize("binary", [False, True], ids=["safetensors", "bin"])
@torch.no_grad()
def test_the_pair_is_its_two_sources(sources: Make, shares: str, binary: bool, warnings: list[str]) -> None:
    names = sources(binary=binary)
    pair, inputs = pair_of(*names, generator_shares=shares), batch()
    discriminator = ElectraForPreTraining.from_pretrained(names[0]).eval()
    generator = ElectraForMaskedLM.from_pretrained(names[1]).eval()
    hidden = discriminator.electra(**inputs).last_hidden_state
    assert torch.allclose(pair.electra(**inputs).last_hidden_state, hidden, atol=1e-6)
    verdict = discriminator(**inputs).logits
    for course in ("rtd", "std", "itd"):
        assert torch.allclose(pair.detect(course, inputs["input_ids"], inputs["attention_mask"]), verdict, atol=1e-6)
    assert torch.allclose(pair.generator(**inputs).logits, generator(**inputs).logits, atol=1e-5)
    tied = {name: shares == "all" or name == "word_embeddings" for name in TABLES}
    for name in TABLES:
        ours, theirs = (getattr(half.embeddings, name).weight for half in (pair.electra, pair.generator.electra))
        assert (ours is theirs) == tied[name], name
    assert pair.generator.generator_lm_head.weight is pair.electra.embeddings.word_embeddings.weight
    heads = [pair.discriminator_predictions, *pair.course_predictions.values()]
    assert len({head.dense.weight.data_ptr() for head in heads}) == 3
    assert pair.dtype == torch.float32
    assert warnings == []


@pytest.mark.parametrize("shares", ["none", "gdes"])
@torch.no_grad()
def test_sources_that_share_no_table_keep_their_own(sources: Make, shares: str, warnings: list[str]) -> None:
    """The discriminator starts as it was even where its embeddings are a sum with the generator's in it."""
    names = sources()
    weights = load_file(file := f"{names[1]}/model.safetensors")
    weights["electra.embeddings.word_embeddings.weight"] += 0.25
    save_file(weights, file, metadata={"format": "pt"})
    pair, inputs = pair_of(*names, generator_shares=shares), batch()
    for half, kind, name in zip(
        (pair.electra, pair.generator), (ElectraForPreTraining, ElectraForMaskedLM), names, strict=True
    ):
        source: Any = kind.from_pretrained(name).eval()
        source = source.electra if half is pair.electra else source
        assert torch.allclose(half(**inputs)[0], source(**inputs)[0], atol=1e-5)
    assert warnings == []


def test_the_configuration_is_that_of_both(sources: Make) -> None:
    dropouts = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    common = {"layer_norm_eps": 1e-7, "hidden_act": "relu", "type_vocab_size": 3}
    config = pair_of(*sources({**common, "classifier_dropout": 0.4}, {**common, **dropouts})).config
    expected = {**SHAPE, **DISCRIMINATOR, **common}
    expected |= {f"generator_{name}": value for name, value in GENERATOR.items()}
    expected |= {"generator_dropout": 0.3, "hidden_dropout_prob": 0.1, "classifier_dropout": 0.4}
    expected |= {"relative_attention_num_buckets": 0, "objective": "mcl"}
    assert {name: getattr(config, name) for name in expected} == expected


@torch.no_grad()
def test_a_bias_that_is_asked_for_starts_new_beside_all_the_rest(sources: Make) -> None:
    names = sources()
    plain, biased = pair_of(*names), pair_of(*names, relative_attention_num_buckets=8)
    inputs, changed = batch(), biased.electra(**batch()).last_hidden_state
    assert biased.generator.electra.relative_attention_bias is not None
    assert not torch.allclose(plain.electra(**inputs).last_hidden_state, changed, atol=1e-3)
    for half in (biased.electra, biased.generator.electra):
        half.relative_attention_bias.weight.zero_()
    assert torch.allclose(
        plain.electra(**inputs).last_hidden_state, biased.electra(**inputs).last_hidden_state, atol=1e-5
    )


@pytest.mark.parametrize(("shares", "table"), [("token", "word_embeddings"), ("all", "position_embeddings")])
def test_copies_that_differ_are_said_and_the_discriminators_is_kept(
    sources: Make, shares: str, table: str, warnings: list[str]
) -> None:
    names = sources()
    weights = load_file(file := f"{names[1]}/model.safetensors")
    weights[f"electra.embeddings.{table}.weight"][7] += 0.25
    save_file(weights, file, metadata={"format": "pt"})
    kept = load_file(f"{names[0]}/model.safetensors")[f"electra.embeddings.{table}.weight"]
    pair = pair_of(*names, generator_shares=shares)
    assert pair.generator.get_parameter(f"electra.embeddings.{table}.weight").equal(kept)
    (said,) = warnings
    assert f"electra.embeddings.{table}.weight differs by up to 0.25" in said
    if shares == "all":  # what is not shared may differ
        pair_of(*names)
        assert len(warnings) == 1


@torch.no_grad()
def test_a_discriminator_alone_gets_a_new_generator_of_a_quarter_its_width(sources: Make, warnings: list[str]) -> None:
    name, inputs = sources()[0], batch()
    pair = pair_of(name, generator_num_hidden_layers=1)
    config = pair.config
    assert (config.generator_hidden_size, config.generator_num_attention_heads) == (4, 1)
    assert config.generator_num_hidden_layers == 1
    source = ElectraForPreTraining.from_pretrained(name).eval()
    assert torch.allclose(pair.detect("rtd", **inputs), source(**inputs).logits, atol=1e-6)
    for table in TABLES:
        ours, theirs = (getattr(half.embeddings, table).weight for half in (pair.electra, pair.generator.electra))
        assert ours.equal(theirs), table
    assert pair.generator.generator_lm_head.weight is pair.electra.embeddings.word_embeddings.weight
    assert len(warnings) == 1 and "the generator starts new" in warnings[0]


@torch.no_grad()
def test_halves_may_be_pairs_of_ours(sources: Make, tmp_path: Path) -> None:
    """Each with all it has: the heads of the courses, the bias, other ratios."""
    names, inputs = sources(), batch()
    ours = MclForPreTraining(pair_of(*names, relative_attention_num_buckets=8, swap_ratio=0.2).config).eval()
    randomize(ours)
    ours.save_pretrained(tmp_path / "ours")
    again = pair_of(str(tmp_path / "ours"), str(tmp_path / "ours"))
    assert again.config.swap_ratio == 0.2
    assert all(value.equal(again.state_dict()[name]) for name, value in ours.state_dict().items())
    half = pair_of(str(tmp_path / "ours"), names[1], relative_attention_num_buckets=8)
    for course in ("rtd", "std", "itd"):
        assert half.detect(course, **inputs).equal(ours.detect(course, **inputs))


def test_a_pairs_new_courses_start_with_its_head_for_replaced_tokens(sources: Make, tmp_path: Path) -> None:
    electra = pair_of(*sources(), objective="electra")
    assert not electra.course_predictions
    electra.save_pretrained(tmp_path / "electra")
    pair: Any = load_pair(str(tmp_path / "electra"), MclConfig(**{**electra.config.to_dict(), "loss_weights": None}))
    for head in pair.course_predictions.values():
        assert head.dense.weight.equal(electra.discriminator_predictions.dense.weight)
    randomize(pair)
    pair.save_pretrained(tmp_path / "mcl")
    again: Any = load_pair(str(tmp_path / "mcl"), pair.config)
    assert not again.course_predictions["std"].dense.weight.equal(again.discriminator_predictions.dense.weight)


# --- what cannot be a pair ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("generator", "overrides", "said"),
    [
        ({"vocab_size": 41}, {}, "vocab_size is 40 in discriminator_name_or_path .*ElectraForPreTraining' and 41 in"),
        ({"embedding_size": 8}, {}, "embedding_size is 12 in .* and 8 in generator_name_or_path"),
        ({"max_position_embeddings": 32}, {}, "max_position_embeddings is 24"),
        ({"hidden_act": "relu"}, {}, "hidden_act is gelu"),
        ({"layer_norm_eps": 1e-5}, {}, "layer_norm_eps is 1e-12"),
        ({"hidden_dropout_prob": 0.2}, {}, "--config_overrides generator_dropout="),
        ({"tie_word_embeddings": False}, {}, "tie_word_embeddings is False"),
        ({}, {"hidden_size": 32}, "config_overrides: hidden_size=32, but in the weights to go on from it is 16"),
        ({}, {"generator_hidden_size": 16}, "generator_hidden_size=16, but"),
        ({}, {"vocab_size": 50}, "vocab_size=50, but"),
    ],
)
def test_refuses_what_cannot_be_one_pair(
    sources: Make, generator: dict[str, Any], overrides: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        sources_fields(*sources(generator=generator), overrides)


def test_functions_that_differ_are_the_users_to_choose(sources: Make) -> None:
    chosen: dict[str, Any] = {"hidden_act": "relu", "generator_dropout": 0.2}
    config = pair_of(*sources(generator={"hidden_act": "relu", "hidden_dropout_prob": 0.2}), **chosen).config
    assert (config.hidden_act, config.generator_dropout) == ("relu", 0.2)


def test_refuses_checkpoints_that_are_not_what_they_are_given_as(sources: Make, tmp_path: Path) -> None:
    discriminator, generator = sources()
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(tmp_path / "bert")
    ElectraForSequenceClassification(ElectraConfig(**SHAPE, **DISCRIMINATOR)).save_pretrained(tmp_path / "task")
    with pytest.raises(UserError, match=r"discriminator_name_or_path .*bert' is a 'bert' model, not an ELECTRA"):
        sources_fields(str(tmp_path / "bert"))
    with pytest.raises(UserError, match=r"discriminator_name_or_path .* holds a generator, not a discriminator"):
        sources_fields(generator, discriminator)
    with pytest.raises(UserError, match=r"generator_name_or_path .* holds a discriminator, not a generator"):
        sources_fields(discriminator, discriminator)
    with pytest.raises(UserError, match=r"task' lacks 4 of its weights, discriminator_predictions\.dense\.bias"):
        pair_of(str(tmp_path / "task"))
    with pytest.raises(UserError, match="no-such"):
        sources_fields(str(tmp_path / "no-such"))
    # A configuration that says nothing of its class is caught by its weights.
    for name, size in ((discriminator, DISCRIMINATOR), (generator, GENERATOR)):
        ElectraConfig(**SHAPE, **size).save_pretrained(name)
    with pytest.raises(UserError, match="holds a generator, not a discriminator: were the two exchanged"):
        pair_of(generator)
    with pytest.raises(UserError, match="holds a discriminator, not a generator: were the two exchanged"):
        pair_of(discriminator, discriminator)
    Path(discriminator, "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(UserError, match="ElectraForPreTraining/model.safetensors is damaged"):
        pair_of(discriminator)


# --- the vocabulary -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shares", ["token", "all"])
def test_growth_leaves_what_was_and_adds_rows_that_learn(sources: Make, shares: str, tmp_path: Path) -> None:
    pair, inputs = pair_of(*sources(), generator_shares=shares, hidden_dropout_prob=0.0), batch()
    with torch.no_grad():
        before = [pair.generator(**inputs).logits, pair.detect("rtd", **inputs)]
        assert grow_vocabulary(pair, words()) == 0
        assert grow_vocabulary(pair, words(3)) == 3
        logits, verdict = pair.generator(**inputs).logits, pair.detect("rtd", **inputs)
    assert logits.shape[-1] == len(WORDS) + 3
    assert torch.allclose(logits[..., :-3], before[0], atol=1e-6)
    assert torch.allclose(verdict, before[1], atol=1e-6)
    head, table = pair.generator.generator_lm_head, pair.electra.embeddings.word_embeddings
    assert head.weight is table.weight is pair.generator.electra.embeddings.word_embeddings.weight
    assert head.bias[-3:].tolist() == pytest.approx([head.bias[:-3].mean().item()] * 3)
    spread, old = table.weight[:-3].std(), table.weight[:-3].mean(0)
    assert 0 < (table.weight[-3:] - old).abs().max() < 5 * spread
    assert pair.config.vocab_size == pair.generator.config.vocab_size == len(WORDS) + 3

    old_rows = table.weight.detach().clone()
    optimizer = torch.optim.SGD(pair.parameters(), lr=0.1)
    ids = torch.tensor([[2, *range(30, len(WORDS) + 3), 3]] * 8)
    pair.train()(ids).loss.backward()
    optimizer.step()
    assert (table.weight[-3:] != old_rows[-3:]).all()
    pair.eval().save_pretrained(tmp_path / "grown")
    again = MclForPreTraining.from_pretrained(tmp_path / "grown").eval()
    assert all(value.equal(again.state_dict()[name]) for name, value in pair.state_dict().items())
    assert again.generator.generator_lm_head.weight is again.electra.embeddings.word_embeddings.weight


# --- the command ----------------------------------------------------------------------------------------------------
def prepared(
    tmp_path: Path, tokenizer: BertTokenizer | None = None, resume_from_checkpoint: str | None = None, **model: Any
) -> PretrainingRun:
    (tmp_path / "text.txt").write_text("\n".join(f"w{i % 7} w{i % 35} w{i % 11} new0 w3" for i in range(80)))
    if tokenizer is not None:
        tokenizer.save_pretrained(tmp_path / "tokenizer")
        model["tokenizer_name"] = str(tmp_path / "tokenizer")
    data = DataArguments(train_file=[str(tmp_path / "text.txt")], max_seq_length=16)
    training = MclTrainingArguments(
        str(tmp_path / "run"),
        max_steps=2,
        per_device_train_batch_size=4,
        use_cpu=True,
        disable_tqdm=True,
        save_steps=2,
    )
    training.resume_from_checkpoint = resume_from_checkpoint
    return prepare(ModelArguments(**model), data, training)


def test_a_run_goes_on_from_electra_with_words_of_its_own(sources: Make, tmp_path: Path) -> None:
    discriminator, generator = sources()
    names: dict[str, Any] = {"discriminator_name_or_path": discriminator, "generator_name_or_path": generator}
    run = prepared(tmp_path, words(2), **names)
    assert isinstance(run.trainer, MclTrainer)
    assert "42 entries, 2 of them new to the model" in (plan := run.plan())
    assert f"goes on from {discriminator} and {generator}; discriminator" in plan
    assert run.model.config.mask_token_id == 4
    before = run.model.electra.embeddings.word_embeddings.weight.detach().clone()
    run.train()
    run.finish()
    trained = MclForPreTraining.from_pretrained(tmp_path / "run")
    assert trained.config.vocab_size == 42
    assert (trained.electra.embeddings.word_embeddings.weight[40] != before[40]).any()
    assert "Goes on from: ElectraForPreTraining and ElectraForMaskedLM" in (tmp_path / "run" / "README.md").read_text()


def test_a_pair_grows_and_its_run_resumes(sources: Make, tmp_path: Path) -> None:
    pair = pair_of(*sources())
    pair.save_pretrained(tmp_path / "pair")
    run = prepared(tmp_path, words(3), model_name_or_path=str(tmp_path / "pair"))
    assert run.new_tokens == 3
    weights = run.model.electra.embeddings.word_embeddings.weight
    assert weights[:-3].equal(pair.electra.embeddings.word_embeddings.weight)
    run.train()
    again = prepared(tmp_path, words(3), "true", model_name_or_path=str(tmp_path / "pair"))
    assert again.checkpoint == str(tmp_path / "run" / "checkpoint-2")


def test_the_discriminators_tokenizer_is_the_runs_and_a_padded_vocabulary_stays(sources: Make, tmp_path: Path) -> None:
    discriminator, generator = sources({"vocab_size": 48}, {"vocab_size": 48})
    run = prepared(tmp_path, discriminator_name_or_path=discriminator, generator_name_or_path=generator)
    assert run.tokenizer.name_or_path == discriminator
    assert run.new_tokens == 0
    assert run.model.config.vocab_size == 48


def test_refuses_in_one_line_before_any_work(sources: Make, tmp_path: Path) -> None:
    discriminator, generator = sources()
    both: dict[str, Any] = {"discriminator_name_or_path": discriminator, "generator_name_or_path": generator}
    exchanged = BertTokenizer(vocab={token: i for i, token in enumerate([*WORDS[:5], *reversed(WORDS[5:])])})
    pair_of(discriminator, generator).save_pretrained(pair := str(tmp_path / "pair"))
    words().save_pretrained(pair)
    bare = words()
    bare.mask_token = None
    cases: list[tuple[dict[str, Any], str]] = [
        ({**both, "model_name_or_path": "pair"}, "'pair' is a pair, and discriminator_name_or_path"),
        ({"generator_name_or_path": generator}, "alone: give --discriminator_name_or_path"),
        ({"model_name_or_path": discriminator}, "give it as --discriminator_name_or_path"),
        ({**both, "tokenizer": exchanged}, "the id of '.*' is .*, but .* in that of"),
        ({**both, "tokenizer": bare}, "has no mask_token"),
        ({**both, "config_overrides": "num_hidden_layers=1"}, "num_hidden_layers=1, but"),
        ({"model_name_or_path": pair, "config_overrides": "hidden_size=32"}, "hidden_size=32, but"),
        ({"model_name_or_path": pair, "tokenizer": exchanged}, "the id of"),
    ]
    for arguments, said in cases:
        with pytest.raises(UserError, match=said) as raised:
            prepared(tmp_path, **arguments)
        assert "\n" not in str(raised.value)
    Path(generator, "tokenizer.json").unlink()
    Path(generator, "tokenizer_config.json").unlink()
    prepared(tmp_path, **both)  # a generator without a tokenizer of its own is the discriminator's
    for name in ("tokenizer.json", "tokenizer_config.json"):
        Path(discriminator, name).unlink()
    with pytest.raises(UserError, match="there are no tokens but the special ones"):
        prepared(tmp_path, **both)
