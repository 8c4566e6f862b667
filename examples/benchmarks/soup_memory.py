"""Memory and time of averaging checkpoints of MCL-base, by the number of ingredients: `python soup_memory.py`.

The ingredients are pairs of random weights; from the fourth on they are links to the first three, which reading takes
no notice of. Each soup is made in a process of its own. `anonymous` memory is what the process has for itself; `with
mapped files` is the most that it ever had resident, of which pages of files are the system's to take back.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from memory import resident, watching

DISTINCT = 3


def make_ingredients(folder: Path, count: int) -> None:
    """`count` folders, `DISTINCT` files of weights."""
    import torch

    from transformers_mcl import MclConfig, MclForPreTraining

    for number in range(count):
        here = folder / f"ingredient-{number:02}"
        if number < DISTINCT:
            torch.manual_seed(0)
            model = MclForPreTraining(MclConfig.base())
            torch.manual_seed(number)
            for parameter in model.parameters():
                parameter.data.add_(torch.randn_like(parameter), alpha=0.002)
            model.save_pretrained(here)
            continue
        here.mkdir()
        for path in (folder / f"ingredient-{number % DISTINCT:02}").iterdir():
            (here / path.name).hardlink_to(path)


def measure(ingredients: Sequence[str], output_dir: str) -> dict[str, float]:
    """Of one soup: seconds, and memory in MB."""
    from transformers_mcl.soups.methods import make_soup

    before = resident("RssAnon")
    with watching("RssAnon") as most:
        start = time.perf_counter()
        make_soup(ingredients, output_dir)
        seconds = time.perf_counter() - start
    peak = most["RssAnon"]
    # Not getrusage's, which remembers the process that this one was started by.
    whole = resident("VmHWM")
    figures = {"anonymous, over that before": peak - before, "anonymous, in all": peak, "with mapped files": whole}
    return {"seconds": seconds, **{name: size / 1e6 for name, size in figures.items()}}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 14])
    parser.add_argument("--folder", help="where 2 GB are free; removed in the end")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[:-1], args.one[-1])))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        make_ingredients(folder, max(args.counts))
        size = (folder / "ingredient-00" / "model.safetensors").stat().st_size / 1e6
        print(f"MCL-base, {size:,.0f} MB each; {platform.machine()}, Python {platform.python_version()}")
        print(", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "safetensors")))
        for count in args.counts:
            words = [str(folder / f"ingredient-{number:02}") for number in range(count)]
            command = [sys.executable, __file__, "--one", *words, str(folder / f"soup-{count}")]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
            figures = json.loads(run.stdout.splitlines()[-1])
            print(f"{count} ingredients: " + ", ".join(f"{name} {value:,.0f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
