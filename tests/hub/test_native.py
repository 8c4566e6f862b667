"""Halves of pairs of other families, as transformers' own classes: the same numbers, wherever they are opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    ElectraModel,
    PreTrainedTokenizerBase,
    RoFormerConfig,
    RoFormerForMaskedLM,
    RoFormerModel,
    pipeline,
)

from tests.families import ADAPTED, demo_tokenizer, each, tiny_pair
from transformers_mcl import MclDiscriminator, MclForMaskedLM, MclForPreTraining, MclModel, UserError
from transformers_mcl.cli.main import main
from transformers_mcl.hub.export import export_model, open_half, take_half
from transformers_mcl.hub.export_card import auto_class

FAMILY = each(ADAPTED)
SHARES = ("token", "all", "none", "gdes")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return demo_tokenizer()


@pytest.fixture(scope="module")
def rows(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """A padded batch."""
    given: Any = tokenizer(["the chef cooked a meal .", "who ate ?"], padding=True, return_tensors="pt")
    return {name: given[name] for name in ("input_ids", "attention_mask")}


@torch.no_grad()
def figures(pair: MclForPreTraining, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"discriminator": pair.discriminator(**rows)[0], "generator": pair.generator(**rows).logits}


def export(model: MclForPreTraining, folder: Path, half: str, format: str = "mcl") -> str:
    model.export(folder, half, format, tokenizer=demo_tokenizer())
    return str(folder)


@FAMILY
@pytest.mark.parametrize("shares", SHARES)
def test_each_half_is_a_model_of_the_family(
    family: str, shares: str, rows: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tiny_pair(family, generator_shares=shares).bfloat16().save_pretrained(tmp_path / "pair")
    pair = MclForPreTraining.from_pretrained(tmp_path / "pair")
    expected = figures(pair, rows)
    for half, kind in (("discriminator", AutoModel), ("generator", AutoModelForMaskedLM)):
        network = pair.generator if half == "generator" else pair.discriminator
        model = open_half(str(tmp_path / "pair"), half)
        written = export_model(model, tmp_path / half, half=half, tokenizer=tokenizer)
        opened: Any = kind.from_pretrained(tmp_path / half, output_loading_info=True)
        model, info = opened
        assert not any(info.values())
        assert type(model) is type(written) is type(network) and model.dtype == torch.bfloat16
        assert model.config.vocab_size == 1024 and model.config.num_hidden_layers == (1 if half == "generator" else 2)
        with torch.no_grad():
            assert model(**rows)[0].equal(expected[half]) and written(**rows)[0].equal(expected[half])
        # Rows as the tokenizer beside it gives them, of two segments, too.
        model(**AutoTokenizer.from_pretrained(tmp_path / half)("who ate ?", "the chef", return_tensors="pt"))
        if half == "generator":
            for one in (model, written):
                assert one.get_output_embeddings().weight is one.get_input_embeddings().weight


def test_a_pair_of_transformers_own_electras_is_electra(tmp_path: Path) -> None:
    written = tiny_pair("electra").export(tmp_path / "electra", format="electra")
    assert type(written) is ElectraModel
    assert ModelCard.load(tmp_path / "electra" / "README.md").data.tags == ["mcl", "electra"]


@pytest.mark.parametrize("shares", ["none", "gdes"])
def test_the_default_familys_halves_are_whole_under_every_sharing(
    shares: str, rows: dict[str, Tensor], tmp_path: Path
) -> None:
    pair = tiny_pair("mcl", generator_shares=shares, relative_attention_num_buckets=8)
    expected = figures(pair, rows)
    pair.save_pretrained(tmp_path / "pair")
    for kind, half in ((MclModel, "discriminator"), (MclForMaskedLM, "generator")):
        opened: Any = kind.from_pretrained(tmp_path / "pair", output_loading_info=True)
        model, info = opened
        assert not any(info.values())
        taken: Any = take_half(pair, half)
        taken.save_pretrained(tmp_path / half)
        again: Any = type(taken).from_pretrained(tmp_path / half)
        with torch.no_grad():
            assert model(**rows)[0].equal(expected[half])
            for other in (taken, again):
                found = other.electra(**rows)[0] if isinstance(other, MclDiscriminator) else other(**rows)[0]
                assert found.equal(expected[half])


OPENED_ELSEWHERE = """
import sys
sys.modules["transformers_mcl"] = None  # as where it is not installed
from pathlib import Path
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer
opened, rows = 0, load_file(Path(sys.argv[1], "rows"))
for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
    expected = load_file(folder / "figures")
    for half, kind in (("discriminator", AutoModel), ("generator", AutoModelForMaskedLM)):
        model, info = kind.from_pretrained(folder / half, output_loading_info=True)
        assert not info["missing_keys"] and not info["mismatched_keys"], info
        assert type(model).__module__.startswith("transformers.models."), type(model)
        with torch.no_grad():
            assert model(**rows)[0].equal(expected[half]), (folder, half)
        AutoTokenizer.from_pretrained(folder / half)
        opened += 1
    if folder.name.startswith("mcl"):
        model = AutoModelForPreTraining.from_pretrained(folder / "discriminator")
        assert type(model).__name__ == "ElectraForPreTraining"
