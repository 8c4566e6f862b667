"""Memory and time to convert a training checkpoint of MCL-base's size, made for this with random weights.

    python examples/benchmarks/convert_memory.py --folder /some/disk/with/4/GB

The file is laid out as the released code writes it: a discriminator of 12 layers, a generator of 4, 64,104 tokens, the
tied embeddings three times, three further detection heads, and Adam's two moments of every parameter. A process of its
own converts it; a thread in it reads every 5 ms what Linux counts as its resident memory. Pages of the mapped file,
which the system takes back when it needs them, are told from the process's own. The peak of both together, VmHWM, is
exact.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

import torch
from memory import resident, watching
from torch import Tensor

from transformers_mcl import convert_fairseq_checkpoint

WIDTH, INNER, HEADS, TOKENS, POSITIONS = 768, 3072, 12, 64104, 1026


def encoder(prefix: str, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes."""
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}.embed_positions.weight": (POSITIONS, WIDTH)}
    shapes |= pair(f"{prefix}.layernorm_embedding", (WIDTH,))
    for layer in range(layers):
        at = f"{prefix}.layers.{layer}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= pair(f"{at}.self_attn.{name}", (WIDTH, WIDTH))
        shapes |= pair(f"{at}.self_attn_layer_norm", (WIDTH,)) | pair(f"{at}.final_layer_norm", (WIDTH,))
        shapes |= pair(f"{at}.fc1", (INNER, WIDTH)) | pair(f"{at}.fc2", (WIDTH, INNER))
    return shapes | {f"{prefix}.relative_position.relative_attention_bias.weight": (32, HEADS)}


def pair(name: str, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def head(name: str) -> dict[str, tuple[int, ...]]:
    return pair(f"{name}.dense", (WIDTH, WIDTH)) | pair(f"{name}.layer_norm", (WIDTH,))


def make_checkpoint(path: Path) -> None:
    """Writes the file."""
    shapes = encoder("discriminator", 12) | encoder("generator", 4) | head("generator_lm_head")
    for name in ("discriminator_lm_head", "head_a", "head_b", "head_c"):
        shapes |= head(name) | pair(name, (2, WIDTH))
    table = torch.randn(TOKENS, WIDTH)
    model: OrderedDict[str, Tensor] = OrderedDict((name, torch.randn(shape)) for name, shape in shapes.items())
    moments = [{"exp_avg": torch.randn_like(t), "exp_avg_sq": torch.rand_like(t)} for t in (table, *model.values())]
    for name in ("discriminator.embed_tokens", "generator.embed_tokens", "generator_lm_head"):
        model[f"{name}.weight"] = table.clone()
    model["generator_lm_head.bias"] = torch.randn(TOKENS)
    torch.save(
        {
            "args": None,
            "cfg": {"model": {"_name": "electra_base", "encoder_attention_heads": HEADS}, "task": {}},
            "model": model,
            "optimizer_history": [{"num_updates": 125000}],
            "last_optimizer_state": {"state": dict(enumerate(moments))},
        },
        path,
    )


def convert(path: Path, output: Path) -> dict[str, float]:
    """Converts, and says what it took; for a process of its own."""
    before = {name: resident(name) for name in ("VmRSS", "RssAnon", "RssFile")}
    with watching("RssAnon", "RssFile") as peak:
        start = time.perf_counter()
        convert_fairseq_checkpoint(path, output)
        seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "extra, own (RssAnon)": peak["RssAnon"] - before["RssAnon"],
        "extra, mapped file (RssFile)": peak["RssFile"] - before["RssFile"],
        "extra, all (VmHWM)": resident("VmHWM") - before["VmRSS"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where to write, 4 GB; by default the system's temporary folder")
    parser.add_argument("--convert", nargs=2, metavar=("FILE", "OUTPUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.convert:
        print(json.dumps(convert(*map(Path, given.convert))))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path, output = Path(folder, "checkpoint_1_125000.pt"), Path(folder, "converted")
        make_checkpoint(path)
        print(f"checkpoint: {path.stat().st_size / 1e9:.2f} GB")
        words = [sys.executable, __file__, "--convert", str(path), str(output)]
        figures = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
        print(f"converted: {sum(file.stat().st_size for file in output.iterdir()) / 1e9:.2f} GB")
        for name, value in figures.items():
            print(f"{name}: {value:.1f} s" if name == "seconds" else f"{name}: {value / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
