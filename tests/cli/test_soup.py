"""`transformers-mcl soup`, as its user meets it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertTokenizer

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.cli.main import main

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(60))]


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Three pairs of one initialisation, and a tokenizer beside the first."""
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4, "vocab_size": len(WORDS)}
    shape = {"num_hidden_layers": 1, "generator_num_hidden_layers": 1, "hidden_size": 64, "embedding_size": 64}
    for i, name in enumerate("abc"):
        torch.manual_seed(0)
        model = MclForPreTraining(MclConfig.tiny(**ids, **shape, max_position_embeddings=32))
        torch.manual_seed(1 + i)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
        model.save_pretrained(tmp_path / name)
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    BertTokenizer(vocab=vocabulary, model_max_length=32).save_pretrained(tmp_path / "a")
    return [str(tmp_path / name) for name in "abc"]


@pytest.fixture
def text(tmp_path: Path) -> str:
    draw = random.Random(0)
    lines = [" ".join(draw.choice(WORDS[5:]) for _ in range(10)) for _ in range(20)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "text.txt")


def test_the_uniform_soup(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soup", *folders, "--output_dir", str(tmp_path / "soup")]) == 0
    said = capsys.readouterr()
    assert "| a | 0.3333 |" in said.out and f"The soup and its model card are in {tmp_path / 'soup'}" in said.out
    assert "uniform: 3 checkpoints of " in said.err and " GB to read, " in said.err
    soup, *others = (load_file(Path(f) / "model.safetensors") for f in (str(tmp_path / "soup"), *folders))
    for name, tensor in soup.items():
        torch.testing.assert_close(tensor, torch.stack([other[name] for other in others]).mean(0))
    assert (tmp_path / "soup" / "tokenizer.json").exists()


def test_weights_and_where_the_checkpoints_may_stand(folders: list[str], tmp_path: Path) -> None:
    out = tmp_path / "soup"
    (tmp_path / "soup.yaml").write_text(json.dumps({"checkpoints": folders[:2], "weights": [1, 3]}))
    words = {
        "first": [*folders[:2], "--weights", "1", "3", "--output_dir", str(out)],
        "last": ["--weights", "1", "3", "--output_dir", str(out), *folders[:2]],
        "named": ["--checkpoints", *folders[:2], "--weights", "1", "3", "--output_dir", str(out)],
        "file": ["--config", str(tmp_path / "soup.yaml"), "--output_dir", str(out)],
    }
    files = set()
    for given in words.values():
        assert main(["soup", *given]) == 0
        files.add((out / "model.safetensors").read_bytes())
        out.rename(tmp_path / f"soup-{len(list(tmp_path.iterdir()))}")
    assert len(files) == 1


@pytest.mark.parametrize("method", ["weighted", "greedy", "learned"])
def test_methods_by_the_pre_training_loss(
    method: str, folders: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "soup")
    words = ["--method", method, "--validation_file", text, "--max_seq_length", "16", "--max_evaluations", "4"]
    assert main(["soup", *folders, "--output_dir", out, *words, "--use_cpu", "--max_eval_samples", "4"]) == 0
    said = capsys.readouterr()
    assert "pretraining_loss (less is better)" in said.out and "| **the soup** | 1 | **" in said.out
    assert "evaluations of minus pretraining_loss on 4 rows of 16 tokens of text.txt" in said.err
    card = Path(out, "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in card and "model-index" in card
    assert ("the uniform soup" in card) == (method == "learned")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing --checkpoints, --output_dir"),
        (["A", "--output_dir", "{}/s"], "ingredient: 'A' is no directory here"),
        (["{}/a", "{}/b", "--output_dir", "{}/a"], "output_dir '{}/a' is the ingredient '{}/a'"),
        (["{}/a", "{}/b", "--output_dir", "{}/s", "--weights", "1"], "weights: 1 are given for 2 ingredients"),
        (
            ["{}/a", "--output_dir", "{}/s", "--method", "greedy", "--weights", "1"],
            "weights do not go with method=gre",
        ),
        (["{}/a", "--output_dir", "{}/s", "--method", "greedy"], "needs held-out text: give --validation_file"),
        (["{}/a", "--output_dir", "{}/s", "--push_to_hub", "a/b/c"], "push_to_hub='a/b/c' is no name"),
        (["{}/a", "--checkpoints", "{}/b", "--output_dir", "{}/s"], "stray '{}/a' on the command line"),
        (["{}/a", "--output_dir", "{}/s", "--score", "colla"], "score: there is no 'colla'"),
        (["--recipe", "my.yaml", "--output_dir", "{}/s"], "python examples/course_soups/run.py --config my.yaml"),
        (["--output_dir", "{}/s", "--recipe=my.yaml"], "python examples/course_soups/run.py --config my.yaml"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["soup", *(word.format(tmp_path) for word in words)]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("transformers-mcl soup: error: ") and message.replace("{}", str(tmp_path)) in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