print(opened)
"""


def test_they_open_where_this_package_is_not(rows: dict[str, Tensor], tmp_path: Path) -> None:
    kinds = [*zip(ADAPTED, [*SHARES, "gdes"], strict=True), ("mcl", "gdes"), ("mcl", "none")]
    save_file(rows, tmp_path / "rows")
    for family, shares in kinds:
        pair, folder = tiny_pair(family, generator_shares=shares), tmp_path / f"{family} {shares}"
        for half in ("discriminator", "generator"):
            export(pair, folder / half, half, "native")
        save_file(figures(pair, rows), folder / "figures")
    command = [sys.executable, "-c", OPENED_ELSEWHERE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(2 * len(kinds))


def test_a_graph_of_a_half(rows: dict[str, Tensor], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    pair = tiny_pair("roberta", {"layers": 1}, generator_shares="gdes")
    export(pair, tmp_path / "onnx", "generator", "onnx")
    session = runtime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    (found,) = session.run(None, {name: row.numpy() for name, row in rows.items()})
    torch.testing.assert_close(torch.from_numpy(found), figures(pair, rows)["generator"], rtol=0, atol=1e-4)
    (code,) = (tmp_path / "onnx" / "README.md").read_text().split("```python\n")[1:]
    exec(code.split("```")[0].replace('"onnx"', repr(str(tmp_path / "onnx"))), {})


# --- what other tools make of them -----------------------------------------------------------------------------------
@FAMILY
def test_the_generator_fills_masks(family: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    pair = tiny_pair(family)
    text = "the chef [MASK] a meal"
    guesses: Any = pipeline("fill-mask", export(pair, tmp_path / "generator", "generator"))(text)
    inputs = AutoTokenizer.from_pretrained(tmp_path / "generator")(text, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    likely = pair.generator(**inputs).logits[0, place].softmax(-1).detach()
    assert guesses[0]["token"] == int(likely.argmax())
    assert guesses[0]["score"] == pytest.approx(float(likely.max()), abs=1e-6)


@pytest.mark.parametrize("family", ["roberta", "modernbert"])
def test_sentence_transformers_opens_the_export_and_the_pair(
    family: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    st = pytest.importorskip("sentence_transformers")
    pair = tiny_pair(family, generator_shares="gdes")
    pair.save_pretrained(tmp_path / "pair")
    tokenizer.save_pretrained(tmp_path / "pair")
    texts = ["the chef cooked a meal .", "who ate ?"]
    given: Any = tokenizer(texts, padding=True, return_tensors="pt")
    mask = given["attention_mask"]
    with torch.no_grad():
        hidden = pair.discriminator(given["input_ids"], mask)[0]
    expected = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    for folder in (tmp_path / "pair", export(pair, tmp_path / "export", "discriminator")):
        found = st.SentenceTransformer(str(folder), device="cpu").encode(texts, convert_to_tensor=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, of what transformers renamed
@pytest.mark.parametrize(("family", "layers"), [("modernbert", "Wqkv"), ("deberta-v2", "query_proj")])
def test_lora_attaches_to_a_pairs_encoder(family: str, layers: str, rows: dict[str, Tensor], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    tiny_pair(family, generator_shares="gdes").save_pretrained(tmp_path / "pair")

    def base() -> Any:
        torch.manual_seed(0)  # of the new head
        return AutoModelForSequenceClassification.from_pretrained(tmp_path / "pair", num_labels=2)

    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=[layers], modules_to_save=["classifier", "head"])
    tuned = peft.get_peft_model(base(), config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:  # which begin at 0
                parameter.normal_()
    expected = tuned.eval()(**rows).logits
    tuned.save_pretrained(tmp_path / "adapter")
    opened = peft.PeftModel.from_pretrained(base(), tmp_path / "adapter").eval()
    torch.testing.assert_close(opened(**rows).logits, expected)
    merged = opened.merge_and_unload()
    assert type(merged).__module__.startswith("transformers.models.")
    torch.testing.assert_close(merged(**rows).logits, expected)


# --- the card --------------------------------------------------------------------------------------------------------
@FAMILY
def test_the_card_opens_it_without_this_package(family: str, tmp_path: Path) -> None:
    pair = tiny_pair(family)
    for half, task in (("discriminator", "feature-extraction"), ("generator", "fill-mask")):
        export(pair, tmp_path / half, half)
        card = ModelCard.load(tmp_path / half / "README.md")
        assert card.data.tags == ["mcl", "replaced-token-detection", family] and card.data.pipeline_tag == task
        assert card.data.library_name == "transformers"
        (code,) = card.text.split("```python\n")[1:]
        assert "transformers_mcl" not in code
        names: dict[str, Any] = {}
        exec(code.split("```")[0].replace(f'"{half}"', f'"{tmp_path / half}"'), names)
        assert type(names["model"]) is type(pair.generator if half == "generator" else pair.discriminator)


def test_a_family_may_be_called_former() -> None:
    with torch.device("meta"):
        encoder = RoFormerModel(RoFormerConfig(num_hidden_layers=1))
        masked = RoFormerForMaskedLM(RoFormerConfig(num_hidden_layers=1))
    assert [auto_class(encoder), auto_class(masked)] == ["AutoModel", "AutoModelForMaskedLM"]


# --- what cannot be --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("format", ["electra", "remote-code"])
def test_formats_of_electra_are_another_familys_native(format: str, tmp_path: Path) -> None:
    pair = tiny_pair("bert")
    with pytest.raises(
        UserError, match=f"format='{format}': .* of the family 'bert', .* export it with format native"
    ):
        pair.export(tmp_path / "new", format=format)
    assert not (tmp_path / "new").exists()


def test_relative_positions_have_no_native_class(tmp_path: Path) -> None:
    pair = tiny_pair("mcl", relative_attention_num_buckets=8)
    with pytest.raises(UserError, match="'native' is here: the model has relative positions .* remote-code"):
        pair.export(tmp_path / "new", format="native")


def test_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_pair("bert").save_pretrained(tmp_path / "pair")
    demo_tokenizer().save_pretrained(tmp_path / "pair")
    tuned: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "pair", num_labels=2)
    tuned.save_pretrained(tmp_path / "tuned")
    demo_tokenizer().save_pretrained(tmp_path / "tuned")
    words = "export --model_name_or_path {} --output_dir {}"
    assert main(words.format(tmp_path / "pair", tmp_path / "native").split()) == 0
    assert capsys.readouterr().out.startswith("BertModel, format native, ")
    for source, more, said in (
        ("pair", "--format remote-code", f"'{tmp_path / 'pair'}' is of the family 'bert'"),
        ("tuned", "", "is a 'bert' model of transformers' own, which opens without this package: it needs no export"),
        ("tuned", "--format onnx --half generator", "a BertForSequenceClassification holds no generator"),
    ):
        command = f"{words.format(tmp_path / source, tmp_path / 'new')} {more}"
        assert main(command.split()) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "new").exists()
    graphs: list[str] = []
    monkeypatch.setattr(
        "transformers_mcl.hub.onnx.save_onnx", lambda model, folder, inputs: graphs.append(type(model).__name__)
    )
    (tmp_path / "graph").mkdir()
    assert main(f"{words.format(tmp_path / 'tuned', tmp_path / 'graph')} --format onnx".split()) == 0
    assert graphs == ["BertForSequenceClassification"]
