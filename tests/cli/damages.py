"""What `test_damage.py` damages, how, and the commands that meet it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import BertTokenizer

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.cli.main import main

__all__ = [
    "COMMANDS",
    "ODD",
    "REFUSED",
    "STATES",
    "Outcome",
    "Table",
    "damaged",
    "make_models",
    "make_runs",
    "run_damaged",
]

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef cooked ate a meal soup who what good bad film".split()
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "embedding_size": 16}
SHAPE |= {"generator_hidden_size": 16, "generator_num_hidden_layers": 1, "generator_intermediate_size": 16}
FAIRSEQ = Path(__file__).parents[1] / "fixtures" / "fairseq" / "mcl_base_like"
_ALONE = ["--use_cpu", "true", "--disable_tqdm", "true"]

Damage = Callable[[Path], object]


def make_models(folder: Path) -> None:
    """A pair, the same in shards, another one, a folder of fairseq's, a text, pairs of sentences and reviews."""
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=32)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    for name, seed, size in (("pair", 0, "1GB"), ("other", 1, "1GB"), ("shards", 0, "20KB")):
        torch.manual_seed(seed)
        config = MclConfig.tiny(vocab_size=len(WORDS), max_position_embeddings=32, **SHAPE, **ids)
        MclForPreTraining(config).save_pretrained(folder / name, max_shard_size=size)
        tokenizer.save_pretrained(folder / name)
    shutil.copytree(FAIRSEQ, folder / "fairseq")
    (folder / "text.txt").write_text("the chef cooked a meal\nwho ate a soup\n" * 500, encoding="utf-8")
    (folder / "pairs.csv").write_text("sentence_good,sentence_bad\nthe chef ate,the chef the\n", encoding="utf-8")
    for split in ("train", "validation"):
        rows = [{"sentence": f"the film was {word}", "label": i % 2} for i, word in enumerate(("bad", "good") * 4)]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def make_runs(folder: Path) -> None:
    """The same, and a pre-training and a fine-tuning with two checkpoints each."""
    make_models(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(_pretraining(folder, "--tokenizer_name", folder / "pair", "--output_dir", folder / "run")) == 0
        assert main(_finetuning(folder, folder / "pair", folder / "tuned")) == 0


def _pretraining(base: Path, *more: object) -> list[str]:
    shape = ",".join(f"{name}={value}" for name, value in SHAPE.items())
    words = ["pretrain", "--train_file", base / "text.txt", "--preset", "tiny", "--config_overrides", shape]
    words += ["--max_seq_length", 16, "--max_steps", 2, "--save_strategy", "steps", "--save_steps", 1]
    return [str(word) for word in (*words, "--per_device_train_batch_size", 4, *_ALONE, *more)]


def _from(base: Path, *more: object) -> list[str]:
    words = ["pretrain", "--train_file", base / "text.txt", "--max_seq_length", 16, "--max_steps", 1, *_ALONE]
    return [str(word) for word in (*words, *more)]


def _finetuning(base: Path, model: Path, out: Path, *more: object) -> list[str]:
    words = ["finetune", "--model_name_or_path", model, "--task_name", "sst2", "--output_dir", out, "--max_steps", 2]
    words += ["--train_file", base / "train.jsonl", "--validation_file", base / "validation.jsonl"]
    words += ["--save_strategy", "steps", "--save_steps", 1, "--max_seq_length", 16, *_ALONE, *more]
    return [str(word) for word in words]


Command = Callable[[Path, Path, Path], list[str]]
"""Of the base, the damaged folder, and where to write."""


def _evaluating(task: str, *more: str) -> Command:
    def command(base: Path, model: Path, out: Path) -> list[str]:
        words = ["evaluate", "--task", task, "--model_name_or_path", model, "--output_dir", out, "--use_cpu"]
        return [str(word).replace("BASE", str(base)) for word in (*words, *more)]

    return command


COMMANDS: dict[str, Command] = {
    "inspect": lambda base, model, out: f"inspect --model_name_or_path {model} --text".split() + ["the chef ate"],
    "export": lambda base, model, out: f"export --model_name_or_path {model} --output_dir {out}".split(),
    "export generator": lambda base, model, out: (
        f"export --model_name_or_path {model} --half generator --output_dir {out}".split()
    ),
    "evaluate blimp": _evaluating("blimp", "--pairs_file", "BASE/pairs.csv"),
    "evaluate losses": _evaluating("losses", "--validation_file", "BASE/text.txt", "--max_seq_length", "16"),
    "evaluate probe": _evaluating(
        "probe", "--C", "1", "--train_file", "BASE/train.jsonl", "--validation_file", "BASE/validation.jsonl"
    ),
    "pretrain from": lambda base, model, out: _from(base, "--model_name_or_path", model, "--output_dir", out),
    "pretrain from half": lambda base, model, out: _from(
        base, "--discriminator_name_or_path", model, "--output_dir", out
    ),
    "finetune": lambda base, model, out: _finetuning(base, model, out),
    "soup": lambda base, model, out: f"soup {base / 'other'} {model} --output_dir {out}".split(),
    "soup first": lambda base, model, out: f"soup {model} {base / 'other'} --output_dir {out}".split(),
    "pretrain resume": lambda base, model, out: _pretraining(
        base,
        *("--tokenizer_name", base / "pair", "--output_dir", model),
        *("--max_steps", 3, "--resume_from_checkpoint", model / "checkpoint-2"),
    ),
    "finetune resume": lambda base, model, out: _finetuning(
        base, base / "pair", out, "--max_steps", 3, "--resume_from_checkpoint", model / "checkpoint-2"
    ),
    "finetune again": lambda base, model, out: _finetuning(base, base / "pair", model),
    "convert": lambda base, model, out: f"convert {model} {out}".split(),
    "recipe": lambda base, model, out: [*_from(base, "--output_dir", out), "--config", f"{model}/recipe.yaml"],
    "plan": lambda base, model, out: ["plan", *_from(base, "--model_name_or_path", model, "--output_dir", out)[1:]],
    "tokenizer": lambda base, model, out: (
        f"tokenizer --tokenizer_name {model} --add_special_tokens true --output_dir {out}".split()
    ),
}


# --- how a file is damaged ---


def _bytes(change: Callable[[bytes], bytes]) -> Damage:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    """What nobody can read, root neither."""
    path.unlink()
    path.symlink_to(path.name)


ANY: dict[str, Damage] = {
    "cut": _bytes(lambda found: found[: len(found) // 2]),
    "empty": _bytes(lambda found: b""),
    "not UTF-8": _bytes(lambda found: b"\xff\xfe" + found),
    "zeros": _bytes(lambda found: bytes(len(found))),
    "a folder": _folder,
    "unreadable": _link,
}
JSON: dict[str, Damage] = ANY | {
    "a list": _bytes(lambda found: b"[]"),
    "a number": _bytes(lambda found: b"3"),
    "null": _bytes(lambda found: b"null"),
    "a text": _bytes(lambda found: b'"text"'),
    "nested": _bytes(lambda found: b'{"a":' * 100_000),
    "nested list": _bytes(lambda found: b"[" * 100_000 + b"]" * 100_000),
}


def _field(name: str, value: Any) -> Damage:
    def change(path: Path) -> None:
        found = json.loads(path.read_text(encoding="utf-8"))
        *outer, last = name.split(".")
        inner = found
        for key in outer:
            inner = inner[key]
        inner[last] = value
        path.write_text(json.dumps(found), encoding="utf-8")

    return change


def _fields(*names: str) -> dict[str, Damage]:
    values: dict[str, Any] = {"a list": [1], "a mapping": {"a": 1}, "a text": "text", "null": None}
    values |= {"negative": -1, "huge": 10**12, "NaN": float("nan")}
    return {f"{name} {kind}": _field(name, value) for name in names for kind, value in values.items()}


def _tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    def damage(path: Path) -> None:
        save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path, metadata={"format": "pt"})

    return damage


def _header(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def damage(path: Path) -> None:
        found = path.read_bytes()
        (length,) = struct.unpack("<Q", found[:8])
        text = json.dumps(change(json.loads(found[8 : 8 + length]))).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + found[8 + length :])

    return damage


def _each(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    return _header(lambda found: {k: v if k == "__metadata__" else {**v, **change(v)} for k, v in found.items()})


WEIGHTS: dict[str, Damage] = ANY | {
    "one byte less": _bytes(lambda found: found[:-1]),
    "bytes more": _bytes(lambda found: found + bytes(100)),
    "a header too long": _bytes(lambda found: struct.pack("<Q", 1 << 60) + found[8:]),
    "a header of text": _bytes(lambda found: struct.pack("<Q", 4) + b"text" + found[8:]),
    "a header nested": _bytes(lambda found: struct.pack("<Q", 100_000) + b"[" * 100_000 + found[8:]),
    "a header list": _header(lambda found: []),
    "an unknown type": _each(lambda head: {"dtype": "F1"}),
    "huge shapes": _each(lambda head: {"shape": [1 << 40, 1 << 40]}),
    "offsets beyond": _each(lambda head: {"data_offsets": [0, 1 << 50]}),
    "other shapes": _tensors(lambda found: {k: v.repeat(2, *[1] * (v.dim() - 1)) for k, v in found.items()}),
    "flat": _tensors(lambda found: {k: v.flatten() for k, v in found.items()}),
    "whole numbers": _tensors(lambda found: {k: v.to(torch.int64) for k, v in found.items()}),
    "booleans": _tensors(lambda found: {k: v > 0 for k, v in found.items()}),
    "complex": _tensors(lambda found: {k: v.to(torch.complex64) for k, v in found.items()}),
    "no tensors": _tensors(lambda found: {}),
    "other names": _tensors(lambda found: {f"x.{k}": v for k, v in found.items()}),
    "half of the tensors": _tensors(lambda found: dict(list(found.items())[::2])),
    "a pickle": lambda path: torch.save({"a": torch.zeros(1)}, path),
}


def _map(value: str) -> Damage:
    def change(path: Path) -> None:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["weight_map"] = dict.fromkeys(found["weight_map"], value)
        path.write_text(json.dumps(found), encoding="utf-8")

    return change


INDEX: dict[str, Damage] = JSON | {
    "out of the folder": _map("../../etc/passwd"),
    "another folder's": _map("../pair/model.safetensors"),
    "absolute": _map("/etc/passwd"),
    "no such shard": _map("model-00009-of-00009.safetensors"),
    "its configuration": _map("config.json"),
    "weight_map a list": _field("weight_map", ["a"]),
    "weight_map a text": _field("weight_map", "a"),
    "weight_map empty": _field("weight_map", {}),
    "weight_map numbers": _field("weight_map", {"a": 3}),
    "weight_map lists": _field("weight_map", {"a": ["model.safetensors"]}),
    "no weight_map": lambda path: path.write_text("{}", encoding="utf-8"),
}
TOKENIZER: dict[str, Damage] = {
    "an empty mapping": lambda path: path.write_text("{}", encoding="utf-8"),
    "vocab a list": _field("model.vocab", ["the"]),
    "vocab of texts": _field("model.vocab", {"the": "1"}),
    "vocab of negative numbers": _field("model.vocab", {"the": -1}),
    "vocab huge": _field("model.vocab", {"the": 10**12}),
    "vocab empty": _field("model.vocab", {}),
    "vocab far": _field("model.vocab", {"[UNK]": 0, "the": 2**31}),
    "model null": _field("model", None),
    "model unknown": _field("model.type", "Other"),
    "added_tokens a mapping": _field("added_tokens", {}),
    "added_tokens wrong": _field("added_tokens", [{"id": "x"}]),
    "normalizer wrong": _field("normalizer", {"type": "None"}),
    "post_processor wrong": _field("post_processor", {"type": "TemplateProcessing"}),
    "truncation wrong": _field("truncation", {"max_length": -1}),
}
CONFIG: dict[str, Damage] = {
    "an empty mapping": lambda path: path.write_text("{}", encoding="utf-8"),
    **_fields("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    **_fields("layer_norm_eps", "mask_ratio", "loss_weights", "architectures", "dtype", "pad_token_id"),
    **_fields("hidden_act", "generator_hidden_size", "backbone_config", "generator_shares"),
    **_fields("max_position_embeddings", "auto_map", "_attn_implementation", "quantization_config", "id2label"),
    "other hidden_size": _field("hidden_size", 32),
    "other vocab_size": _field("vocab_size", 1000),
    "more layers": _field("num_hidden_layers", 3),
    "loss_weights of text": _field("loss_weights", {"rtd": "a"}),
    "unknown loss": _field("loss_weights", {"xyz": 1}),
    "backbone unknown": _field("backbone_config", {"model_type": "xyz"}),
}
TOKENIZER_CONFIG: dict[str, Damage] = {
    "tokenizer_class a number": _field("tokenizer_class", 3),
    "tokenizer_class unknown": _field("tokenizer_class", "NoSuchTokenizer"),
    **_fields("model_max_length", "pad_token", "added_tokens_decoder", "extra_special_tokens", "padding_side"),
}


def _saved(change: Callable[[Any], Any]) -> Damage:
    """Of what torch has saved; `change` changes it, or returns another."""

    def damage(path: Path) -> None:
        found = torch.load(path, map_location="cpu", weights_only=False)
        changed = change(found)
        torch.save(found if changed is None else changed, path)

    return damage


def _put(name: str, value: Any) -> Damage:
    return _saved(lambda found: found.update({name: value}))


def _lose(name: str) -> Damage:
    return _saved(lambda found: {key: value for key, value in found.items() if key != name})


def _moment(change: Callable[[torch.Tensor], Any]) -> Damage:
    def of_last(found: Any) -> None:
        state = found["state"][max(found["state"])]
        state["exp_avg"] = change(state["exp_avg"])

    return _saved(of_last)


def _settings(change: Callable[[dict[str, Any]], Any]) -> Damage:
    return _saved(lambda found: [change(group) for group in found["param_groups"]] and None)


SAVED: dict[str, Damage] = {
    "a list": _saved(lambda found: [1]),
    "a number": _saved(lambda found: 3),
    "an empty mapping": _saved(lambda found: {}),
    "a tensor": _saved(lambda found: torch.zeros(3)),
}
STATES: dict[str, dict[str, Damage]] = {
    "optimizer.pt": SAVED
    | {
        "more in a dimension": _moment(lambda found: torch.cat([found, found])),
        "a dimension more": _moment(lambda found: found[None]),
        "one number": _moment(lambda found: found.new_zeros(1)),
        "a moment of text": _moment(lambda found: "text"),
        "not finite": _moment(lambda found: found * float("nan")),
        "no moment": _saved(lambda found: [found["state"][0].pop("exp_avg_sq")] and None),
        "no step": _saved(lambda found: [state.pop("step") for state in found["state"].values()] and None),
        "state of a parameter a list": _saved(lambda found: found["state"].update({0: [1]})),
        "state a list": _put("state", [1]),
        "no state": _lose("state"),
        "empty state": _put("state", {}),
        "no groups": _lose("param_groups"),
        "fewer groups": _saved(lambda found: found["param_groups"].pop() and None),
        "fewer parameters": _settings(lambda group: group["params"].pop()),
        "betas a number": _settings(lambda group: group.update(betas=3)),
        "a rate of text": _settings(lambda group: group.update(lr="fast")),
    },
    "scheduler.pt": SAVED
    | {
        "no last_epoch": _lose("last_epoch"),
        "last_epoch of text": _put("last_epoch", "text"),
        "rates a number": _put("base_lrs", 3),
        "more rates": _put("base_lrs", [1e-3] * 9),
        "a rate of text": _put("_last_lr", ["fast", "fast"]),
        "a rate that is not finite": _put("base_lrs", [float("nan")] * 2),
    },
    "rng_state.pth": SAVED
    | {
        "no numpy": _lose("numpy"),
        "python a number": _put("python", 3),
        "numpy a list": _put("numpy", [1]),
        "cpu of floats": _put("cpu", torch.zeros(3)),
        "cpu too short": _put("cpu", torch.zeros(3, dtype=torch.uint8)),
    },
    "trainer_state.json": {
        "global_step text": _field("global_step", "2"),
        "global_step negative": _field("global_step", -1),
        "epoch a list": _field("epoch", [1]),
        "tokens of text": _field("num_input_tokens_seen", "many"),
        "epoch not finite": _field("epoch", float("nan")),
        "log_history a mapping": _field("log_history", {}),
        "log_history of numbers": _field("log_history", [1]),
        "callbacks a list": _field("stateful_callbacks", [1]),
        "an unknown field": _field("stepps", 1),
        "null": lambda path: path.write_text("null", encoding="utf-8"),
        "a list": lambda path: path.write_text("[]", encoding="utf-8"),
    },
    "run.json": {
        "files a number": _field("files", 5),
        "files of numbers": _field("files", [5]),
        "config a list": _field("config", [1]),
        "seconds of text": _field("seconds", "long"),
        "turn a list": _field("turn", [1]),
        "best a number": _field("best", 3),
    },
}
"""What has another shape or type, though it can be read."""
_OPENING = (
    *("inspect", "export", "evaluate blimp", "evaluate losses", "evaluate probe"),
    *("pretrain from", "finetune", "soup", "soup first"),
)
_RUNS = {
    "pretrain resume": ("run", ("config.json", "run.json")),
    "finetune resume": ("tuned", ("config.json",)),
}
# Without which a checkpoint, or a folder of fairseq's, is none.
_OTHERS = {name: damage for name, damage in ANY.items() if name not in ("a folder", "unreadable")}
_SAVED = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")
YAML = {name: damage for name, damage in JSON.items() if name not in ("zeros", "null")}

Table = list[tuple[str, dict[str, Damage], tuple[str, ...]]]
"""Files, how each is damaged, and the commands that read it."""

REFUSED: Table = [
    ("pair/config.json", JSON, (*_OPENING, "pretrain from half", "plan")),
    ("pair/model.safetensors", WEIGHTS, (*_OPENING, "pretrain from half", "plan")),
    ("shards/model.safetensors.index.json", INDEX, _OPENING),
    ("shards/model-00001-of-*.safetensors", ANY, _OPENING),
    ("pair/tokenizer.json", JSON, ("inspect", "export", "finetune", "soup first", "tokenizer")),
    ("pair/tokenizer_config.json", JSON, ("inspect", "export", "finetune", "soup first", "tokenizer")),
    *((f"{run}/checkpoint-2/{file}", JSON, (name,)) for name, (run, files) in _RUNS.items() for file in files),
    *((f"{run}/checkpoint-2/{file}", ANY, (name,)) for name, (run, _) in _RUNS.items() for file in _SAVED),
    *((f"{run}/checkpoint-2/trainer_state.json", _OTHERS, (name,)) for name, (run, _) in _RUNS.items()),
    *(
        (f"{run}/checkpoint-2/{file}", how, (name,))
        for name, (run, _) in _RUNS.items()
        for file, how in STATES.items()
    ),
    ("run/recipe.yaml", YAML, ("recipe",)),
    ("fairseq/checkpoint_1_125000.pt", _OTHERS, ("convert",)),
    ("fairseq/dict.txt", ANY, ("convert",)),
    ("fairseq/sentencepiece.bpe.model", ANY, ("convert",)),
]
"""What cannot be used: one line names the file."""
ODD: Table = [
    ("pair/config.json", CONFIG, ("inspect", "export", "soup")),
    ("pair/tokenizer.json", TOKENIZER, ("inspect", "soup first", "tokenizer")),
    ("pair/tokenizer_config.json", TOKENIZER_CONFIG, ("inspect", "soup first", "tokenizer")),
    *((f"pair/{file}", JSON, ("inspect", "soup first")) for file in ("generation_config.json", "adapter_config.json")),
    ("pair/chat_template.jinja", ANY, ("inspect", "soup first")),
    ("tuned/run.json", JSON, ("finetune again",)),
]
"""What may be usable: if it is not, that is one line as well."""


@dataclass
class Outcome:
    """What a command did with a damaged folder.

    Attributes:
        status: its exit status; the exception if one came through.
        said: what it wrote to stderr.
        new: files that it left.
    """

    status: int | BaseException
    said: str
    new: list[str]

    @property
    def lines(self) -> list[str]:
        """What was said but for progress bars."""
        said = [line.strip() for line in re.split(r"[\r\n]+", self.said)]
        return [line for line in said if line and not re.match(r"[\w ]+(\([\w ]+\))?: +(\d+%|\d+ examples)", line)]


def run_damaged(base: Path, words: Callable[[Path], list[str]], keep: bool = False) -> Outcome:
    """Runs a command in this process; `words` are those of one that writes into a folder, which is removed before if
    it is not to be kept."""
    out, stderr = base / "out", io.StringIO()
    if not keep:
        shutil.rmtree(out, ignore_errors=True)
    before = set(base.rglob("*"))
    status: int | BaseException
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(stderr):
        try:
            status = main(words(out))
        except BaseException as error:
            status = error
    new = sorted(str(path.relative_to(base)) for path in set(base.rglob("*")) - before)
    return Outcome(status, stderr.getvalue(), new)


@contextlib.contextmanager
def damaged(base: Path, file: str, damage: Damage) -> Iterator[tuple[Path, Path]]:
    """A copy of a folder in which a file is damaged: the folder and the file."""
    folder = base / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    name, pattern = file.split("/", 1)
    shutil.copytree(base / name, folder)
    path = next(folder.glob(pattern), folder / pattern)
    if not path.exists():
        path.write_text("{}", encoding="utf-8")
    damage(path)
    try:
        yield folder, path
    finally:
        shutil.rmtree(folder, ignore_errors=True)
