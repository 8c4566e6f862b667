"""What one half is worth to others: the same numbers, in every form, without what it was trained with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoTokenizer,
    BertTokenizer,
    BitsAndBytesConfig,
    ElectraForPreTraining,
    PreTrainedModel,
    pipeline,
)

from tests.markup import NASTY, look
from transformers_mcl import (
    MclConfig,
    MclDiscriminator,
    MclForMaskedLM,
    MclForMultipleChoice,
    MclForPreTraining,
    MclForQuestionAnswering,
    MclForSequenceClassification,
    MclForTokenClassification,
    MclModel,
    UserError,
)
from transformers_mcl.hub.export import as_electra, export_model, open_half
from transformers_mcl.hub.export_card import export_card

Pairs = Callable[..., MclForPreTraining]
Rows = dict[str, Tensor]
BIAS = pytest.mark.parametrize("buckets", [8, 0], ids=["relative positions", "no relative positions"])
SHARES = pytest.mark.parametrize("shares", ["token", "all"])
TASKS = (MclForSequenceClassification, MclForTokenClassification, MclForQuestionAnswering, MclForMultipleChoice)


def figures(pair: MclForPreTraining, rows: Rows) -> dict[str, Tensor]:
    with torch.no_grad():
        hidden = pair.electra(**rows).last_hidden_state
        verdict = pair.discriminator_predictions(hidden)
        return {"hidden": hidden, "verdict": verdict, "vocabulary": pair.generator(**rows).logits}


@BIAS
@SHARES
def test_each_half_is_a_checkpoint_of_its_own(
    shares: str, buckets: int, make_pair: Pairs, rows: Rows, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    pair = make_pair(generator_shares=shares, relative_attention_num_buckets=buckets)
    expected = figures(pair, rows)
    pair.export(tmp_path / "d", tokenizer=tokenizer)
    pair.export(tmp_path / "g", half="generator", tokenizer=tokenizer)
    opened: Any = MclDiscriminator.from_pretrained(tmp_path / "d", output_loading_info=True)
    discriminator, info = opened
    assert not any(info.values())
    encoder = AutoModel.from_pretrained(tmp_path / "d")
    with torch.no_grad():
        assert discriminator(**rows).logits.equal(expected["verdict"])
        assert encoder(**rows).last_hidden_state.equal(expected["hidden"])
    generator, info = AutoModelForMaskedLM.from_pretrained(tmp_path / "g", output_loading_info=True)
    assert not any(info.values())
    with torch.no_grad():
        assert generator(**rows).logits.equal(expected["vocabulary"])
    assert generator.config.hidden_size == 24
    assert generator.config.num_hidden_layers == 1
    kept = {path: load_file(tmp_path / path / "model.safetensors") for path in "dg"}
    assert all(name.startswith(("electra.", "discriminator_predictions.")) for name in kept["d"])
    assert all(name.startswith("generator.") for name in kept["g"])
    assert {name for folder in "dg" for name in [p.name for p in (tmp_path / folder).iterdir()]} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "needs_transformers_mcl.py",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    again = export_model(open_half(str(tmp_path / "g"), "generator"), tmp_path / "again", half="generator")
    with torch.no_grad():
        assert again(**rows).logits.equal(expected["vocabulary"])
    assert "auto_map" not in pair.config.to_dict()


OPENED_ELSEWHERE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "transformers_mcl":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining
try:
    import transformers_mcl
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("the package is here")
home, opened = Path(sys.argv[1]), 0
for folder in sorted(home.iterdir()):
    expected, rows = load_file(folder / "figures"), load_file(folder / "rows")
    for original in sorted(path for path in folder.iterdir() if path.is_dir()):
        remote = {"trust_remote_code": True} if original.name.startswith("remote") else {}
        kinds = {AutoModel: "hidden", AutoModelForPreTraining: "verdict"}
        for kind, figure in ({AutoModelForMaskedLM: "vocabulary"} if "generator" in original.name else kinds).items():
            exported = original
            for generation in range(3 if remote else 1):
                model, info = kind.from_pretrained(exported, output_loading_info=True, **remote)
                assert not info["missing_keys"] and not info["mismatched_keys"], info
                home = type(model).__module__
                assert home.startswith("transformers_modules" if remote else "transformers.models.electra"), home
                with torch.no_grad():
                    found = model(**rows)[0]
                assert (found - expected[figure]).abs().max() <= 1e-6, (exported, kind)
                opened += 1
                code = {path.name for path in exported.glob("*.py")}
                exported = exported.with_name("saved again") / f"{exported.name} {kind.__name__}"
                model.save_pretrained(exported)  # which takes the code along
                assert code == {path.name for path in exported.glob("*.py")}
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
assert "mcl" not in CONFIG_MAPPING, "a folder's classes would stand in for the next one's"
print(opened)
"""


