"""Time of a step of replaced token detection for encoders of any family, by this package and written plainly.

    python examples/benchmarks/families.py --rounds 15 --json families.json

Every family has the same shape, that of ELECTRA-small's discriminator by default, with a generator of a third of the
layers and shared token embeddings. The plain loop takes transformers' two classes of the family as they are
(`plain.py`). The sides of a family take the same batches, in turn within each round as in `step_time.py`, and one
family follows the other. Where the plain loop takes less than `--profile_below` times the time of ours, the operators
that take the time of both are listed. See docs/speed.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from measure import Arguments, Step, operators
from plain import PlainFamily
from step_time import gflop, in_short, machine, operators_table, ours, plain, sides_table, time_steps
from transformers import AutoConfig, HfArgumentParser

from transformers_mcl import MclConfig
from transformers_mcl.models.backbones import sibling

# What its shape does not say of a family, as it is usually pre-trained.
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"type_vocab_size": 1, "max_position_embeddings": 514},  # two of them are not positions
    "modernbert": {},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 256,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    },  # DeBERTaV3's
    "distilbert": {},
    "electra": {},
}
OURS, PLAIN = "ours", "plain"
SIDES: dict[str, tuple[Callable[[MclConfig, Arguments], Step], str]] = {
    OURS: (ours("pass"), "electra"),
    PLAIN: (plain(PlainFamily), "electra"),
    "ours, mcl": (ours("pass"), "mcl"),
}


@dataclass
class FamilyArguments(Arguments):
    """What is measured; the defaults are those of docs/speed.md."""

    families: list[str] = field(default_factory=list, metadata={"help": "model types of the table; all by default"})
    sides: list[str] = field(default_factory=list, metadata={"help": f"other than {OURS!r}; all by default"})
    num_hidden_layers: int = 12
    generator_num_hidden_layers: int | None = field(default=None, metadata={"help": "a third by default"})
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    profile_below: float = field(default=1.5, metadata={"help": "0: never"})


def configuration(family: str, objective: str, arguments: FamilyArguments) -> MclConfig:
    """Of a pair of the family. The detection head is the plain loop's."""
    names = ("vocab_size", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    shape = {name: getattr(arguments, name) for name in names}
    shape |= {
        "embedding_size": arguments.hidden_size,
        "hidden_dim": arguments.intermediate_size,
    }  # ELECTRA, DistilBERT
    ids = {f"{name}_token_id": getattr(MclConfig(), f"{name}_token_id") for name in ("pad", "cls", "sep")}
    ids |= {"bos_token_id": ids["cls_token_id"], "eos_token_id": ids["sep_token_id"]}
    backbone = AutoConfig.for_model(family, **shape, **ids, **FAMILIES[family])
    return MclConfig(
        backbone_config=backbone,
        generator_backbone_config=sibling(backbone, arguments.generator_num_hidden_layers),
        objective=objective,
        detection_head_type="linear",
    )


def measure_family(family: str, names: list[str], arguments: FamilyArguments) -> dict[str, dict[str, Any]]:
    """The figures of every side, and its operators if they are wanted."""
    configs = {name: configuration(family, SIDES[name][1], arguments) for name in names}
    steps = {}
    for name, config in configs.items():
        torch.manual_seed(arguments.seed)
        steps[name] = SIDES[name][0](config, arguments)
    seconds = time_steps(steps, arguments)
    figures: dict[str, dict[str, Any]] = {
        name: {
            **in_short(rounds, seconds[OURS], arguments),
            "gflop": gflop(configs[name], arguments, plain=name == PLAIN),
            "rounds": rounds,
        }
        for name, rounds in seconds.items()
    }
    if PLAIN in figures and figures[PLAIN]["ratio"] < arguments.profile_below:
        for name in (OURS, PLAIN):
            figures[name]["operators"] = operators(steps[name], arguments)
    return figures


def main() -> None:
    arguments = HfArgumentParser(FamilyArguments, description=__doc__).parse_args_into_dataclasses()[0]
    families = arguments.families or list(FAMILIES)
    names = [OURS, *(name for name in arguments.sides or SIDES if name != OURS)]
    for flag, given, known in (("families", families, FAMILIES), ("sides", names, SIDES)):
        if unknown := [name for name in given if name not in known]:
            raise SystemExit(f"--{flag}: unknown {unknown[0]!r}; choose from {', '.join(map(repr, known))}")
    about = machine(arguments)
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    measured = {}
    for family in families:
        figures = measured[family] = measure_family(family, names, arguments)
        print(f"\n{sides_table({f'{family}, {name}': its for name, its in figures.items()})}", flush=True)
        if "operators" in figures[OURS]:
            found = {"ours": figures[OURS]["operators"], "plain": figures[PLAIN]["operators"]}
            print(f"\n{operators_table(f'operator in {family}', found)}", flush=True)
    if arguments.json:
        settings = {**asdict(arguments), "json": str(arguments.json)}
        arguments.json.write_text(
            json.dumps({"machine": about, "arguments": settings, "families": measured}, indent=1) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
