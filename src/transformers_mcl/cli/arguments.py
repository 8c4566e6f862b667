"""Arguments of a command: dataclasses filled from the command line and from a YAML or JSON file.

The types, choices and help come from `transformers.HfArgumentParser`. A file's values are read as the text that
stands there, by the same rules as the command line's, so ``lr: 1e-3``, ``eval_strategy: no`` and ``run_name: 007``
mean what they say (plain YAML 1.1 would make them a string, false and 7).
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml
from huggingface_hub.errors import StrictDataclassError
from transformers import HfArgumentParser
from transformers.hf_argparser import string_to_bool
from transformers.utils import logging

from ..data.shipped import find_pair
from ..errors import UserError
from ..io import YamlLoader, without_secrets

logger = logging.get_logger(__name__)

_UNSET: Any = object()
# Secrets, and what must be said anew each time: a repeated run starts at the beginning, over nothing, and trains.
_NOT_IN_A_RECIPE = ("hub_token", "token", "resume_from_checkpoint", "overwrite_output_dir", "dry_run")

# By what has a strategy, arguments that mean nothing without one.
_IDLE = {
    "save": ("save_total_limit", "save_only_model", "hub_strategy", "push_revisions"),
    "eval": ("load_best_model_at_end", "metric_for_best_model", "eval_delay"),
}


class ParsedArguments(tuple[Any, ...]):
    """The filled dataclasses, in the order of their types.

    Attributes:
        recipe: YAML of every argument that was given and differs from its default, whether it came from the file or
            from the command line: with ``--config`` it gives the same arguments again. Left out are tokens,
            which are secret, also in addresses, `resume_from_checkpoint` and `overwrite_output_dir`.
    """

    recipe: str


def parse_arguments(
    dataclass_types: Sequence[type],
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    underlay: Callable[[Mapping[str, Any], Callable[[Path], dict[str, Any]]], dict[str, Any]] | None = None,
    positional: str | None = None,
) -> ParsedArguments:
    """Fill dataclasses from the command line and, under it, from the file named by ``--config``.

    Args:
        dataclass_types: dataclasses whose fields `HfArgumentParser` understands; no two share a field name.
        argv: the words after the command's name.
        prog: how the command is called, for ``--help``.
        description: one line, for ``--help``.
        underlay: returns values that stand in for the dataclasses' defaults, a preset's say; it gets the arguments
            that were given and a function that reads a file of arguments. Its values are not part of the recipe,
            which then holds every argument that was given: one that equals the default may differ from the preset's.
            With it, ``--help`` shows the values that the other arguments lead to.
        positional: a field of texts that words which stand before, or after the value of, other arguments are for.

    Returns:
        The instances; unpack it as a tuple. A `model_name_or_path` of "mcl-pair", unless there is such a folder here,
        is the pair inside the package.

    Raises:
        UserError: a name that does not exist, a value of the wrong type, a missing argument, a file that cannot be
            read, or arguments that a dataclass refuses.
        SystemExit: after ``--help``.
    """
    parser = _Parser(dataclass_types, prog, description)
    helps = underlay is not None and any(word in ("-h", "--help") for word in argv)
    given = parser.parse_given([word for word in argv if not (helps and word in ("-h", "--help"))], positional)
    path = given.pop("config", None)
    values = {**(parser.convert_file(Path(path)) if path is not None else {}), **given}
    under = underlay(values, parser.convert_file) if underlay else {}
    filled = {**under, **_switched_on(values, {**parser.defaults, **under}), **values}
    if underlay:
        _refuse_idle(values, filled)
    if helps:  # with the values that these arguments have
        parser.set_defaults(**{name: value for name, value in filled.items() if not name.endswith("token")})
        parser.parse_args(["--help"])
    missing = [f"--{name}" for name, default in parser.defaults.items() if default is MISSING and name not in filled]
    if missing:
        raise UserError(f"missing {', '.join(missing)}: give it on the command line or in a --config file")
    named = filled.get("model_name_or_path", parser.defaults.get("model_name_or_path"))
    if isinstance(named, str):
        filled["model_name_or_path"] = find_pair(named)
    with as_user_error():
        parsed = ParsedArguments(
            kind(**{field.name: filled[field.name] for field in fields(kind) if field.name in filled})
            for kind in dataclass_types
        )
    kept = {
        name: values[name]
        for name, default in parser.defaults.items()
        if name in values and name not in _NOT_IN_A_RECIPE and (underlay or values[name] != default)
    }
    written = yaml.safe_dump(json.loads(json.dumps(kept, default=str)), sort_keys=False, allow_unicode=True)
    parsed.recipe = without_secrets(written)
    return parsed


def _switched_on(given: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What arguments of `TrainingArguments` that were given need to mean something, where nothing else was given.

    Args:
        others: the values of those that were not given.
    """
    needed: dict[str, Any] = {
        f"{what}_strategy": "steps" for what in ("logging", "eval", "save") if given.get(f"{what}_steps") is not None
    }
    now = {**others, **needed, **given}
    saves = "save_strategy" in given or "save_steps" in given
    if given.get("load_best_model_at_end") and not saves and now["eval_strategy"] != "no":  # what is judged is saved
        needed |= {"save_strategy": now["eval_strategy"], "save_steps": now["eval_steps"] or now["save_steps"]}
    return needed