def test_electra_and_remote_code_open_where_this_package_is_not(make_pair: Pairs, rows: Rows, tmp_path: Path) -> None:
    for buckets, shares in ((8, "token"), (0, "all")):
        folder = tmp_path / "exports" / f"{buckets}-{shares}"
        folder.mkdir(parents=True)
        pair = make_pair(relative_attention_num_buckets=buckets, generator_shares=shares)
        save_file(figures(pair, rows), folder / "figures")
        save_file(rows, folder / "rows")
        for half in ("discriminator", "generator"):
            pair.export(folder / f"remote-{half}", half, "remote-code")
            if not buckets:
                pair.export(folder / f"electra-{half}", half, "electra")
        # Where the package is loaded, its own classes save it.
        opened: Any = MclDiscriminator.from_pretrained(folder / "remote-discriminator")
        opened.save_pretrained(folder / "remote-discriminator by the package")
    command = [sys.executable, "-c", OPENED_ELSEWHERE, str(tmp_path / "exports")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "33"


def test_remote_code_does_not_stick_to_later_saves(make_pair: Pairs, tmp_path: Path) -> None:
    pair = make_pair()
    exported = pair.export(tmp_path / "remote", format="remote-code")
    assert {path.name for path in (tmp_path / "remote").glob("*.py")} == {
        "backbones.py",
        "attention.py",
        "configuration_mcl.py",
        "corruptions.py",
        "courses.py",
        "documents.py",
        "dropout.py",
        "errors.py",
        "heads.py",
        "hooks.py",
        "masks.py",
        "modeling_mcl.py",
        "native.py",
        "notebook.py",
        "ranges.py",
        "schedules.py",
        "sharing.py",
        "structure.py",
    }
    assert "AutoModelForSequenceClassification" in exported.config.auto_map
    again = export_model(open_half(str(tmp_path / "remote"), "discriminator"), tmp_path / "again")
    assert "auto_map" not in again.config.to_dict()
    pair.save_pretrained(tmp_path / "pair")
    assert [path.name for path in (tmp_path / "pair").glob("*.py")] == ["needs_transformers_mcl.py"]


@pytest.mark.parametrize("kind", [MclModel, *TASKS])
def test_task_models_are_electras(kind: Any, make_pair: Pairs, rows: Rows, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = make_pair(relative_attention_num_buckets=0).config
    config.num_labels = 3 if kind is MclForTokenClassification else 2
    ours = kind(config).eval()
    if kind is MclForMultipleChoice:
        rows = {name: value[:, None].repeat(1, 2, 1) for name, value in rows.items()}
    ours.save_pretrained(tmp_path / "task")
    export_model(open_half(str(tmp_path / "task"), "discriminator"), tmp_path / "electra", format="electra")
    theirs = as_electra(ours)
    assert type(theirs).__name__ == kind.__name__.replace("Mcl", "Electra")
    assert type(theirs).__module__.startswith("transformers.")
    loaded = type(theirs).from_pretrained(tmp_path / "electra")
    assert loaded.config.num_labels == config.num_labels
    for found, expected in zip(loaded(**rows).values(), ours(**rows).values(), strict=True):
        assert found.equal(expected)


def test_electra_keeps_the_precision(make_pair: Pairs, tmp_path: Path) -> None:
    pair = make_pair(relative_attention_num_buckets=0).bfloat16()
    pair.export(tmp_path / "electra", format="electra")
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path / "electra")
    assert type(loaded) is ElectraForPreTraining
    assert loaded.dtype == torch.bfloat16


@pytest.mark.parametrize("half", ["discriminator", "generator"])
def test_exports_of_either_half_open_as_electras_do(half: str, make_pair: Pairs, rows: Rows, tmp_path: Path) -> None:
    """Half precision, a device map, an attention function, shards: of what transformers gives every model."""
    make_pair().bfloat16().export(tmp_path / "export", half)
    kind: Any = MclForMaskedLM if half == "generator" else MclDiscriminator
    plain = kind.from_pretrained(tmp_path / "export")
    assert plain.dtype == torch.bfloat16
    plain.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    given = {"dtype": torch.float32, "device_map": "cpu", "attn_implementation": "eager"}
    model = kind.from_pretrained(tmp_path / "shards", **given)
    assert model.dtype == torch.float32
    assert model.config._attn_implementation == "eager"
    torch.testing.assert_close(model(**rows).logits, plain.float()(**rows).logits)
    model.half().save_pretrained(tmp_path / "half")
    assert kind.from_pretrained(tmp_path / "half").dtype == torch.float16


@pytest.mark.parametrize(
    ("kind", "buckets", "dtype", "in_one_file"),
    [
        (MclModel, 8, torch.bfloat16, True),
        (MclForSequenceClassification, 0, torch.float16, False),
    ],
)
def test_onnx(
    kind: Any,
    buckets: int,
    dtype: torch.dtype,
    in_one_file: bool,
    make_pair: Pairs,
    tokenizer: BertTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = kind(make_pair(relative_attention_num_buckets=buckets).config).to(dtype).eval()
    if not in_one_file:
        monkeypatch.setattr("transformers_mcl.hub.onnx._LARGEST_FILE", 0)
    export_model(model, tmp_path / "onnx", format="onnx", tokenizer=tokenizer)
    assert (tmp_path / "onnx" / "model.onnx.data").exists() != in_one_file
    (code,) = (tmp_path / "onnx" / "README.md").read_text().split("```python\n")[1:]
    names: dict[str, Any] = {}
    exec(code.split("```")[0].replace('"onnx"', repr(str(tmp_path / "onnx"))), names)
    assert names["outputs"][0].shape[0] == 1
    model = model.float()  # the same weights, without the rounding of what is computed with them
    session = runtime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    for batch, length, padding in ((1, 3, 0), (2, 7, 2), (5, 32, 9)):
        ids = torch.randint(5, model.config.vocab_size, (batch, length))
        mask = torch.ones_like(ids)
        mask[0, length - padding :] = 0
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        torch.testing.assert_close(torch.from_numpy(found), model(**given)[0].detach(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("given", [["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]])
def test_an_onnx_graph_takes_what_its_tokenizer_gives(
    given: list[str], make_pair: Pairs, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    tokenizer = BertTokenizer(vocab=tokenizer.get_vocab(), model_input_names=given)
    model = MclModel(make_pair(num_hidden_layers=1).config).eval()
    export_model(model, tmp_path / "onnx", format="onnx", tokenizer=tokenizer)
    opened = AutoTokenizer.from_pretrained(tmp_path / "onnx")
    rows = opened(["the chef", "a meal ?"], ["who cooked", "what"], padding=True, return_tensors="np")
    assert set(rows) == set(given)
    (found,) = runtime.InferenceSession(tmp_path / "onnx" / "model.onnx").run(None, dict(rows))
    expected = model(**{name: torch.from_numpy(value) for name, value in rows.items()}).last_hidden_state
    kept = torch.from_numpy(rows["attention_mask"]).bool()
    torch.testing.assert_close(torch.from_numpy(found)[kept], expected[kept].detach(), rtol=0, atol=1e-4)


def test_an_onnx_graph_that_is_off_is_not_left(
    make_pair: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("transformers_mcl.hub.onnx.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="differ from the model's by .*: not written"):
        export_model(MclModel(make_pair().config), tmp_path / "onnx", format="onnx")
    assert not (tmp_path / "onnx").exists()


# --- what other tools make of an export ------------------------------------------------------------------------------
def saved(model: PreTrainedModel, tokenizer: BertTokenizer, folder: Path) -> str:
    half = "generator" if isinstance(model, MclForMaskedLM) else "discriminator"
    export_model(model, folder, half=half, tokenizer=tokenizer)
    return str(folder)


def test_pipelines(make_pair: Pairs, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    pair = make_pair()
    pair.export(tmp_path / "generator", "generator", tokenizer=tokenizer)
    guesses: Any = pipeline("fill-mask", str(tmp_path / "generator"))("the chef [MASK] a meal")
    inputs = tokenizer("the chef [MASK] a meal", return_tensors="pt")
    likely = pair.generator(**inputs).logits[0, 3].softmax(-1).detach()
    assert guesses[0]["token"] == int(likely.argmax())
    assert guesses[0]["score"] == pytest.approx(float(likely.max()), abs=1e-6)

    text, config = "the chef cooked a meal .", pair.config
    pair.export(tmp_path / "discriminator", tokenizer=tokenizer)
    vectors: Any = pipeline("feature-extraction", str(tmp_path / "discriminator"))(text)
    hidden = pair.electra(**tokenizer(text, return_tensors="pt")).last_hidden_state
    torch.testing.assert_close(torch.tensor(vectors), hidden.detach())
    unbounded = BertTokenizer(vocab=tokenizer.get_vocab())  # whose length is that of the model it is saved with
    label: Any = pipeline(
        "text-classification", saved(MclForSequenceClassification(config), unbounded, tmp_path / "s")
    )
    assert label(text)[0]["label"] in ("LABEL_0", "LABEL_1")
    assert label(text * 100, truncation=True)[0]["label"] in ("LABEL_0", "LABEL_1")
    tags: Any = pipeline("token-classification", saved(MclForTokenClassification(config), tokenizer, tmp_path / "t"))
    assert [tag["word"] for tag in tags(text)] == text.split()


def test_sentence_transformers_opens_an_export_and_trains(
    make_pair: Pairs, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    st = pytest.importorskip("sentence_transformers")
    from datasets import Dataset
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    make_pair().export(tmp_path / "export", tokenizer=tokenizer)
    model = st.SentenceTransformer(str(tmp_path / "export"), device="cpu")
    texts = ["the chef cooked a meal .", "who ate ?"]
    before = model.encode(texts, convert_to_tensor=True)
    rows = tokenizer(texts, padding=True, return_tensors="pt")
    hidden = AutoModel.from_pretrained(tmp_path / "export")(**rows).last_hidden_state
    mask = rows["attention_mask"][..., None]
    torch.testing.assert_close(before, ((hidden * mask).sum(1) / mask.sum(1)).detach(), rtol=1e-4, atol=1e-5)
    data = Dataset.from_dict({"a": texts * 4, "b": texts[::-1] * 4, "score": [0.0] * 8})
    given = {"output_dir": str(tmp_path / "run"), "max_steps": 3, "report_to": "none", "use_cpu": True}
    arguments = st.SentenceTransformerTrainingArguments(**given, learning_rate=1e-2, save_strategy="no")
    st.SentenceTransformerTrainer(model, arguments, train_dataset=data, loss=CosineSimilarityLoss(model)).train()
    assert not torch.equal(before, model.encode(texts, convert_to_tensor=True))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, of what transformers renamed
def test_lora_attaches_by_the_usual_names(make_pair: Pairs, rows: Rows, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = MclForSequenceClassification(make_pair().config)
    model.save_pretrained(tmp_path / "base")
    tuned = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", r=2))
    trained = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    layers = model.config.num_hidden_layers
    assert sum("lora_A" in name for name in trained) == 2 * layers
    assert all("lora" in name or "classifier" in name for name in trained)
    tuned(**rows, labels=torch.tensor([0, 1])).loss.backward()
    assert all(parameter.grad is not None for parameter in tuned.parameters() if parameter.requires_grad)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:  # which begin at 0
                parameter.normal_()
    tuned.eval().save_pretrained(tmp_path / "adapter")
    expected = tuned(**rows).logits
    assert {path.name for path in (tmp_path / "adapter").iterdir()} >= {"adapter_model.safetensors"}
    opened = peft.PeftModel.from_pretrained(
        MclForSequenceClassification.from_pretrained(tmp_path / "base"), tmp_path / "adapter"
    )
    torch.testing.assert_close(opened.eval()(**rows).logits, expected)
    merged = opened.merge_and_unload()
    assert type(merged) is MclForSequenceClassification
    merged.save_pretrained(tmp_path / "merged")
    again = MclForSequenceClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(again(**rows).logits, expected)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("kind", [MclModel, MclForMaskedLM, MclForSequenceClassification, MclForPreTraining])
def test_bitsandbytes_quantizes_the_linear_layers(
    kind: Any, bits: int, make_pair: Pairs, rows: Rows, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    # Of the sizes that its CPU kernels can do, and scales as of a trained model.
    sizes = {"hidden_size": 64, "intermediate_size": 128, "embedding_size": 64, "initializer_range": 0.02}
    pair = make_pair(**sizes, generator_hidden_size=64, generator_intermediate_size=128)
    pair.save_pretrained(tmp_path / "pair")
    kind.from_pretrained(tmp_path / "pair").save_pretrained(tmp_path / "m")
    plain: Any = kind.from_pretrained(tmp_path / "m")
    linear = [name for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)]
    heads = [name for name in linear if "encoder.layer" not in name]
    given: Any = {"load_in_8bit": bits == 8, "load_in_4bit": bits == 4, "llm_int8_skip_modules": heads}
    model: Any = kind.from_pretrained(tmp_path / "m", quantization_config=BitsAndBytesConfig(**given))
    made = {name: type(model.get_submodule(name)).__name__ for name in linear}
    assert {name for name, kind in made.items() if kind == {8: "Linear8bitLt", 4: "Linear4bit"}[bits]} == {*linear} - {
        *heads
    }
    assert {name for name, kind in made.items() if kind == "Linear"} == set(heads)
    if kind is MclForPreTraining:
        return
    with torch.no_grad():
        found, expected = model(**rows)[0], plain(**rows)[0]
    assert (found - expected).abs().max() < {8: 0.05, 4: 0.3}[bits] * expected.abs().max()


# --- the card --------------------------------------------------------------------------------------------------------
def test_card_keeps_the_training_and_tells_how_to_open_the_export(
    make_pair: Pairs, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "pair"
    make_pair().save_pretrained(folder)
    card = "---\nlicense: mit\n---\n\n# pair\n\n## How to use it\n\nold\n\n## Results\n\n"
    (folder / "README.md").write_text(card + "![Losses](curves.png)\n")
    (folder / "curves.png").write_bytes(b"png")
    pair = MclForPreTraining.from_pretrained(folder)
    for format, half, task, words in (
        ("mcl", "discriminator", "feature-extraction", "from transformers_mcl import MclDiscriminator"),
        ("mcl", "generator", "fill-mask", "AutoModelForMaskedLM.from_pretrained"),
        ("remote-code", "discriminator", "feature-extraction", "trust_remote_code=True"),
    ):
        target = tmp_path / f"{format}-{half}"
        pair.export(target, half, format, tokenizer=tokenizer)
        text = (target / "README.md").read_text()
        assert words in text
        assert "old" not in text
        assert "license: mit" in text
        assert f"pipeline_tag: {task}" in text
        assert f"# {target.name}\n" in text
        assert "## Results" in text
        assert (target / "curves.png").read_bytes() == b"png"
        (code,) = text.split("```python\n")[1:]
        exec(code.split("```")[0].replace(f'"{target.name}"', f'"{target}"'), {})


@pytest.mark.parametrize("word", NASTY)
@pytest.mark.parametrize("format", ["mcl", "remote-code", "onnx"])
def test_a_name_is_no_markup(format: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def card(name: str) -> ModelCard:
        return export_card(model, tmp_path, format, name=name)

    monkeypatch.setattr("transformers_mcl.hub.export_card.longest_row", lambda _: 8)
    model: Any = SimpleNamespace(config=MclConfig.tiny())
    assert look(card(word)) == look(card("word"))


def test_card_of_another_make_is_told_how_to_open_the_export(
    make_pair: Pairs, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    for number, body in enumerate(("Words.\n\n## Results\n\nGood.\n", "Words.\n")):
        folder, target = tmp_path / f"task {number}", tmp_path / f"export {number}"
        MclForSequenceClassification(make_pair().config).save_pretrained(folder)
        index = "model-index:\n- name: old\n  results:\n  - task: {type: x}\n    dataset: {type: y, name: y}\n"
        index += "    metrics:\n    - {type: accuracy, value: 0.5}\n"
        (folder / "README.md").write_text(f"---\nlicense: mit\n{index}---\n\n# old\n\n{body}")
        export_model(MclForSequenceClassification.from_pretrained(folder), target, tokenizer=tokenizer, name="a/new")
        card = ModelCard.load(target / "README.md")
        assert card.data.model_name == "a/new" and card.data.pipeline_tag == "text-classification"
        title, use, *rest = card.text.strip().split("\n## ")
        assert title == "# a/new\n\nWords.\n"
        assert (
            use.startswith("How to use it\n") and 'AutoModelForSequenceClassification.from_pretrained("a/new")' in use
        )
        *rest, citation = rest
        assert rest == (["Results\n\nGood.\n"] if number == 0 else [])
        assert citation.startswith("Citation\n") and citation.count("@") == 2


# --- what cannot be --------------------------------------------------------------------------------------------------
def test_what_cannot_be_exported(make_pair: Pairs, tmp_path: Path) -> None:
    pair = make_pair()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    mistakes: dict[str, dict[str, Any]] = {
        "half: there is no 'encoder'; choose from discriminator, generator": {"half": "encoder"},
        "format: there is no 'gguf'; choose from mcl, electra, native, remote-code, onnx": {"format": "gguf"},
        "relative_attention_num_buckets=32.*remote-code": {"format": "electra"},
        "full' is not an empty folder": {"output_dir": tmp_path / "full"},
    }
    for words, changes in mistakes.items():
        arguments: dict[str, Any] = {"output_dir": tmp_path / "new", **changes}
        with pytest.raises(UserError, match=words):
            pair.export(**arguments)
        assert not (tmp_path / "new").exists()


def test_a_half_that_a_checkpoint_lacks(make_pair: Pairs, tmp_path: Path) -> None:
    pair = make_pair()
    generator = pair.export(tmp_path / "generator", "generator")
    pair.export(tmp_path / "discriminator")
    for held, lacks in (("generator", "discriminator"), ("discriminator", "generator")):
        with pytest.raises(UserError, match=f"holds no whole {lacks}: it lacks weights of"):
            open_half(str(tmp_path / held), lacks)
    with pytest.raises(UserError, match="MclForMaskedLM holds no discriminator"):
        export_model(generator, tmp_path / "new")
    with pytest.raises(UserError, match="is a 'electra' model"):
        make_pair(relative_attention_num_buckets=0).export(tmp_path / "electra", format="electra")
        open_half(str(tmp_path / "electra"), "discriminator")
    with pytest.raises(UserError, match="nowhere"):
        open_half(str(tmp_path / "nowhere"), "discriminator")
