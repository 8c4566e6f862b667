"""A pair of transformers' own encoders begins as its arguments say, or is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    BertTokenizer,
    PreTrainedModel,
)

from tests.families import demo_tokenizer, each, save_encoder
from transformers_mcl import MclForPreTraining, MclTrainingArguments, UserError
from transformers_mcl.data import DataArguments
from transformers_mcl.models.sharing import DisentangledEmbedding
from transformers_mcl.training.from_arguments import build_config, open_tokenizer
from transformers_mcl.training.run import ModelArguments, PretrainingRun, prepare

KINDS = ("bert", "roberta", "modernbert", "deberta-v2", "distilbert", "albert")  # the last has no adapter
Save = Callable[..., str]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """The folder of a checkpoint of three layers with a prediction head, all of whose weights are its own; by the name
    it is given, made once."""
    root = tmp_path_factory.mktemp("checkpoints")

    def make(name: str, model_type: str | None = None, kind: Any = AutoModelForMaskedLM, **fields: Any) -> str:
        if not (folder := root / name).exists():
            save_encoder(folder, model_type or name, kind, **{"layers": 3, **fields})
            model = kind.from_pretrained(folder)
            torch.manual_seed(len(list(root.iterdir())))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.uniform_(-0.3, 0.3)
            model.save_pretrained(folder)
        return str(folder)

    return make


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., PretrainingRun]:
    """Prepares a run of two steps on a few words; takes fields of `ModelArguments`, and of the others the named."""
    (tmp_path / "text.txt").write_text("\n".join(["the king said to the man that he was the king of men"] * 20))

    def make(length: int = 16, document_attention: bool = False, **model: Any) -> PretrainingRun:
        data = DataArguments([str(tmp_path / "text.txt")], max_seq_length=length)
        data.document_attention = document_attention
        args = MclTrainingArguments(
            str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True
        )
        return prepare(ModelArguments(**model), data, args)

    return make


Begin = Callable[..., PretrainingRun]


IDS = torch.randint(5, 1000, (2, 12), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def encoded(model: Any) -> torch.Tensor:
    hidden: torch.Tensor = model.eval()(IDS, torch.ones_like(IDS))[0]
    return hidden


def embeddings(model: Any) -> torch.Tensor:
    table: torch.Tensor = model.get_input_embeddings().weight
    return table


def equal(one: Any, two: Any) -> bool:
    """Whether the first has the second's weights; a pooler, which no masked language model has, is left out."""
    theirs = two.state_dict()
    return all(value.equal(theirs[name]) for name, value in one.state_dict().items() if "pooler" not in name)


def opened(name: str, kind: Any = AutoModel) -> Any:
    model: PreTrainedModel = kind.from_pretrained(name, dtype=torch.float32)
    return model.eval()


# --- the shape alone ------------------------------------------------------------------------------------------------
@each(KINDS, "kind")
def test_a_backbone_gives_its_shape_and_the_tokenizer_the_vocabulary(kind: str, save: Save, begin: Begin) -> None:
    folder = save(f"{kind}-large", kind, vocab_size=2000, pad_token_id=7, mask_token_id=9)
    model = begin(backbone=folder).model
    assert type(model.discriminator) is type(opened(folder))
    assert type(model.generator) is type(opened(folder, AutoModelForMaskedLM))
    ours, its, shape = model.discriminator.config, model.generator.config, AutoConfig.from_pretrained(folder)
    assert (ours.num_hidden_layers, its.num_hidden_layers) == (3, 1)
    assert ours.hidden_size == its.hidden_size == shape.hidden_size == 32
    tokenizer = demo_tokenizer()
    for config in (ours, its, model.config):
        assert config.vocab_size == len(tokenizer) == 1024
        assert config.pad_token_id == tokenizer.pad_token_id == 0
        assert getattr(config, "mask_token_id", tokenizer.mask_token_id) == tokenizer.mask_token_id
    assert model.config.cls_token_id == tokenizer.cls_token_id


