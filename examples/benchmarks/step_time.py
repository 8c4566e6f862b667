"""Time and memory of a training step: ELECTRA and MCL by this package, and written plainly over transformers' classes.

    python examples/benchmarks/step_time.py --rounds 15 --json small.json

All sides take the same batches of random tokens, without padding, and one optimizer, in turn within each round, so
that whatever else the machine does falls on all of them: times are medians over rounds, and ratios are medians of the
ratios within rounds. A step is corruption, forward, backward, clipping and optimizer. Peak memory is measured in a
process of its own for each side, over what is there between steps (weights, gradients, optimizer). What bounds a step
is told by the floating-point operations of each pass beside its time. See docs/speed.md.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
import transformers
from measure import Arguments, Step, interleaved, operators, random_batch
from memory import PEAK_ENVIRONMENT, peak_over_static
from passes import measure_passes
from plain import PlainElectra, PlainElectraSamplingEverywhere, PlainMcl, PlainMclSamplingEverywhere
from torch import Tensor, nn
from transformers import HfArgumentParser
from transformers.models.electra.modeling_electra import ElectraSelfAttention

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.method.corruptions import operated_count
from transformers_mcl.models.attention import MclSelfAttention
from transformers_mcl.models.dropout import CheapDropout
from transformers_mcl.models.flops import pass_flops
from transformers_mcl.training.precision import device_name


@dataclass
class StepArguments(Arguments):
    """What is measured; the defaults are those of docs/speed.md."""

    preset: str = field(default="small", metadata={"choices": ["tiny", "mini", "small", "base", "large"]})
    sides: list[str] = field(default_factory=list, metadata={"help": "names of the table; all by default"})
    memory: bool = field(default=True, metadata={"help": "measure peak memory as well"})
    passes: bool = field(default=True, metadata={"help": "measure the passes of mcl as well"})
    operators: bool = field(default=False, metadata={"help": "list which of torch's operators take each side's time"})
    peak_memory_of: str | None = field(
        default=None, metadata={"help": "print the peak memory of this side in bytes, and nothing else"}
    )


def plain(model_class: type[PlainElectra]) -> Callable[[MclConfig, Arguments], Step]:
    """Builder of a side over transformers' classes: one backward, as they are used."""

    def build(config: MclConfig, arguments: Arguments) -> Step:
        model = model_class(config).to(arguments.device).train()
        if arguments.compile:
            model.generator.compile()
            model.discriminator.compile()
        return Step(model, [model], arguments)

    return build


def ours(backward_per: str, compiled: bool = False, as_torch: bool = False) -> Callable[[MclConfig, Arguments], Step]:
    """Builder of a side of this package, with a backward per "pass" of a network, per "course", or per "step"; with
    each pass compiled; or with attention and dropout as torch does them on a CPU."""

    def build(config: MclConfig, arguments: Arguments) -> Step:
        model = MclForPreTraining(config).to(arguments.device).train()
        if as_torch:
            undo(model)
        if compiled or arguments.compile:
            model.compile_passes()

        def loss_of(courses: tuple[str, ...] | None, clean: Tensor) -> Tensor:
            backward = torch.Tensor.backward if backward_per == "pass" else None
            return model(clean, courses=courses, backward=backward).loss

        chosen = [(course,) for course in model.active_courses] if backward_per == "course" else [None]
        return Step(model, [partial(loss_of, courses) for courses in chosen], arguments)

    return build


def undo(model: MclForPreTraining) -> None:
    """Takes away what spares a CPU work in attention and dropout."""
    for module in model.modules():
        if isinstance(module, MclSelfAttention):
            module.__class__ = ElectraSelfAttention
        elif isinstance(module, CheapDropout):
            module.__class__ = nn.Dropout


@dataclass
class Side:
    """One line of the table: how its step is built, and with which configuration."""

    build: Callable[[MclConfig, Arguments], Step]
    objective: str
    bias: bool = False
    documents: bool = False
    plain: bool = False