def _refuse_idle(given: Mapping[str, Any], filled: Mapping[str, Any]) -> None:
    """Refuses what was given and would do nothing by what a preset says."""
    for what, names in _IDLE.items():
        idle = next((name for name in names if given.get(name) not in (None, False)), None)
        if idle and filled.get(f"{what}_strategy") == "no" and f"{what}_strategy" not in given:
            raise UserError(
                f"{idle}={given[idle]} does nothing where {what}_strategy is no: give --{what}_steps as well"
            )


def given_value(name: str, argv: Sequence[str]) -> str | None:
    """The value of an argument that says which other arguments there are; None if it is not given as one word.

    Args:
        name: of the argument.
        argv: as for `parse_arguments`, which also says what is wrong with them.
    """
    words = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for known in (name, "config"):
        words.add_argument(f"--{known}", nargs="?")
    given = vars(words.parse_known_args(list(argv))[0])
    value = given[name] or (_read(Path(given["config"])).get(name) if given["config"] else None)
    return value if isinstance(value, str) else None


@contextmanager
def as_user_error() -> Iterator[None]:
    """Turn what a library raises about arguments it refuses into a `UserError` of one line.

    For building configurations and `TrainingArguments` only: round longer work it would hide bugs.
    """
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError, ImportError, OSError, StrictDataclassError) as error:
        raise UserError(textwrap.shorten(str(error), 400, placeholder=" ...")) from error


