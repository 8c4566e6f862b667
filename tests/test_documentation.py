"""What the pages show in Python runs as it is printed."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.documentation import PAGES, ROOT, blocks_of, text_of
from tests.families import save_encoder
from tests.inspection.pages import lively_pair, tiny_tokenizer
from transformers_mcl import MclTrainingArguments
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.convert import ConvertArguments, _named
from transformers_mcl.cli.pretrain import DryRun, arguments_of, preset_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.training.model_arguments import ModelArguments, config_overrides


def run_python_of(page: str) -> dict[str, Any]:
    """The names that the blocks of a page have made, one after the other."""
    names: dict[str, Any] = {}
    for block in blocks_of(f"docs/{page}"):
        if block.language == "python":
            code = block.code.replace("max_steps=10", "max_steps=1").replace("range(10)", "range(1)")
            exec(compile(code, str(block), "exec"), names)
    return names


def test_the_python_of_the_pre_training_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_python_of("pretraining.md")
    assert type(names["encoder"]).__name__ == "MclModel"
    assert type(names["generator"]).__name__ == "MclForMaskedLM"


def test_the_lengths_of_the_pre_training_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = text_of("docs/pretraining.md").partition("## How long")[2].partition("\n\n**")[0]
    lengths = re.findall(r"\| `(--\w+ [\d.]+)`", table)
    assert len(lengths) == 4
    for words in lengths:
        arguments_of([*words.split(), "--use_cpu", "--output_dir", "out"], "pretrain", "", DryRun)


def test_files_that_pages_name_exist() -> None:
    source = ROOT / "src" / "transformers_mcl"
    ours = {"src", "tests", "examples", *(folder.name for folder in source.iterdir() if folder.is_dir())}
    missing = {
        f"{page.name}: {name}"
        for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
        if page.name not in ("CHANGELOG.md", "upstream_tests.md")  # which is of transformers' files
        for name in re.findall(r"`([\w./-]+\.py)`", page.read_text(encoding="utf-8"))
        if name.split("/")[0] in ours and not any((folder / name).is_file() for folder in (source, ROOT))
    }
    assert not missing


def test_the_page_on_adding_a_course(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers_mcl.method.courses import COURSES

    monkeypatch.setitem(sys.modules, "first_tokens", ModuleType("first_tokens"))  # which the first block is saved as
    try:
        names = run_python_of("add_a_course.md")
        pair, ids = names["pair"], torch.randint(200, 1000, (2, 12))
        ids[:, 0], ids[:, -1] = 101, 102
        output = pair(ids, output_records=True)
        operated = output.records["ftd"].corruption
        assert operated.positions[operated.valid].reshape(2, -1).sort().values.tolist() == [[1, 2], [1, 2]]
        assert {name: output.metrics[name][1] for name in output.losses} == pair.count_items(ids, turn=0)
        output.loss.backward()
    finally:
        COURSES.pop("ftd", None)


def test_the_page_on_adding_an_encoder(tmp_path: Path) -> None:
    from transformers import AlbertModel, AutoModel

    from transformers_mcl import MclForPreTraining
    from transformers_mcl.models.backbones import FAMILIES

    try:
        names = run_python_of("add_an_encoder.md")
        ids = torch.randint(200, 1000, (2, 24))
        ids[:, 0], ids[:, -1], ids[:, 11], ids[:, 12] = 101, 102, 102, 101
        for pair in (names["pair"], names["recurrent"]):
            output = pair(ids)
            assert len(output.losses) == 9
            assert {name: output.metrics[name][1] for name in output.losses} == pair.count_items(ids)
            output.loss.backward()
            untrained = [name for name, parameter in pair.named_parameters() if parameter.grad is None]
            assert all("pooler" in name for name in untrained)
        pair = names["pair"]
        assert not pair.predicts_everywhere
        pair.save_pretrained(tmp_path)
        assert type(AutoModel.from_pretrained(tmp_path)) is AlbertModel
        apart = MclForPreTraining(names["documents"]).eval()
        together = apart.encode(ids, None, (ids == 101).cumsum(1))
        alone = torch.cat([apart.encode(part, None) for part in ids.split(12, 1)], 1)
        torch.testing.assert_close(together, alone)
    finally:
        FAMILIES.pop("albert", None)


def test_the_arguments_of_the_optimizers_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python_of("optimizers.md")
    commands = []
    for block in blocks_of("docs/optimizers.md"):
        if block.language == "yaml":
            (tmp_path / f"{block.line}.yaml").write_text(block.code)
            commands.append(["--config", f"{block.line}.yaml"])
    commands += [words.split() for words in re.findall(r"`(--[^`]* [^`]*)`", text_of("docs/optimizers.md"))]
    assert len(commands) == 13
    kinds = (ModelArguments, DataArguments, MclTrainingArguments)
    for words in commands:
        given = [*words, "--use_cpu", "--output_dir", "out"]
        model_args, _, args = parse_arguments(kinds, given, prog="", description="", underlay=preset_arguments)
        if model_args.config_overrides:
            config_overrides(model_args)
        args.get_batch_warmup(args.max_steps).check(1024, packed=True)


def test_the_page_on_continued_pre_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import (
        AutoModelForMaskedLM,
        BertTokenizer,
        ElectraConfig,
        ElectraForMaskedLM,
        ElectraForPreTraining,
    )

    monkeypatch.chdir(tmp_path)
    config = ElectraConfig(vocab_size=8, embedding_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"])}
    for name, kind in {"discriminator": ElectraForPreTraining, "generator": ElectraForMaskedLM}.items():
        kind(config).save_pretrained(f"google/electra-small-{name}")  # found before the Hub's
        BertTokenizer(vocab=vocabulary).save_pretrained(f"google/electra-small-{name}")
    save_encoder(tmp_path / "answerdotai" / "ModernBERT-base", "modernbert", AutoModelForMaskedLM)
    names = run_python_of("continued_pretraining.md")
    assert names["model"].config.vocab_size == 10
    assert type(names["modern"].discriminator).__name__ == "ModernBertModel"
    commands = [
        block.code.replace("\\\n", "")
        for block in blocks_of("docs/continued_pretraining.md")
        if block.language == "bash"
    ]
    assert len(commands) == 4
    for command in commands:
        words = [*shlex.split(command)[2:], "--use_cpu"]
        kinds = (ModelArguments, DataArguments, MclTrainingArguments)
        model_args, _, args = parse_arguments(kinds, words, prog="", description="", underlay=preset_arguments)
        assert model_args.base_checkpoints
        assert args.learning_rate == (1e-4 if "--learning_rate" in words else 5e-5)  # no preset's
    for words in re.findall(r"`--config_overrides ([^`.]*)`", text_of("docs/continued_pretraining.md")):
        assert config_overrides(ModelArguments(config_overrides=words))


def test_the_page_on_fairseqs_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "tests" / "fixtures" / "fairseq" / "mcl_base_like", tmp_path / "my-fairseq-folder")
    monkeypatch.chdir(tmp_path)
    page, names = text_of("docs/converting.md"), run_python_of("converting.md")
    assert names["report"].architecture == type(names["pair"]).__name__ == "MclForPreTraining"
    for words in re.findall(r"`(--course_heads [^`]*)`", page):
        parse_arguments((ConvertArguments,), _named(shlex.split(f"a b {words}")), prog="", description="")
    fixtures = {path.parent.name for path in ROOT.glob("tests/fixtures/fairseq/*/reference.npz")}
    assert fixtures == {name for name in re.findall(r"`(\w+)`", page) if name in fixtures}


def test_the_python_of_the_zero_shot_page() -> None:
    assert (run_python_of("zero_shot.md")["scores"].good < 0).all()


def test_the_page_on_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python_of("export.md")


def test_the_page_on_mcl_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers_mcl.cli.main import main

    monkeypatch.chdir(tmp_path)
    fixture = ROOT / "tests" / "fixtures" / "fairseq" / "mcl_base_like"
    shutil.copytree(fixture, tmp_path / "McmanusChen" / "MCL-base")  # found before the Hub's
    for name in ("train.csv", "test.csv"):
        rows = "".join(f"The chef cooked meal {n}.,{'good' if n % 2 else 'bad'}\n" for n in range(8))
        (tmp_path / name).write_text(f"sentence,label\n{rows}")
    blocks = [block.code for block in blocks_of("docs/mcl_base.md") if block.language == "bash"]
    (classify,) = (shlex.split(line)[1:] for line in "".join(blocks).splitlines() if "--train_file train.csv" in line)
    assert main([*classify, "--use_cpu", "true", "--num_train_epochs", "1", "--max_seq_length", "16"]) == 0
    names = run_python_of("mcl_base.md")
    assert names["states"].shape[::2] == (2, 32)
    assert [type(names[name]).__name__ for name in ("pair", "generator")] == ["MclForPreTraining", "MclForMaskedLM"]
    assert len(names["answers"]) == 5
    assert names["label"] in ("good", "bad")


def test_the_page_on_soups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_python_of("soups.md")["soup"].method == "greedy"


def test_the_python_of_the_page_on_looking_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lively_pair().save_pretrained("mcl-demo")
    tiny_tokenizer().save_pretrained("mcl-demo")
    run_python_of("inspect.md")
    assert (tmp_path / "page.html").stat().st_size > 30_000


def test_every_public_name_is_on_a_page() -> None:
    import transformers_mcl

    pages = "\n".join(text_of(page) for page in PAGES if not page.startswith("docs/reference/"))
    missing = [name for name in transformers_mcl.__all__ if name not in pages and name != "register"]
    assert missing == []
