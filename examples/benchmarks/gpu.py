"""What a GPU makes of a training step: tokens a second, MFU and peak memory, compiled and not, of every kind of pair.

    python examples/benchmarks/gpu.py --json gpu.json

Takes the presets, then pairs of other families in their shape (`families.py`), in 16 bits. Each is measured with a
backward after each pass, as `MclTrainer` does it, and with each pass compiled, as its `torch_compile` is, in turn
within each round: times are medians over rounds. Each takes as many rows as fit, up to `--tokens`. Lines are printed,
and written to `--json`, as soon as they are known. When `--minutes` are nearly over, compiling is left out first; what
was left out is said. Where the goal of docs/gpu.md is missed, what takes the time is listed; with `--profile` of every
line. `--device cpu --preset tiny` tries all of it out.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from families import FAMILIES, FamilyArguments, configuration
from measure import Arguments, Step, interleaved, operators, random_batch
from memory import peak_over_static
from step_time import machine, ours, table
from transformers import HfArgumentParser

from transformers_mcl import MclConfig
from transformers_mcl.models.flops import known_peak_flops, step_flops
from transformers_mcl.training.precision import multiplies_bf16

HEADER = ("pair", "length", "objective", "compiled", "rows")
HEADER += ("tokens/s", "s/step: median [min, max]", "TFLOP/s", "MFU", "peak GB")
PRESETS = ("base", "small", "mini", "tiny", "large")


@dataclass
class GpuArguments:
    """What is measured; the defaults are those of docs/gpu.md."""

    preset: list[str] = field(default_factory=lambda: ["base", "small"], metadata={"help": f"of {', '.join(PRESETS)}"})
    max_seq_length: list[int] = field(default_factory=lambda: [512, 128], metadata={"help": "families take the first"})
    objective: list[str] = field(default_factory=lambda: ["electra", "mcl"])
    families: list[str] = field(default_factory=lambda: list(FAMILIES), metadata={"help": "none: of presets alone"})
    compile: bool = field(default=True, metadata={"help": "measure compiled steps as well"})
    backend: str = field(default="inductor", metadata={"help": "of torch.compile"})
    minutes: float = field(default=10.0, metadata={"help": "for all of it"})
    tokens: int = field(default=65536, metadata={"help": "most tokens of a batch; a CPU takes 64"})
    rounds: int = 5
    warmup_rounds: int = 1
    vocab_size: int = 30522
    device: str = "cuda"
    dtype: str | None = field(
        default=None, metadata={"choices": ["bfloat16", "float16", "float32"], "help": "the device's by default"}
    )
    peak_flops: float | None = field(default=None, metadata={"help": "of the device, if it is not known"})
    profile: bool = field(default=False, metadata={"help": "list the operators that take the time of every line"})
    profile_below: float = field(
        default=0.45,
        metadata={"help": "without --profile: of the first preset at the first length, if its MFU is below"},
    )
    seed: int = 0
    json: Path | None = field(default=None, metadata={"help": "also write all figures to this file"})


@dataclass(frozen=True)
class Cell:
    """A pair, and how it is trained."""

    pair: str
    length: int
    objective: str
    config: MclConfig = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.pair}, length {self.length}, {self.objective}"


def cells(arguments: GpuArguments) -> list[Cell]:
    """What matters most comes first."""
    found = []
    for preset, length, objective in product(arguments.preset, arguments.max_seq_length, arguments.objective):
        config = getattr(MclConfig, preset)(vocab_size=arguments.vocab_size, objective=objective)
        found.append(Cell(preset, length, objective, config))
    names, length = [name for name in arguments.families if name != "none"], arguments.max_seq_length[0]
    for objective, preset, family in product(arguments.objective, arguments.preset, names):
        config = configuration(family, objective, family_shape(preset, arguments.vocab_size))
        found.append(Cell(f"{family}, {preset}", length, objective, config))
    return found


def family_shape(preset: str, vocab_size: int) -> FamilyArguments:
    """That of a preset's discriminator."""
    config = getattr(MclConfig, preset)()
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    return FamilyArguments(vocab_size=vocab_size, **{name: getattr(config, name) for name in names})


