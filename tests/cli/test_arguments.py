"""Arguments from the command line and from files: what wins, what is understood, and what a mistake says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from transformers import ElectraConfig, TrainingArguments
from transformers.testing_utils import CaptureLogger
from transformers.utils import logging

from transformers_mcl.cli import arguments as module
from transformers_mcl.cli.arguments import ParsedArguments, as_user_error, parse_arguments
from transformers_mcl.data.shipped import shipped_pair
from transformers_mcl.errors import UserError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Small:
    name: str = field(metadata={"help": "The name."})
    rate: float = field(default=0.1, metadata={"help": "How fast."})
    steps: int = 10
    on: bool = True
    off: bool = False
    maybe: bool | None = None
    mode: Literal["fast", "no"] = "fast"
    level: Literal[1, 2] = 1
    colour: Colour = Colour.RED
    files: list[str] | None = None
    sizes: list[int] = field(default_factory=lambda: [1])
    weights: dict[str, float] = field(default_factory=dict)
    either: dict[str, Any] | str | None = None
    names: None | str | list[str] = None  # in the order that HfArgumentParser needs
    count: bool | str = "none"
    where: Path | None = None

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate is {self.rate}:\n  it must not be negative")
        if self.steps < 0:
            raise UserError("steps: mine")


def parse(*argv: object, kind: type = Small) -> Any:
    return parse_arguments([kind], [str(word) for word in argv], prog="transformers-mcl x", description="A test.")[0]


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Write a configuration file; its path."""

    def write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(*argv: object, kind: type = Small) -> str:
    with pytest.raises(UserError) as caught:
        parse(*argv, kind=kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


VALUES = [
    ("rate", "1e-3", "1e-3", 0.001),
    ("rate", "3", "3", 3.0),
    ("steps", "7", "7", 7),
    ("on", "false", "no", False),
    ("off", "true", "yes", True),
    ("maybe", "True", "True", True),
    ("mode", "no", "no", "no"),
    ("level", "2", "2", 2),
    ("colour", "blue", "blue", Colour.BLUE),
    ("name", "007", "007", "007"),
    ("name", "1.10", "1.10", "1.10"),
    ("files", "a b", "[a, b]", ["a", "b"]),
    ("files", "a", "a", ["a"]),
    ("files", "-1 1.10", "\n- -1\n- 1.10", ["-1", "1.10"]),
    ("sizes", "3 4", "[3, 4]", [3, 4]),
    ("weights", '{"a":1e-3}', "{a: 1e-3}", {"a": 0.001}),
    ("either", '{"a":{"b":false}}', "{a: {b: false}}", {"a": {"b": False}}),
    ("either", "file.json", "file.json", "file.json"),
    ("names", "all", "all", "all"),
    ("count", "words", "words", "words"),
    ("count", "yes", "yes", True),
    ("where", "a/b", "a/b", Path("a/b")),
]


@pytest.mark.parametrize(("name", "words", "text", "value"), VALUES)
def test_command_line_and_file_give_the_same_value(
    name: str, words: str, text: str, value: object, config: Any
) -> None:
    named = [] if name == "name" else ["--name", "n"]
    from_words = getattr(parse(f"--{name}", *words.split(" "), *named), name)
    from_file = getattr(parse("--config", config(f"{name}: {text}\n"), *named), name)
    assert from_words == from_file == value
    assert type(from_file) is type(from_words)


def test_values_that_only_a_file_can_give(config: Any) -> None:
    small = parse("--config", config("{name: n, sizes: [], names: [a], either: null, weights: {}}"))
    assert (small.sizes, small.names, small.either, small.weights) == ([], ["a"], None, {})


def test_json_file(config: Any) -> None:
    values = {"name": "007", "rate": 1e-5, "on": False, "maybe": None, "sizes": [2], "weights": {"a": 1e-5}}
    text = json.dumps(values, indent="\t")
    small = parse("--config", config(text, "recipe.json"))
    assert small == Small("007", rate=1e-5, on=False, sizes=[2], weights={"a": 1e-5})


@pytest.mark.parametrize("before", [True, False])
def test_command_line_wins_wherever_it_stands_and_even_with_the_default(before: bool, config: Any) -> None:
    path = config("name: file\nrate: 0.5\nsizes: [7, 8]\non: false\noff: true\n")
    words = ["--rate", "0.1", "--sizes", "1", "--on", "--off", "false"]
    small = parse(*words, "--config", path) if before else parse("--config", path, *words)
    assert small == Small("file")
    assert not parse("--config", config("name: x\non: true"), "--no_on").on


def test_instances_come_in_the_order_of_their_types() -> None:
    @dataclass
    class Other:
        other: int = 0

    parsed = parse_arguments([Other, Small], ["--name", "n", "--other", "3"], prog="x", description="")
    other, small = parsed
    assert (other, small) == (Other(3), Small("n"))


def test_recipe_repeats_the_run_and_holds_what_differs_from_the_defaults(config: Any) -> None:
    path = config("name: no\nrate: 1e-5\nsteps: 10\nfiles: ['007', ü]\nnames: [a]\nwhere: a/b\n")
    words = ["--config", str(path), "--on", "false", "--mode", "no", "--weights", '{"a": 1e-7}', "--level", "2"]
    first = parse_arguments([Small], words, prog="x", description="")
    assert set(yaml.safe_load(first.recipe)) == set("name rate files names where on mode weights level".split())
    assert "ü" in first.recipe
    second = parse_arguments([Small], ["--config", str(config(first.recipe))], prog="x", description="")
    assert second == first
    assert second.recipe == first.recipe


def test_recipe_holds_no_secret_and_no_leave_to_overwrite() -> None:
    @dataclass
    class Other:
        token: str | None = None
        overwrite_output_dir: bool = False
        cache_dir: str | None = None

    words = ["--token", "secret", "--overwrite_output_dir", "--cache_dir", "here"]
    assert parse_arguments([Other], words, prog="x", description="").recipe == "cache_dir: here\n"


def test_recipe_holds_no_secret_of_an_address(config: Any) -> None:
    @dataclass
    class Other:
        train_file: list[str] | None = None
        name: str = ""
        settings: dict[str, Any] | str | None = None

    given = "train_file: ['https://me:secret@host/a', 'https://host/b?X-Amz-Signature=secret']\n"
    words = ["--config", str(config(given)), "--name", "s3://me:secret@bucket"]
    words += ["--settings", '{"a": ["https://host/?token=secret"]}']
    parsed = parse_arguments([Other], words, prog="x", description="")
    assert "secret" not in parsed.recipe
    assert yaml.safe_load(parsed.recipe) == {
        "train_file": ["https://host/a", "https://host/b?X-Amz-Signature=***"],
        "name": "s3://bucket",
        "settings": {"a": ["https://host/?token=***"]},
    }
    assert parsed[0].train_file[0] == "https://me:secret@host/a"


def test_values_that_stand_in_for_the_defaults(config: Any) -> None:
    preset = config("rate: 7\nsteps: 8\nmode: no\n", "preset.yaml")
    words = ["--config", str(config("name: n\nsteps: 10\n")), "--rate", "0.1"]
    asked: list[dict[str, Any]] = []

    def underlay(given: Any, read: Any) -> Any:
        asked.append(dict(given))
        return read(preset)

    parsed = parse_arguments([Small], words, prog="x", description="", underlay=underlay)
    assert asked == [{"name": "n", "steps": 10, "rate": 0.1}]
    assert parsed[0] == Small("n", rate=0.1, steps=10, mode="no")
    # Both equal the dataclass's defaults: left out, the preset's would come in their place.
    assert yaml.safe_load(parsed.recipe) == {"name": "n", "steps": 10, "rate": 0.1}


MISTAKES = [  # words on the command line, or the text of a file; what the error must say
    (["--rat", "1"], "unknown argument --rat on the command line; did you mean --rate?"),
    (["--ont"], "unknown argument --ont on the command line; did you mean --on?"),
    (["--file", "a", "b"], "unknown argument --file on the command line; did you mean --files?"),
    (["--no-such-thing=3"], "unknown argument --no-such-thing on the command line"),
    (["rate", "1"], "stray 'rate' on the command line: every value follows its --argument"),
    (["--steps", "1.5"], "argument --steps: invalid int value: '1.5' (on the command line)"),
    (["--mode", "slow"], "argument --mode: invalid choice: 'slow' (choose from 'fast', 'no') (on the command line)"),
    (["--maybe", "perhaps"], "argument --maybe: Truthy value expected: got perhaps"),
    (["--weights", "a=1"], "argument --weights: expected a JSON mapping such as '{\"key\": 1}', got 'a=1'"),
    (["--either", "{a}"], "argument --either: expected a JSON mapping such as '{\"key\": 1}', got '{a}'"),
    (["--config"], "argument --config: expected one argument (on the command line)"),
    (["--rate", "-1"], "rate is -1.0: it must not be negative"),
    (["--steps", "-1"], "steps: mine"),
    ("stepz: 1", "unknown argument stepz in {path}; did you mean steps?"),
    ("config: x", "unknown argument config in {path}"),
    ("steps: many", "argument steps: invalid int value: 'many' (in {path})"),
    ("steps:", "argument steps: expected one value, got None (in {path})"),
    ("steps: [1]", "argument steps: expected one value, got ['1'] (in {path})"),
    ("steps: {a: 1}", "argument steps: expected one value, got {'a': 1} (in {path})"),
    ("sizes: [1, x]", "argument sizes: invalid int value: 'x' (in {path})"),
    ("files: [[a]]", "argument files: expected a list of values, got [['a']] (in {path})"),
    ("mode: slow", "argument mode: invalid choice: 'slow' (choose from 'fast', 'no') (in {path})"),
    ("off: perhaps", "argument off: Truthy value expected: got perhaps"),
    ("weights: heavy", "argument weights: expected a JSON mapping such as '{\"key\": 1}', got 'heavy' (in {path})"),
    ("rate: -1", "rate is -1.0: it must not be negative"),
    ("rate: 1\nsteps: 2\nrate: 3\n", "--config {path} line 3: 'rate' stands twice"),
    ("weights:\n  a: 1\n  a: 2\n", "--config {path} line 3: 'a' stands twice"),
    ("rate: 1\nsteps: [2\n", "--config {path} line 3: expected ',' or ']'"),
    ("rate: 1\n\tsteps: 2\n", "--config {path} line 2: found character '\\t'"),
    ("weights: {a: !!python/object:x {}}", "--config {path} line 1: could not determine a constructor"),
    ("- rate", "--config {path} must hold a mapping of argument names to values"),
    ("# nothing", "--config {path} must hold a mapping of argument names to values"),
    ("rate: \x07", "--config {path}: character 0x7 at position 6 is not allowed"),
]


@pytest.mark.parametrize(("given", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_argument_value_and_place(
    given: list[str] | str, message: str, config: Any
) -> None:
    path = config(given) if isinstance(given, str) else None
    words = ["--config", path] if isinstance(given, str) else given
    said = refusal(*words, "--name", "n")
    assert said.startswith(message.replace("{path}", str(path)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal("--config", tmp_path / "none.yaml").endswith("none.yaml: No such file or directory")
    assert refusal("--config", tmp_path).endswith("Is a directory")
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    assert refusal("--config", tmp_path / "latin.yaml").endswith("is not UTF-8: byte 6 is 0xe9")


def test_missing_argument_and_misspelt_name_of_it(config: Any) -> None:
    assert refusal() == "missing --name: give it on the command line or in a --config file"
    assert refusal("--nam", "n") == "unknown argument --nam on the command line; did you mean --name?"
    assert parse("--config", config("name: n")) == Small("n")


def test_a_list_that_stands_twice_is_no_longer_list() -> None:
    with CaptureLogger(logging.get_logger(module.__name__)) as log:
        assert parse("--name", "n", "--files", "a", "b", "--files=c", "--steps", 1, "--steps", 2).files == ["c"]
    assert "--files stands twice, and the last one counts" in log.out and log.out.count("stands twice") == 1


def test_keys_of_a_mapping_stand_once() -> None:
    assert refusal("--name", "n", "--weights", '{"a": 1, "a": 2}') == (
        "argument --weights: 'a' stands twice (on the command line)"
    )


def test_help_shows_defaults_and_what_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: transformers-mcl x [--config FILE] [--argument value ...]\n\nA test.\n")
    assert "The name. (required)\n" in out
    assert "How fast. (default: 0.1)" in out


def test_strict_configurations_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="^Validation error for field 'hidden_size': TypeError: .*'two'"):
        with as_user_error():
            ElectraConfig(hidden_size="two")  # type: ignore[arg-type]
    with pytest.raises(KeyError), as_user_error():
        raise KeyError("a bug")


class TestTrainingArguments:
    """Every field that transformers' own class has."""

    def parse(self, *argv: object) -> TrainingArguments:
        parsed: TrainingArguments = parse("--use_cpu", *argv, kind=TrainingArguments)
        return parsed

    def test_file_command_line_and_recipe(self, config: Any, tmp_path: Path) -> None:
        path = config(
            "output_dir: out\nlearning_rate: 1e-3\neval_strategy: no\nlogging_steps: 10\nseed: 7\n"
            "lr_scheduler_type: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 2}\nreport_to: [none]\n"
            "accelerator_config:\n  split_batches: true\ninclude_num_input_tokens_seen: non_padding\n"
            "label_names: [a, b]\ndebug: [underflow_overflow]\ndataloader_pin_memory: false\ntf32: null\n"
        )
        words = ["--config", path, "--seed", "42", "--activation_checkpointing_kwargs", '{"use_reentrant": false}']
        words += ["--hub_token", "secret", "--optim", "adafactor"]
        parsed = parse_arguments([TrainingArguments], ["--use_cpu", *map(str, words)], prog="x", description="")
        arguments = parsed[0]
        assert (arguments.learning_rate, arguments.seed, arguments.eval_strategy) == (1e-3, 42, "no")
        assert arguments.lr_scheduler_type == "cosine_with_restarts"
        assert arguments.lr_scheduler_kwargs == {"num_cycles": 2}
        assert arguments.accelerator_config.split_batches is True
        assert arguments.include_num_input_tokens_seen == "non_padding"
        assert (arguments.label_names, arguments.dataloader_pin_memory) == (["a", "b"], False)
        assert arguments.activation_checkpointing_kwargs == {"use_reentrant": False}

        assert "secret" not in parsed.recipe
        assert "seed" not in parsed.recipe
        again = parse("--config", config(parsed.recipe, "again.yaml"), kind=TrainingArguments)
        assert again.to_dict() == {**arguments.to_dict(), "hub_token": again.to_dict()["hub_token"]}

    def test_defaults_are_untouched(self) -> None:
        assert self.parse().to_dict() == TrainingArguments(use_cpu=True).to_dict()

    def test_arguments_that_do_not_go_together(self) -> None:
        said = refusal("--use_cpu", "--fp16", "--bf16", kind=TrainingArguments)
        assert "fp16" in said
        assert "bf16" in said
        said = refusal("--use_cpu", "--load_best_model_at_end", "--eval_strategy", "no", kind=TrainingArguments)
        assert said.startswith("--load_best_model_at_end requires the save and eval strategy to match")

    def test_misspelt_and_misused(self, config: Any) -> None:
        said = refusal("--lerning-rate", "1", kind=TrainingArguments)
        assert said == "unknown argument --lerning-rate on the command line; did you mean --learning_rate?"
        said = refusal("--config", config("warmup_ratio: 0.1"), kind=TrainingArguments)
        assert said.startswith(f"unknown argument warmup_ratio in {config('warmup_ratio: 0.1')}")
        said = refusal("--config", config("optim: adamz"), kind=TrainingArguments)
        assert said.startswith("argument optim: invalid choice: 'adamz' (choose from 'adamw_torch'")
        said = refusal("--config", config("learning_rate: fast"), kind=TrainingArguments)
        assert said.startswith("argument learning_rate: invalid float value: 'fast' (in ")


def test_result_unpacks_as_a_tuple() -> None:
    parsed = parse_arguments([Small], ["--name", "n"], prog="x", description="")
    assert isinstance(parsed, ParsedArguments)
    assert isinstance(parsed, tuple)
    (small,) = parsed
    assert (small, parsed.recipe) == (Small("n"), "name: n\n")


def test_the_pair_inside_the_package_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, or by default; a folder of that name here comes first, and the recipe keeps the name."""

    @dataclass
    class Named:
        model_name_or_path: str = "mcl-pair"

    @dataclass
    class Asked:
        model_name_or_path: str

    monkeypatch.chdir(tmp_path)
    given = ["--model_name_or_path", "mcl-pair"]
    assert parse(kind=Named).model_name_or_path == str(shipped_pair())
    assert parse(*given, kind=Asked).model_name_or_path == str(shipped_pair())
    assert parse("--model_name_or_path", "another", kind=Named).model_name_or_path == "another"
    recipe = parse_arguments([Asked], given, prog="transformers-mcl x", description="A test.").recipe
    assert yaml.safe_load(recipe) == {"model_name_or_path": "mcl-pair"}
    (tmp_path / "mcl-pair").mkdir()
    assert parse(kind=Named).model_name_or_path == parse(*given, kind=Asked).model_name_or_path == "mcl-pair"