def test_a_model_type_takes_overrides_of_each_half(begin: Begin, save: Save) -> None:
    shape = "num_hidden_layers=4,hidden_size=32,num_attention_heads=4,intermediate_size=32"
    lists = "rope_parameters={full_attention: {rope_theta: 5e4}, sliding_attention: {rope_theta: 1e3}}"
    overrides = f"{shape},norm_eps=1e-3,{lists},generator_num_hidden_layers=2,generator_intermediate_size=16"
    model = begin(
        backbone="modernbert",
        tokenizer_name=save("bert"),
        config_overrides=f"{overrides},course_schedule=sampled,generator_shares=gdes",
    ).model
    ours, its = model.discriminator.config, model.generator.config
    assert (len(ours.layer_types), len(its.layer_types)) == (4, 2)
    assert (ours.intermediate_size, its.intermediate_size) == (32, 16)
    assert ours.norm_eps == its.norm_eps == 1e-3
    assert ours.rope_parameters["full_attention"]["rope_theta"] == 5e4
    assert ours.cls_token_id == ours.bos_token_id == 2 and ours.sep_token_id == 3
    assert (model.config.course_schedule, model.config.generator_shares) == ("sampled", "gdes")
    more = begin(backbone=save("modernbert"), config_overrides="num_hidden_layers=5").model.discriminator.config
    assert len(more.layer_types) == 5


def test_an_electra_is_the_default_path_with_that_shape(begin: Begin, save: Save) -> None:
    small = "num_hidden_layers=1,hidden_size=32,num_attention_heads=2,embedding_size=32"
    words = save("bert")
    plain = begin(backbone="electra", tokenizer_name=words, config_overrides=small).model.config
    assert (plain.backbone_config, plain.relative_attention_num_buckets, plain.hidden_size) == (None, 0, 32)
    biased = begin(backbone="mcl", tokenizer_name=words, config_overrides=small).model.config
    assert (biased.relative_attention_num_buckets, biased.generator_hidden_size) == (32, 8)
    folder = begin(backbone=save("electra", kind=AutoModelForPreTraining)).model.config
    assert (folder.backbone_config, folder.num_hidden_layers, folder.mask_token_id) == (None, 3, 4)


# --- weights --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shares", ["none", "gdes"])
@each(KINDS, "kind")
def test_a_pair_is_its_two_sources(kind: str, shares: str, save: Save, begin: Begin, warnings: list[str]) -> None:
    ours, its = save(kind), save(f"{kind}-one", kind, layers=1)
    model = begin(discriminator_name_or_path=ours, generator_name_or_path=its, generator_shares=shares).model
    one, two = (embeddings(half) for half in (model.discriminator, opened(ours)))
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(encoded(model.discriminator), encoded(opened(ours)))
    assert equal(model.generator, opened(its, AutoModelForMaskedLM))
    assert isinstance(model.discriminator.get_input_embeddings(), DisentangledEmbedding) == (shares == "gdes")
    assert warnings == []


@each(KINDS, "kind")
def test_a_generator_may_start_as_the_first_layers(kind: str, save: Save, begin: Begin, warnings: list[str]) -> None:
    model = begin(discriminator_name_or_path=save(kind), generator_init="layers").model
    whole = opened(save(kind), AutoModelForMaskedLM)
    assert equal(model.generator, whole)
    assert model.generator.config.num_hidden_layers == 1
    assert equal(model.generator.base_model, model.discriminator)
    assert warnings == []


def test_masked_language_modelling_goes_on_with_the_head_of_the_encoder(
    save: Save, begin: Begin, warnings: list[str]
) -> None:
    model = begin(discriminator_name_or_path=save("bert"), objective="mlm").model
    assert equal(model.generator, opened(save("bert"), AutoModelForMaskedLM))
    assert equal(model.discriminator, model.generator.base_model)
    assert warnings == []


def test_layers_of_an_encoder_without_a_prediction_head_get_a_new_one(
    save: Save, begin: Begin, warnings: list[str]
) -> None:
    bare = save("bert-bare", "bert", AutoModel)
    model = begin(discriminator_name_or_path=bare, generator_init="layers").model
    assert equal(model.generator.base_model, model.discriminator)
    assert "has no prediction head that fits: the generator's starts new" in warnings[0]


def test_layers_of_an_electra_are_as_wide_as_it(save: Save, begin: Begin) -> None:
    name = save("electra", kind=AutoModelForPreTraining)
    model = begin(discriminator_name_or_path=name, generator_init="layers").model
    config = model.config
    assert (config.backbone_config, config.generator_hidden_size, config.generator_num_hidden_layers) == (None, 32, 1)
    assert equal(model.generator.electra, model.discriminator)


