"""Pushes a pair from a trainer, a model and the command line to the Hub of HF_ENDPOINT, and opens what arrived.

Run as a program, since the client reads where the Hub is when it is imported: `pushes.py FOLDER`.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, create_repo
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer

from transformers_mcl import MclDiscriminator, MclForPreTraining, MclForSequenceClassification, UserError
from transformers_mcl.cli.main import main
from transformers_mcl.hub.push import push_folder


def run(folder: Path) -> None:
    text = folder / "text.txt"
    text.write_text("\n".join(f"the chef number {n} cooked a meal for guest {n * 7 % 100} .\n" for n in range(400)))
    words = f"--train_file {text} --tokenizer_name {folder / 'tokenizer'} --preset tiny --max_steps 2 --use_cpu"
    words += f" --output_dir {folder / 'pair'} --max_seq_length 32 --save_steps 1 --eval_steps 1"
    words += " --load_best_model_at_end true --report_to tensorboard --hub_token hf_not-to-be-written"
    words += " --per_device_train_batch_size 2 --config_overrides num_hidden_layers=1,generator_num_hidden_layers=1"
    told = "--language en de --license mit".split()
    told += ["--push_to_hub", "--hub_model_id", "ada/trained", "--push_revisions"]
    assert main(["pretrain", *words.split(), *told]) == 0
    words = words.replace(str(folder / "pair"), str(folder / "refused"))
    with redirect_stderr(StringIO()) as said:
        assert main(["pretrain", *words.split(), "--push_to_hub", "--hub_model_id", "ada/forbidden"]) == 2
    line = said.getvalue().splitlines()[-1]
    assert re.search(r"error: push_to_hub='ada/forbidden': http://\S+ refused: .*rights", line), line
    assert not (folder / "refused").exists(), "before any work"

    pair: Any = MclForPreTraining.from_pretrained("ada/trained")
    url = pair.push_to_hub("ada/by-model", tags=["chefs"])
    assert url, "as transformers' own"
    again = AutoModelForPreTraining.from_pretrained("ada/by-model")
    assert all(a.equal(b) for a, b in zip(pair.state_dict().values(), again.state_dict().values(), strict=True))

    words = f"--model_name_or_path ada/trained --half generator --output_dir {folder / 'generator'}"
    assert main(["export", *words.split(), "--push_to_hub", "ada/generator"]) == 0
    words = f"--model_name_or_path ada/trained --format remote-code --output_dir {folder / 'remote'}"
    assert main(["export", *words.split(), "--push_to_hub", "ada/remote"]) == 0
    task: Any = MclForSequenceClassification.from_pretrained("ada/trained")
    task.push_to_hub("ada/new-head")
    create_repo("ada/kept")
    ModelCard("---\nlicense: mit\n---\n\n# By hand\n").push_to_hub("ada/kept")
    half: Any = MclDiscriminator.from_pretrained("ada/trained")
    half.push_to_hub("ada/kept")
    half.push_to_hub("ada/half")
    for name in ("trained", "by-model", "generator", "remote"):  # of 128 positions, whatever it was made with
        assert AutoTokenizer.from_pretrained(f"ada/{name}").model_max_length == 128, name
    for name in ("trained", "by-model", "generator", "remote", "new-head", "kept", "half"):
        ModelCard.load(f"ada/{name}").validate()
    ids = AutoTokenizer.from_pretrained("ada/generator")("the chef cooked", return_tensors="pt")["input_ids"]
    generator: Any = AutoModelForMaskedLM.from_pretrained("ada/generator")
    with torch.no_grad():
        assert generator(ids).logits.equal(pair.generator(ids).logits)
    push_pair_of_another_family(folder)
    (folder / "generator" / "optimizer.pt").touch()
    push_folder(folder / "generator", "ada/generator")
    try:
        push_folder(folder / "generator", "ada/forbidden")
    except UserError as error:
        assert re.match(r"push_to_hub='ada/forbidden': http://\S+ refused: .*rights", str(error)), error
    else:
        raise AssertionError("a refusal went unnoticed")


def push_pair_of_another_family(folder: Path) -> None:
    """From the folder `other`, where it lies with its tokenizer and card: the pair, and an encoder for everyone."""
    pair: Any = MclForPreTraining.from_pretrained(folder / "other")
    pair.push_to_hub("ada/other")
    words = f"--model_name_or_path {folder / 'other'} --format native --output_dir {folder / 'native'}"
    assert main(["export", *words.split(), "--push_to_hub", "ada/native"]) == 0
    for name in ("other", "native"):
        ModelCard.load(f"ada/{name}").validate()
        encoder: Any = AutoModel.from_pretrained(f"ada/{name}")
        ids = AutoTokenizer.from_pretrained(f"ada/{name}")("the chef cooked", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            assert encoder(ids)[0].equal(pair.discriminator(ids)[0])


if __name__ == "__main__":
    logging.disable()
    run(Path(sys.argv[1]))