REFERENCE = "our electra"
SIDES = {
    REFERENCE: Side(ours("pass"), "electra"),
    "our electra, relative bias": Side(ours("pass"), "electra", bias=True),
    "our electra, relative bias, as torch": Side(ours("pass", as_torch=True), "electra", bias=True),
    "our electra, relative bias, compiled": Side(ours("pass", compiled=True), "electra", bias=True),
    "plain electra": Side(plain(PlainElectra), "electra", plain=True),
    "plain electra, sampling everywhere": Side(plain(PlainElectraSamplingEverywhere), "electra", plain=True),
    "our mcl": Side(ours("pass"), "mcl"),
    "our mcl, relative bias": Side(ours("pass"), "mcl", bias=True),
    "our mcl, relative bias, as torch": Side(ours("pass", as_torch=True), "mcl", bias=True),
    "our mcl, relative bias, compiled": Side(ours("pass", compiled=True), "mcl", bias=True),
    "our mcl, relative bias, documents apart": Side(ours("pass"), "mcl", bias=True, documents=True),
    "our mcl, documents apart": Side(ours("pass"), "mcl", documents=True),
    "our mcl, backward per course": Side(ours("course"), "mcl"),
    "our mcl, one backward": Side(ours("step"), "mcl"),
    "plain mcl": Side(plain(PlainMcl), "mcl", plain=True),
    "plain mcl, sampling everywhere": Side(plain(PlainMclSamplingEverywhere), "mcl", plain=True),
}


def configuration(side: Side, arguments: StepArguments) -> MclConfig:
    """The preset; without the relative bias, which transformers' ELECTRA lacks, unless the side asks for it."""
    fields = {"vocab_size": arguments.vocab_size, "objective": side.objective, "document_attention": side.documents}
    if not side.bias:
        fields["relative_attention_num_buckets"] = 0
    return getattr(MclConfig, arguments.preset)(**fields)


def built(name: str, arguments: StepArguments) -> Step:
    torch.manual_seed(arguments.seed)
    return SIDES[name].build(configuration(SIDES[name], arguments), arguments)


def gflop(config: MclConfig, arguments: Arguments, plain: bool) -> float:
    """Of one step. The plain sides project every position to the vocabulary."""
    named = pass_flops(config, arguments.batch_size, arguments.max_seq_length)
    passes = list(named.values())
    if plain:
        column = named["mlm"].head / int(operated_count(arguments.max_seq_length, config.mask_ratio))
        passes = [one._replace(head=column * one.length) if one.network == "generator" else one for one in passes]
    return sum(one.total for one in passes) / 1e9


def time_steps(steps: Mapping[str, Step], arguments: Arguments) -> dict[str, list[float]]:
    """Seconds of every side's step in every round."""
    batches = [random_batch(arguments, arguments.seed + n) for n in range(arguments.warmup_rounds + arguments.rounds)]
    work = {name: lambda number, step=step: step(batches[number]) for name, step in steps.items()}
    return interleaved(work, arguments)


def measure_sides(names: Sequence[str], arguments: StepArguments) -> dict[str, dict[str, Any]]:
    """The figures of the first table, and the seconds of every round."""
    # Unnamed: the models are gone when memory is measured.
    seconds = time_steps({name: built(name, arguments) for name in names}, arguments)
    reference = seconds.get(REFERENCE, seconds[names[0]])
    return {name: summary(name, seconds[name], reference, arguments) for name in names}


def summary(name: str, seconds: list[float], reference: list[float], arguments: StepArguments) -> dict[str, Any]:
    side = SIDES[name]
    return {
        **in_short(seconds, reference, arguments),
        "gflop": gflop(configuration(side, arguments), arguments, side.plain),
        "peak": measure_memory(name, arguments) if arguments.memory else None,
        "rounds": seconds,
    }


def in_short(seconds: list[float], reference: list[float], arguments: Arguments) -> dict[str, float]:
    """Of the rounds of a side, and of the side that has the ratio 1."""
    median = statistics.median(seconds)
    return {
        "seconds": median,
        "fastest": min(seconds),
        "slowest": max(seconds),
        "tokens_per_second": arguments.batch_size * arguments.max_seq_length / median,
        "ratio": statistics.median(own / its for own, its in zip(seconds, reference, strict=True)),
    }