class _Parser(HfArgumentParser):
    """`HfArgumentParser` whose errors are `UserError`, with ``--config``, JSON mappings and exact names only."""

    def __init__(self, dataclass_types: Sequence[Any], prog: str, description: str) -> None:
        usage = f"{prog} [--config FILE] [--argument value ...]"
        super().__init__(dataclass_types, prog=prog, description=description, usage=usage, allow_abbrev=False)
        self.add_argument("--config", metavar="FILE", help="YAML or JSON file of arguments; the command line wins")
        self.defaults: dict[str, Any] = {}
        self.kinds: dict[str, set[Any]] = {}
        for dataclass_type in dataclass_types:
            hints = get_type_hints(dataclass_type)
            for field in fields(dataclass_type):
                if field.init:
                    self._prepare(field, _kinds(hints[field.name]))

    def _prepare(self, field: Field[Any], kinds: set[Any]) -> None:
        default = field.default if field.default_factory is MISSING else field.default_factory()
        self.defaults[field.name] = default
        self.kinds[field.name] = kinds | {NoneType} if default is None else kinds
        action = self._option_string_actions[f"--{field.name}"]
        if dict in kinds:
            action.type = _mapping_or_text if str in kinds else _mapping
        elif {bool, str} <= kinds:  # upstream takes `bool | str` for bool
            action.type = _bool_or_text
        if default is MISSING:  # it may stand in the file
            action.required, action.default = False, argparse.SUPPRESS
            action.help = f"{action.help or ''} (required)"

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (on the command line)")

    def parse_given(self, argv: Sequence[str], positional: str | None = None) -> dict[str, Any]:
        """Arguments that stand on the command line, and no others."""
        self._warn_of_lists(argv)
        unset = argparse.Namespace(**dict.fromkeys([*self.defaults, "config"], _UNSET))  # keeps the defaults out
        namespace, rest = self.parse_known_args(list(argv), unset)
        for word in rest:
            if word.startswith("-"):
                self._unknown(word.split("=")[0], "on the command line")
        given = {name: value for name, value in vars(namespace).items() if value is not _UNSET}
        if rest and positional is not None and positional not in given:
            given[positional] = rest
        elif rest:
            raise UserError(f"stray {rest[0]!r} on the command line: every value follows its --argument")
        return given

    def _warn_of_lists(self, argv: Sequence[str]) -> None:
        """Of an argument that is given twice the last one counts, which is no way to give two values of a list."""
        given = [self._option_string_actions.get(word.split("=")[0]) for word in argv]
        for action in dict.fromkeys(action for action in given if action is not None and action.nargs == "+"):
            if given.count(action) > 1:
                logger.warning(f"--{action.dest} stands twice, and the last one counts: give all values after one")

    def _unknown(self, name: str, where: str) -> NoReturn:
        near = get_close_matches(name.strip("-"), self.defaults, n=1)
        dashes = "--" if name.startswith("-") else ""
        raise UserError(f"unknown argument {name} {where}" + (f"; did you mean {dashes}{near[0]}?" if near else ""))

    def convert_file(self, path: Path) -> dict[str, Any]:
        """Arguments that stand in a file, each of its field's type."""
        values = _read(path)
        for name in values:
            if name not in self.defaults:
                self._unknown(name, f"in {path}")
        return {name: self._convert(name, value, path) for name, value in values.items()}

    def _convert(self, name: str, value: Any, path: Path) -> Any:
        action, kinds = self._option_string_actions[f"--{name}"], self.kinds[name]
        if (value is None and NoneType in kinds) or (isinstance(value, dict) and dict in kinds):
            return value
        items = value if isinstance(value, list) and list in kinds else [value]
        if not all(isinstance(item, str) for item in items):
            wanted = "a list of values" if list in kinds else "one value"
            raise UserError(f"argument {name}: expected {wanted}, got {value!r} (in {path})")
        if items is value and action.nargs is None:  # `str | list[str]`: the command line takes the str only
            return value
        try:
            return self._get_values(action, items)
        except argparse.ArgumentError as error:
            raise UserError(f"argument {name}: {error.message} (in {path})") from error


def _kinds(hint: Any) -> set[Any]:
    """The members of a union, or the one type, without type parameters: ``list[str] | None`` is {list, NoneType}."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return {get_origin(member) or member for member in members}


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON mapping such as '{{\"key\": 1}}', got {text!r}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise argparse.ArgumentTypeError(f"{twice!r} stands twice")
    return value


def _mapping_or_text(text: str) -> dict[str, Any] | str:
    return _mapping(text) if text.lstrip().startswith("{") else text


def _bool_or_text(text: str) -> bool | str:
    try:
        return string_to_bool(text)
    except argparse.ArgumentTypeError:
        return text


class _Loader(YamlLoader):
    """YAML whose keys stand once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return node

    def as_written(self, node: yaml.Node) -> Any:
        """Text for a scalar, None for null; only inside a mapping are numbers numbers."""
        if isinstance(node, yaml.SequenceNode):
            return [self.as_written(item) for item in node.value]
        if isinstance(node, yaml.MappingNode) or node.tag == "tag:yaml.org,2002:null":
            return self.construct_object(node, deep=True)
        return node.value


def _read(path: Path) -> dict[str, Any]:
    """The mapping that a file holds; JSON is YAML, but for tabs between its words."""
    try:
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text.replace("\t", " ") if path.suffix.lower() == ".json" else text)
        root = loader.get_single_node()
        if isinstance(root, yaml.MappingNode):
            return {str(key.value): loader.as_written(value) for key, value in root.value}
        problem = " must hold a mapping of argument names to values"
    except OSError as error:
        problem = f": {error.strerror}"
    except RecursionError:
        problem = " is nested too deeply"
    except UnicodeDecodeError as error:
        problem = f" is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = f"{line}: {error.problem}"
    except yaml.reader.ReaderError as error:
        problem = f": character {error.character:#x} at position {error.position} is not allowed"
    raise UserError(f"--config {path}{problem}")