@each(KINDS, "kind")
def test_a_generator_that_is_not_given_starts_new_on_embeddings_like_the_discriminators(
    kind: str, save: Save, begin: Begin, warnings: list[str]
) -> None:
    model = begin(discriminator_name_or_path=save(kind), generator_shares="none").model
    assert equal(model.discriminator, opened(save(kind)))
    ours, its = embeddings(model.discriminator), embeddings(model.generator)
    assert ours.equal(its) and ours is not its
    assert not equal(model.generator.base_model, model.discriminator)
    assert "the generator starts new" in warnings[0]


def test_what_is_shared_is_the_discriminators(save: Save, begin: Begin, warnings: list[str]) -> None:
    ours, its = save("bert"), save("bert-one", "bert", layers=1)
    model = begin(discriminator_name_or_path=ours, generator_name_or_path=its).model
    assert equal(model.discriminator, opened(ours))
    assert embeddings(model.generator) is embeddings(model.discriminator)
    assert "bert.embeddings.word_embeddings.weight differs by up to" in warnings[0]


@pytest.mark.parametrize(
    ("ours", "its"), [("bert", "modernbert"), ("roberta", "distilbert"), ("bert", "electra"), ("electra", "bert")]
)
def test_the_generator_may_be_of_another_family(ours: str, its: str, save: Save, begin: Begin) -> None:
    first = save(f"{ours}-d", ours, AutoModelForPreTraining if ours == "electra" else AutoModelForMaskedLM)
    second = save(f"{its}-g", its)
    run = begin(discriminator_name_or_path=first, generator_name_or_path=second, generator_shares="none")
    assert equal(run.model.discriminator, opened(first))
    assert equal(run.model.generator, opened(second, AutoModelForMaskedLM))
    assert f"{ours} of 3 layers, and a {its} generator of 3 layers; they share nothing" in run.plan()
    if ours == "electra":
        head = opened(first, AutoModelForPreTraining).discriminator_predictions.state_dict()
        for course in ("rtd", "std", "itd"):
            own = run.model.detection_head(course).state_dict()
            assert all(value.equal(own[name]) for name, value in head.items())


def test_half_precision_becomes_whole_and_a_pooler_may_be_missing(save: Save, begin: Begin, tmp_path: Path) -> None:
    opened(save("bert")).to(torch.float16).save_pretrained(tmp_path / "half")  # no pooler: of a masked language model
    demo_tokenizer().save_pretrained(tmp_path / "half")
    (tmp_path / "half" / "modules.json").write_text("[]")  # as sentence-transformers has beside it
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float16"
    model = begin(discriminator_name_or_path=str(tmp_path / "half"), generator_init="layers").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    torch.testing.assert_close(encoded(model.discriminator), encoded(opened(save("bert"))), atol=1e-2, rtol=1e-2)


# --- pairs ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def pair(save: Save, begin: Begin, tmp_path: Path) -> Callable[[str], str]:
    """The folder of a trained pair that shares what is asked for."""

    def make(shares: str) -> str:
        run = begin(discriminator_name_or_path=save("modernbert"), generator_shares=shares)
        run.train()
        return str((tmp_path / "run").rename(tmp_path / f"pair-{shares}"))

    return make


@pytest.mark.parametrize(
    ("before", "after"), [("token", "gdes"), ("gdes", "token"), ("token", "none"), ("none", "gdes"), ("all", "token")]
)
def test_a_pair_may_share_otherwise_and_begins_as_it_was(
    before: str, after: str, pair: Callable[[str], str], begin: Begin
) -> None:
    was: Any = MclForPreTraining.from_pretrained(name := pair(before))
    now = begin(model_name_or_path=name, generator_shares=after).model
    assert now.config.generator_shares == after
    torch.testing.assert_close(encoded(now.discriminator), encoded(was.discriminator))
    if before != "gdes":
        torch.testing.assert_close(encoded(now.generator), encoded(was.generator))
    for course in ("rtd", "std", "itd"):
        ours, theirs = (model.detection_head(course).dense.weight for model in (now, was))
        assert ours.equal(theirs)
    if (before, after) == ("token", "gdes"):
        table: Any = now.discriminator.get_input_embeddings()
        assert not table.delta.any()