class Side:
    """One line of the table: a step that is ready to be measured, all that is done but once behind it."""

    def __init__(self, cell: Cell, compiled: bool, given: GpuArguments):
        self.cell, self.compiled = cell, compiled
        self.on_gpu = is_gpu(given.device)
        shared = {name: getattr(given, name) for name in ("vocab_size", "rounds", "warmup_rounds", "device", "seed")}
        self.arguments = Arguments(max_seq_length=cell.length, dtype=given.dtype or "float32", **shared)
        before = torch.cuda.memory_allocated(given.device) if self.on_gpu else 0
        torch.manual_seed(given.seed)
        self.step: Step = ours("pass")(cell.config, self.arguments)
        self.arguments.batch_size = self.step.arguments.batch_size = self.rows(given.tokens)
        if compiled:
            self.step.model.compile_passes(given.backend)
        start = time.perf_counter()
        self.step(random_batch(self.arguments, given.seed))
        self.first_step = time.perf_counter() - start
        self.peak = None
        if self.on_gpu:
            self.peak = torch.cuda.memory_allocated(given.device) - before + self.peak_of(self.arguments.batch_size)

    def peak_of(self, rows: int) -> float:
        """Bytes over what is there between steps."""
        clean = random_batch(replace(self.arguments, batch_size=rows), 0)
        return peak_over_static(lambda: self.step(clean), self.arguments.device, steps=1)

    def rows(self, tokens: int) -> int:
        if not self.on_gpu:
            return max(min(tokens, 64) // self.cell.length, 1)
        peaks = {rows: self.peak_of(rows) for rows in (2, 4)}
        torch.cuda.empty_cache()
        return fitting_rows(peaks, torch.cuda.mem_get_info(self.arguments.device)[0], tokens // self.cell.length)

    def figures(self, seconds: Sequence[float], peak_flops: float | None) -> dict[str, Any]:
        """From the seconds of every round."""
        rows, length, median = self.arguments.batch_size, self.cell.length, statistics.median(seconds)
        flops = step_flops(self.cell.config, rows, length) / median
        return {
            **{name: getattr(self.cell, name) for name in ("pair", "length", "objective")},
            "compiled": self.compiled,
            "rows": rows,
            "tokens_per_second": rows * length / median,
            "seconds": median,
            "flops_per_second": flops,
            "mfu": flops / peak_flops if peak_flops else None,
            "peak": self.peak,
            "first_step": self.first_step,
            "rounds": list(seconds),
        }


def fitting_rows(peaks: Mapping[int, float], free: float, most: int) -> int:
    """The greatest power of two of rows, up to `most`, that takes four fifths of the `free` bytes.

    Args:
        peaks: the bytes that two numbers of rows took; what more rows take grows in proportion.
    """
    (few, less), (many, more) = sorted(peaks.items())
    of_a_row = max((more - less) / (many - few), 1.0)
    room = int(few + (0.8 * free - less) / of_a_row)
    return 2 ** max(min(room, most).bit_length() - 1, 0)


class Clock:
    """How much of the time is left, and how long making a line took at most."""

    def __init__(self, minutes: float):
        self.end, self.longest = time.perf_counter() + 60 * minutes, {True: 0.0, False: 0.0}

    def allows(self, *, compiled: bool, others: int) -> bool:
        """Whether there is time for it, and for `others` that are not compiled."""
        needed = self.longest[compiled] + others * self.longest[False]
        return time.perf_counter() + needed < self.end

    @contextmanager
    def takes(self, *, compiled: bool) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.longest[compiled] = max(self.longest[compiled], time.perf_counter() - start)


def measure(given: GpuArguments, left_out: list[str]) -> Iterator[dict[str, Any]]:
    """Lines of the table as they are known; adds to `left_out` what is not measured, and why."""
    clock, todo = Clock(given.minutes), cells(given)
    peak_flops = given.peak_flops or known_peak_flops(str(machine(Arguments(device=given.device))["device"]))
    for number, cell in enumerate(todo):
        yield from lines_of(sides_of(cell, clock, len(todo) - number - 1, given, left_out), peak_flops, given)
        clean_up(given.device)


def sides_of(cell: Cell, clock: Clock, others: int, given: GpuArguments, left_out: list[str]) -> list[Side]:
    """Those that there is time for, with `others` to come."""
    sides = []
    for compiled in (False, True) if given.compile else (False,):
        name = f"{cell}{', compiled' if compiled else ''}"
        if not clock.allows(compiled=compiled, others=others if compiled else 0):
            left_out.append(f"{name}: no time left, see --minutes")
            continue
        try:
            with clock.takes(compiled=compiled):
                sides.append(Side(cell, compiled, given))
        except RuntimeError as error:  # out of memory, or what this version of torch cannot compile
            left_out.append(f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
            clean_up(given.device)
    return sides


def lines_of(sides: list[Side], peak_flops: float | None, given: GpuArguments) -> list[dict[str, Any]]:
    lines = []
    for side, seconds in in_turn(sides):
        figures = side.figures(seconds, peak_flops)
        if given.profile or is_goal(side.cell, given) and (figures["mfu"] or 1.0) < given.profile_below:
            figures["operators"] = operators(side.step, side.arguments)
        lines.append(figures)
    return lines


def is_goal(cell: Cell, given: GpuArguments) -> bool:
    """Whether the goal of docs/gpu.md is for it: by default base at length 512."""
    return cell.pair == given.preset[0] and cell.length == given.max_seq_length[0]


def is_gpu(device: str) -> bool:
    return torch.device(device).type == "cuda"


def clean_up(device: str) -> None:
    """Gives the memory back that the last pair had."""
    torch.compiler.reset()
    gc.collect()
    if is_gpu(device):
        torch.cuda.empty_cache()


def in_turn(sides: Sequence[Side]) -> list[tuple[Side, list[float]]]:
    """Seconds of every side in every round."""
    if not sides:
        return []
    shared, work = sides[0].arguments, {}
    for number, side in enumerate(sides):
        batches = [random_batch(side.arguments, n) for n in range(shared.warmup_rounds + shared.rounds)]
        work[str(number)] = lambda n, side=side, batches=batches: side.step(batches[n])
    return list(zip(sides, interleaved(work, shared).values(), strict=True))


def line(figures: Mapping[str, Any]) -> str:
    """Of the table."""
    cells = [str(figures[name]) for name in ("pair", "length", "objective")]
    cells += ["yes" if figures["compiled"] else "no", str(figures["rows"]), f"{figures['tokens_per_second']:,.0f}"]
    rounds = figures["rounds"]
    cells += [f"{figures['seconds']:.4f} [{min(rounds):.4f}, {max(rounds):.4f}]"]
    cells += [f"{figures['flops_per_second'] / 1e12:.3g}"]
    cells += ["" if figures["mfu"] is None else f"{figures['mfu']:.1%}"]
    cells += ["" if figures["peak"] is None else f"{figures['peak'] / 1e9:.2f}"]
    return table(HEADER, [cells]).splitlines()[-1]


def profile_table(figures: Mapping[str, Any], most: int = 15) -> str:
    """The operators of one line that take most of the time, and how much of the step the device has work."""
    found = figures["operators"]
    busy = sum(found.values())
    rows = [
        (f"`{name[:80]}`", f"{found[name]:.4f}", f"{found[name] / busy:.0%}")
        for name in sorted(found, key=found.__getitem__, reverse=True)[:most]
    ]
    compiled = ", compiled" if figures["compiled"] else ""
    title = f"{figures['pair']}, length {figures['length']}, {figures['objective']}{compiled}"
    rows.append(("all, and as a share of the step", f"{busy:.4f}", f"{busy / figures['seconds']:.0%}"))
    return table((title, "s/step", "share"), rows)


def check(given: GpuArguments) -> None:
    """Before anything long: what is not known, or not there."""
    known = {"preset": PRESETS, "objective": ("electra", "mcl"), "families": ("none", *FAMILIES)}
    for flag, names in known.items():
        if unknown := [name for name in getattr(given, flag) if name not in names]:
            raise SystemExit(f"--{flag}: unknown {unknown[0]!r}; choose from {', '.join(names)}")
    if is_gpu(given.device) and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here: --device cpu --preset tiny tries the script out")


def main() -> None:
    given = HfArgumentParser(GpuArguments, description=__doc__).parse_args_into_dataclasses()[0]
    check(given)
    if given.dtype is None:
        on_gpu = is_gpu(given.device)
        given.dtype = ("bfloat16" if multiplies_bf16("cuda")[0] else "float16") if on_gpu else "float32"
    torch.set_float32_matmul_precision("high")  # TF32 for what stays float32, as the Trainer has it
    about = machine(Arguments(device=given.device))
    print(", ".join(f"{key} {value}" for key, value in about.items()), given.dtype, sep=", ")
    print(f"\n{table(HEADER, [])}", flush=True)
    lines: list[dict[str, Any]] = []
    left_out: list[str] = []
    for figures in measure(given, left_out):
        print(line(figures), flush=True)
        lines.append(figures)
        if given.json:
            settings = {**asdict(given), "json": str(given.json)}
            whole = {"machine": about, "arguments": settings, "lines": lines, "left_out": left_out}
            given.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    for figures in lines:
        if "operators" in figures:
            print(f"\n{profile_table(figures)}")
    if left_out:
        print("\nLeft out:\n" + "\n".join(f"- {one}" for one in left_out))


if __name__ == "__main__":
    main()