def operators_table(title: str, found: Mapping[str, Mapping[str, float]], most: int = 10) -> str:
    """Seconds of each side by operator, those that take most of the first side's, with their share of it."""
    (first, its), *others = found.items()
    rows = []
    for name in sorted(its, key=its.__getitem__, reverse=True)[:most]:
        more = (f"{other.get(name, 0):.3f}" for _, other in others)
        rows.append((f"`{name}`", f"{its[name]:.3f}", f"{its[name] / sum(its.values()):.0%}", *more))
    rows.append(("all", f"{sum(its.values()):.3f}", "100%", *(f"{sum(other.values()):.3f}" for _, other in others)))
    return table((title, f"{first}, s", "share", *(f"{name}, s" for name, _ in others)), rows)


def measure_memory(name: str, arguments: StepArguments) -> float:
    """Peak bytes of a side over its static state, from a process of its own."""
    command = [sys.executable, __file__, "--peak_memory_of", name]
    for key in ("preset", "batch_size", "max_seq_length", "vocab_size", "device", "dtype", "compile", "seed"):
        command += [f"--{key}", str(getattr(arguments, key))]
    environment = {**os.environ, **PEAK_ENVIRONMENT}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return float(done.stdout.split()[-1])


def machine(arguments: Arguments) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "device": device_name(torch.device(arguments.device).type),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def sides_table(figures: dict[str, dict[str, Any]]) -> str:
    header = ("side", "s/step: median [min, max]", "tokens/s", "ratio", "GFLOP/step", "GFLOP/s", "peak MB over static")
    rows = []
    for name, f in figures.items():
        spread = f"{f['seconds']:.3f} [{f['fastest']:.3f}, {f['slowest']:.3f}]"
        cells = (spread, f"{f['tokens_per_second']:.0f}", f"{f['ratio']:.2f}", f"{f['gflop']:.1f}")
        peak = "" if f.get("peak") is None else f"{f['peak'] / 1e6:.0f}"
        rows.append((name, *cells, f"{f['gflop'] / f['seconds']:.0f}", peak))
    return table(header, rows)


def passes_table(figures: dict[str, dict[str, Any]]) -> str:
    header = ("pass of mcl", "network", "tokens a row", "backward", "GFLOP", "s", "GFLOP/s")
    rows = []
    for name, f in figures.items():
        cells = ("", "", "", "", f"{f['seconds']:.4f}", "")
        if "gflop" in f:
            kind = (f["network"], str(f["length"]), "yes" if f["backward"] else "no")
            cells = (*kind, f"{f['gflop']:.1f}", f"{f['seconds']:.4f}", f"{f['gflop'] / f['seconds']:.0f}")
        rows.append((f"`{name}`" if "gflop" in f else name, *cells))
    return table(header, rows)


def main() -> None:
    arguments = HfArgumentParser(StepArguments, description=__doc__).parse_args_into_dataclasses()[0]
    if arguments.peak_memory_of:
        step, clean = built(arguments.peak_memory_of, arguments), random_batch(arguments, arguments.seed)
        print(peak_over_static(lambda: step(clean), arguments.device))
        return
    names = arguments.sides or list(SIDES)
    if unknown := [name for name in names if name not in SIDES]:
        raise SystemExit(f"--sides: unknown {unknown[0]!r}; choose from {', '.join(map(repr, SIDES))}")
    about = machine(arguments)
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    sides = measure_sides(names, arguments)
    print(f"\n{sides_table(sides)}\n", flush=True)
    figures: dict[str, Any] = {"machine": about, "sides": sides}
    if arguments.passes:
        figures["passes"] = measure_passes(built("our mcl", arguments), arguments)
        print(passes_table(figures["passes"]))
    if arguments.operators:
        figures["operators"] = {name: operators(built(name, arguments), arguments) for name in names}
        print(operators_table("operator", figures["operators"], most=20))
    if arguments.json:
        figures["arguments"] = {**asdict(arguments), "json": str(arguments.json)}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