def test_a_pair_goes_on_whole_and_its_half_is_a_source(pair: Callable[[str], str], begin: Begin, save: Save) -> None:
    was = opened(name := pair("gdes"), MclForPreTraining)
    half = was.to(torch.bfloat16)
    half.save_pretrained(f"{name}-half")
    demo_tokenizer().save_pretrained(f"{name}-half")
    now = begin(model_name_or_path=f"{name}-half").model
    assert now.dtype == torch.float32
    whole = opened(name, MclForPreTraining)
    torch.testing.assert_close(now.state_dict(), whole.state_dict(), atol=1e-2, rtol=1e-2)
    new = begin(discriminator_name_or_path=name, generator_name_or_path=save("bert"), generator_shares="none").model
    torch.testing.assert_close(encoded(new.discriminator), encoded(whole.discriminator))
    assert new.detection_head("itd").dense.weight.equal(whole.detection_head("itd").dense.weight)
    layers = begin(discriminator_name_or_path=name, generator_init="layers", generator_shares="none").model
    assert equal(layers.generator.base_model, opened(name))
    assert equal(layers.generator.head, whole.generator.head)
    its = begin(discriminator_name_or_path=save("bert"), generator_name_or_path=name, generator_shares="none").model
    assert equal(its.generator, whole.generator)
    for changes, said in {
        "hidden_size=64": "hidden_size=64, but in the weights to go on from it is 32",
        "generator_num_hidden_layers=2": "generator_num_hidden_layers=2, but in the weights to go on from it is 1",
        "detection_head_type=linear": "detection_head_type=linear, but in the weights to go on from it is electra",
    }.items():
        with pytest.raises(UserError, match=said):
            begin(model_name_or_path=name, config_overrides=changes)
    free = "mlp_dropout=0.1,generator_mlp_dropout=0.2,correction_rows=0.5"
    config = begin(model_name_or_path=name, config_overrides=free).model.config
    assert (config.backbone_config.mlp_dropout, config.generator_backbone_config.mlp_dropout) == (0.1, 0.2)


def test_a_frozen_generator_keeps_its_weights_and_the_plan_says_so(save: Save, begin: Begin) -> None:
    its = save("bert-one", "bert", layers=1)
    run = begin(
        backbone=save("bert"),
        generator_name_or_path=its,
        generator_trainable=False,
        generator_temperature=2.0,
        generator_temperature_decay=0.25,
    )
    plan = run.plan()
    assert f"new, of the shape of {save('bert')} and goes on from {its}; discriminator" in plan
    assert "bert of 3 layers, and a generator of 1 layer; they share nothing; the generator is not trained;" in plan
    assert "at a temperature of 2 at first, whose distance to 1 falls to 1/e in 0.25 of the run" in plan
    assert "mlm" not in plan
    before = embeddings(run.model.discriminator).clone()
    run.train()
    assert equal(run.model.generator, opened(its, AutoModelForMaskedLM))
    assert not before.equal(embeddings(run.model.discriminator))


