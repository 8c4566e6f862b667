"""Whether the courses teach encoders of several families: one short run each, on the same text, tokens and seed.

    python examples/encoders/run.py --train_file corpus.txt --validation_file heldout.txt --tokenizer_name my-tokenizer

Each run is a `transformers-mcl pretrain` of a tiny shape, 4 layers of 128, into a folder of its own under
`--output_dir`; one that is there is not run again. The figures go to `results.json` beside this script, a table of
them to the terminal. See docs/pretraining.md, *Any encoder*.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser

from transformers_mcl.io import markdown_table, versions

SHAPE = "hidden_size=128,num_hidden_layers=4,num_attention_heads=4"
NO_DROPOUT = "hidden_dropout_prob=0,attention_probs_dropout_prob=0"
DEBERTA_V3 = "relative_attention=true,position_buckets=32,norm_rel_ebd=layer_norm,share_att_key=true"
DEBERTA_V3 += ",pos_att_type=p2c|c2p,position_biased_input=false,type_vocab_size=0"
SHAPES = {
    "bert": f"{SHAPE},{NO_DROPOUT},intermediate_size=512",
    "modernbert": f"{SHAPE},intermediate_size=341,local_attention=32",  # gated: as many weights with two thirds
    "deberta-v2": f"{SHAPE},{NO_DROPOUT},intermediate_size=512,{DEBERTA_V3}",
}
# Each row takes one course, and nothing is corrected: a fifth of the compute, and all three courses are learnt.
CORRECTIONS = ("re_mlm", "re_slm", "re_rtd", "re_std")
FIGURES = {
    "loss of the generator": "rtd_masked_lm_loss",
    **{f"AUC {c}": f"{c.lower()}_disc_auc" for c in ("RTD", "STD", "ITD")},
}


@dataclass
class Arguments:
    """What to train on; the rest is the same for all."""

    train_file: list[str]
    validation_file: list[str]
    tokenizer_name: str
    output_dir: str = "encoders"
    families: list[str] = field(default_factory=lambda: list(SHAPES))
    max_steps: int = 400
    learning_rate: float = 1e-3
    seed: int = 42
    bf16: bool = field(default=False, metadata={"help": "Much slower on a CPU without units for it."})


def command(family: str, args: Arguments, folder: Path) -> list[str]:
    """The pre-training of one family."""
    return [
        *(sys.executable, "-m", "transformers_mcl.cli", "pretrain", "--backbone", family),
        *("--config_overrides", f"{SHAPES[family]},course_schedule=sampled", "--preset", "tiny"),
        *("--objective", "mcl", "--loss_weights", json.dumps(dict.fromkeys(CORRECTIONS, 0))),
        *("--train_file", *args.train_file, "--validation_file", *args.validation_file),
        *("--tokenizer_name", args.tokenizer_name, "--max_seq_length", "64", "--max_eval_samples", "500"),
        *("--per_device_train_batch_size", "64", "--max_steps", str(args.max_steps)),
        *("--warmup_steps", "0.1", "--course_warmup_steps", "0"),
        *("--learning_rate", str(args.learning_rate), "--seed", str(args.seed), "--eval_strategy", "no"),
        *("--logging_steps", "50", "--use_cpu", str(not torch.cuda.is_available()), "--bf16", str(args.bf16)),
        *("--output_dir", str(folder), "--overwrite_output_dir"),
    ]


def result(folder: Path) -> dict[str, Any]:
    """What a run left: its last figures on the held-out text, and what it took."""
    evaluation = json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    train = json.loads((folder / "train_results.json").read_text(encoding="utf-8"))
    kept = {name: evaluation[f"eval_{name}"] for name in FIGURES.values()}
    return {
        **kept,
        "unigram_entropy": evaluation["unigram_entropy"],
        "tokens": state["num_input_tokens_seen"],
        "seconds": train["train_runtime"],
    }


def main() -> None:
    """Runs what is missing, and shows all."""
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()  # type: ignore[arg-type]
    results = {}
    for family in args.families:
        folder = Path(args.output_dir) / family
        if not (folder / "eval_results.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "log.txt", "w", encoding="utf-8") as log:
                subprocess.run(command(family, args, folder), check=True, stdout=log, stderr=subprocess.STDOUT)
        results[f"{family}, {args.learning_rate:g}"] = result(folder)
    made = {
        "steps": args.max_steps,
        "seed": args.seed,
        "bf16": args.bf16,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": versions("torch", "transformers"),
    }
    file = Path(__file__).with_name("results.json")
    if file.is_file():  # of other rates
        results = json.loads(file.read_text(encoding="utf-8"))["results"] | results
    file.write_text(json.dumps({"made with": made, "results": results}, indent=2) + "\n", encoding="utf-8")
    rows = [[name, *(f"{found[figure]:.3f}" for figure in FIGURES.values())] for name, found in results.items()]
    print(markdown_table(["encoder, learning rate", *FIGURES], rows))


if __name__ == "__main__":
    main()
