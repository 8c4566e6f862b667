from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForPreTraining, BertTokenizer

from transformers_mcl import MclConfig, MclForMaskedLM, MclForPreTraining
from transformers_mcl.cli.main import main


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef cooked".split()
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    config = MclConfig.tiny(vocab_size=len(words), relative_attention_num_buckets=0, **ids)
    folder = tmp_path_factory.mktemp("pair")
    torch.manual_seed(0)
    MclForPreTraining(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_writes_a_half(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"export --model_name_or_path {pair} --half discriminator --format electra --output_dir {tmp_path / 'out'}"
    assert main(words.split()) == 0
    model = AutoModelForPreTraining.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == "ElectraForPreTraining"
    original = MclForPreTraining.from_pretrained(pair)
    ids = torch.tensor([[2, 5, 6, 7, 3]])
    assert model(ids).logits.equal(original.detect("rtd", ids, None))
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert capsys.readouterr().out.startswith("ElectraForPreTraining, format electra")


def test_a_pair_without_a_tokenizer(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MclForPreTraining.from_pretrained(pair).save_pretrained(tmp_path / "pair")
    words = f"export --model_name_or_path {tmp_path / 'pair'} --output_dir {tmp_path / 'out'}"
    assert main(words.split()) == 0
    assert "with its card; no tokenizer lies beside the model" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("tokenizer*"))
    (tmp_path / "pair" / "tokenizer.json").write_text("{")
    assert main(words.replace("/out", "/other").split()) == 2
    assert "tokenizer.json is damaged: it is no JSON" in capsys.readouterr().err


def test_mistakes_are_one_line(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MclForMaskedLM.from_pretrained(pair).save_pretrained(tmp_path / "generator")
    given = {"model_name_or_path": str(pair), "output_dir": str(tmp_path / "new")}
    for words, changes in {
        "invalid choice: 'both'": {"half": "both"},
        "invalid choice: 'gguf'": {"format": "gguf"},
        "is not an empty folder": {"output_dir": str(pair)},
        "is no name of a repository": {"push_to_hub": "a/b/c"},
        "holds no whole discriminator": {"model_name_or_path": str(tmp_path / "generator")},
        "did you mean": {"model_name_or_path": f"{pair}s"},
    }.items():
        capsys.readouterr()
        arguments = [word for name, value in {**given, **changes}.items() for word in (f"--{name}", value)]
        assert main(["export", *arguments]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("transformers-mcl export: error: ")
        assert words in error
        assert not (tmp_path / "new").exists()