def test_the_plan_says_of_a_head_that_predicts_everywhere(
    save: Save, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(backbone=save("albert"))
    assert "all positions" not in run.plan()
    monkeypatch.setattr(MclForPreTraining, "predicts_everywhere", True)
    assert "the generator's head predicts at all positions" in run.plan()


# --- what is refused ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"backbone": "modernbret"}, "did you mean the model type 'modernbert'"),
        ({"backbone": "gpt2"}, "backbone 'gpt2' is a decoder"),
        ({"backbone": "t5"}, "backbone 't5' is an encoder-decoder"),
        ({"backbone": "vit"}, "backbone 'vit' is no masked language model"),
        ({"backbone": "bert"}, "no tokenizer: give --tokenizer_name"),
        ({"backbone": "@bert", "generator_init": "layers"}, "generator_init='layers' .*: give this one"),
        ({"backbone": "@bert", "model_name_or_path": "@bert"}, "backbone '.*' is the shape of .* model_name_or_path"),
        ({"backbone": "@bert", "discriminator_name_or_path": "@bert"}, "discriminator_name_or_path '.*' has one"),
        (
            {"backbone": "@bert", "config_overrides": "hiden_size=8"},
            "MclConfig or BertConfig; did you mean 'hidden_",
        ),
        ({"backbone": "@bert", "config_overrides": "hidden_size=30"}, "not a multiple of the number of attention hea"),
        ({"backbone": "@bert", "config_overrides": "hidden_act=gelo"}, "transformers has no 'gelo'"),
        ({"backbone": "@bert", "config_overrides": "hidden_size=a"}, "config_overrides: .*'hidden_size' expected int"),
        ({"backbone": "@bert", "config_overrides": "num_hidden_layers=0"}, "num_hidden_layers=0 must be at least 1"),
        (
            {"backbone": "@bert", "config_overrides": "vocab_size=30"},
            "1024 tokens, but the model's vocab_size is",
        ),
        ({"backbone": "@bert", "config_overrides": "norm={a: 1"}, r"'norm=\{a: 1' is not name=value of a field"),
        ({"backbone": "@bert", "config_overrides": "hidden_size={a: 1"}, r"hidden_size=\{a: 1' cannot be read"),
        ({"backbone": "@bert", "config_overrides": "relative_attention_num_buckets=8"}, "not name=value of a field"),
        ({"backbone": "@bert", "generator_shares": "tokens"}, "did you mean 'token'"),
        (
            {"backbone": "@bert", "generator_trainable": False},
            "generator_trainable=False: a generator that starts new",
        ),
        (
            {"backbone": "@bert", "objective": "mlm", "config_overrides": "generator_num_hidden_layers=1"},
            "config_overrides: generator_num_hidden_layers does not go with generator_shares='encoder'",
        ),
        (
            {"backbone": "@bert", "objective": "mlm", "generator_name_or_path": "@bert"},
            "generator_name_or_path '.*' does not go with generator_shares='encoder'",
        ),
        (
            {"tokenizer_name": "@bert", "objective": "mlm", "config_overrides": "generator_hidden_size=32"},
            "config_overrides: generator_hidden_size does not go with generator_shares='encoder'",
        ),
        ({"backbone": "BERT"}, "did you mean the model type 'bert'"),
        ({"backbone": "@bert", "generator_temperature": 0.0}, "generator_temperature=0.0 must be above 0"),
        ({"backbone": "@bert", "generator_temperature_decay": 0.0}, "generator_temperature_decay=0.0 must be above 0"),
        (
            {"backbone": "@bert", "generator_trainable": False, "generator_shares": "token"},
            "generator_shares='token': .* use 'none' or 'gdes'",
        ),
        (
            {"backbone": "@deberta-v2", "attn_implementation": "sdpa"},
            "DebertaV2Model has none such; choose from",
        ),
        (
            {"backbone": "@bert", "attn_implementation": "flash_attention_2", "document_attention": True},
            "'flash_attention_2' cannot keep the documents of a row apart",
        ),
        ({"backbone": "@albert", "document_attention": True}, "'albert' cannot keep the documents of a row apart"),
        ({"backbone": "@roberta", "length": 65}, "max_position_embeddings=64: .* max_position_embeddings=66"),
        ({"discriminator_name_or_path": "@roberta", "length": 65}, "max_position_embeddings=64: give a smaller one$"),
        ({"discriminator_name_or_path": "@bert", "config_overrides": "hidden_size=64"}, "hidden_size=64, but in the"),
        (
            {"discriminator_name_or_path": "@bert", "config_overrides": "num_attention_heads=2"},
            "num_attention_heads=2",
        ),
        ({"model_name_or_path": "@bert"}, "a 'bert' model, not a pair .* give it as --discriminator_name_or_path"),
        ({"generator_name_or_path": "@bert"}, "alone: give --discriminator_name_or_path too, .* or --backbone"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_refuses_in_one_line(arguments: dict[str, Any], said: str, save: Save, begin: Begin) -> None:
    given = {k: save(v[1:]) if isinstance(v, str) and v.startswith("@") else v for k, v in arguments.items()}
    with pytest.raises(UserError, match=said) as raised:
        begin(**given)
    assert "\n" not in str(raised.value)


def test_refuses_checkpoints_that_no_pair_can_be_made_of(save: Save, begin: Begin, tmp_path: Path) -> None:
    small = {"vocab_size": 1024, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    sizes: dict[str, dict[str, Any]] = {
        "gpt2": {"vocab_size": 1024, "n_embd": 16, "n_layer": 1, "n_head": 2},
        "bart": {"vocab_size": 1024, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1},
        "vit": {**small, "image_size": 32},
        "bert": {**small, "is_decoder": True},
    }
    kinds = {"gpt2": "a decoder", "bart": "an encoder-decoder", "vit": "no masked language model", "bert": "a decoder"}
    for kind, what in kinds.items():
        AutoConfig.for_model(kind, **sizes[kind]).save_pretrained(tmp_path / kind)
        for argument in ("backbone", "discriminator_name_or_path", "generator_name_or_path"):
            given = {argument: str(tmp_path / kind)}
            if argument == "generator_name_or_path":
                given["discriminator_name_or_path"] = save("bert")
            with pytest.raises(UserError, match=rf"^{argument} '.*{kind}' is {what} \({kind}"):
                begin(**given)
    (tmp_path / "none").mkdir()
    AutoConfig.for_model("bert", **small).save_pretrained(tmp_path / "weightless")
    demo_tokenizer().save_pretrained(tmp_path / "weightless")
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "config.json").write_text('{"model_type": "distillbert"}')
    for name, said in {
        "none": "is a directory without a checkpoint",
        "weightless": "has no weights",
        "unknown": "transformers has no model type 'distillbert'; did you mean 'distilbert'",
    }.items():
        with pytest.raises(UserError, match=f"discriminator_name_or_path.*{name}.*{said}"):
            begin(discriminator_name_or_path=str(tmp_path / name))


def test_refuses_two_that_are_not_one_pair(save: Save, begin: Begin) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"generator_name_or_path": save("wide", "bert", width=64)}, "32 wide and the generator's 64: share nothing"),
        ({"generator_name_or_path": save("words", "bert", vocab_size=1030)}, "vocab_size is 1024 in .* and 1030 in"),
        (
            {"generator_name_or_path": save("bare", "bert", AutoModel)},
            "is no BertForMaskedLM: it lacks cls.predictions",
        ),
        ({"generator_name_or_path": save("bert"), "generator_init": "layers"}, "leave out generator_name_or_path"),
        (
            {"generator_name_or_path": save("modernbert"), "generator_shares": "all"},
            "the embedding layers of BertModel and ModernBertModel have other parts",
        ),
        (
            {
                "generator_init": "layers",
                "generator_shares": "none",
                "config_overrides": "generator_hidden_size=16,generator_num_attention_heads=2",
            },
            "has another shape in the discriminator",
        ),
    ]
    for arguments, said in cases:
        with pytest.raises(UserError, match=said) as raised:
            begin(discriminator_name_or_path=save("bert"), **arguments)
        assert "\n" not in str(raised.value)
    other = save("reversed", "bert")
    words = sorted(demo_tokenizer().get_vocab(), key=demo_tokenizer().get_vocab().__getitem__)
    BertTokenizer(vocab={w: i for i, w in enumerate([*words[:5], *reversed(words[5:])])}).save_pretrained(other)
    with pytest.raises(UserError, match=r"the id of '.*' is .*, but .* in that of '.*reversed'"):
        begin(discriminator_name_or_path=save("bert"), generator_name_or_path=other)
    wide = {"generator_name_or_path": save("wide", "bert", width=64), "generator_shares": "none"}
    assert begin(discriminator_name_or_path=save("bert"), **wide).model.generator.config.hidden_size == 64


def test_a_tokenizer_with_other_padding_does_not_go_on_weights(save: Save, begin: Begin, tmp_path: Path) -> None:
    folder = save("padded", "roberta", pad_token_id=5)
    for path in Path(folder).glob("tokenizer*"):
        path.unlink()
    demo_tokenizer().save_pretrained(tmp_path / "words")
    with pytest.raises(UserError, match="pad_token_id is 0, but 5 in the configuration of discriminator_name"):
        begin(discriminator_name_or_path=folder, tokenizer_name=str(tmp_path / "words"))


def test_a_tokenizer_of_another_size_is_refused_where_nothing_else_tells(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "encoder", "bert", vocab_size=2048)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    demo_tokenizer().save_pretrained(tmp_path / "tokenizer")
    model_args = ModelArguments(discriminator_name_or_path=str(folder), tokenizer_name=str(tmp_path / "tokenizer"))
    with pytest.raises(UserError, match=r"has 1,024 entries, and '.*encoder', which has no tokenizer.* of 2,048"):
        build_config(model_args, None, open_tokenizer(model_args, False))
