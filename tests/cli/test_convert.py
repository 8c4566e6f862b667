"""What `transformers-mcl convert` prints, takes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transformers_mcl.cli.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "fairseq"


def test_source_and_destination_go_without_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(FIXTURES / "coco_lm")
    assert main(["convert", source, str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "family: COCO-LM or AMOS" in printed
    assert "relative_attention_bias_type = coco_lm" in printed
    (tmp_path / "recipe.yaml").write_text(f"source: {source}\nnum_attention_heads: 4\n")
    words = ["--config", str(tmp_path / "recipe.yaml"), "--destination", str(tmp_path / "named")]
    assert main(["convert", *words]) == 0
    assert (tmp_path / "named" / "model.safetensors").is_file()
    assert main(["convert", source, str(tmp_path / "out"), "--overwrite"]) == 0


def test_heads_are_named_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(FIXTURES / "coco_lm"), str(tmp_path / "out"), "--course_heads"]
    assert main(["convert", *words, json.dumps({"rtd": "encoder.binary_head.out_proj"})]) == 0
    assert main(["convert", *words, json.dumps({"std": "nothing"}), "--overwrite"]) == 2
    assert "no detection head 'nothing'" in capsys.readouterr().err


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(FIXTURES / "amos"), str(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    for words, said in (
        ([source], "missing --destination"),
        ([source, out, "more"], "stray 'more'"),
        ([source, out, "--push_to_hub", "a/b/c"], "is no name of a repository"),
        ([source, str(tmp_path / "full")], "is not an empty folder"),
        ([f"{source}s/model.pt", out], "is no checkpoint, no folder and no name on the Hub"),
    ):
        capsys.readouterr()
        assert main(["convert", *words]) == 2
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1
        assert error[0].startswith("transformers-mcl convert: error: ")
        assert said in error[0]
        assert not (tmp_path / "out").exists()
