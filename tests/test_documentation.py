"""What the pages show in Python runs as it is printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.families import save_encoder
from tests.inspection.pages import lively_pair, tiny_tokenizer
from transformers_mcl import MclTrainingArguments
from transformers_mcl.cli.app import AppArguments
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.convert import ConvertArguments, _named
from transformers_mcl.cli.evaluate import evaluation_kinds
from transformers_mcl.cli.export import ExportArguments
from transformers_mcl.cli.inspect import InspectArguments
from transformers_mcl.cli.plan import PlanArguments
from transformers_mcl.cli.pretrain import DryRun, arguments_of, preset_arguments
from transformers_mcl.cli.soup import SoupArguments
from transformers_mcl.data import DataArguments
from transformers_mcl.soups.score_arguments import ScoreArguments
from transformers_mcl.training.model_arguments import ModelArguments, config_overrides

ROOT = Path(__file__).parents[1]


def test_the_python_of_the_pre_training_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "pretraining.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/pretraining.md", "exec"), names)
    assert type(names["encoder"]).__name__ == "MclModel"
    assert type(names["generator"]).__name__ == "MclForMaskedLM"


def test_the_commands_of_the_pre_training_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "pretraining.md").read_text().replace("\\\n", "")
    kinds = {"pretrain": DryRun, "plan": PlanArguments}
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    commands = [words for words in commands if words and words[0] in kinds]
    assert [words[0] for words in commands].count("plan") == 2
    # The lengths of the table, each by itself.
    table = page.partition("## How long")[2].partition("\n\n**")[0]
    commands += [["pretrain", *words.split()] for words in re.findall(r"\| `(--\w+ [\d.]+)`", table)]
    assert len(commands) == 9
    for command, *words in commands:
        arguments_of([*words, "--use_cpu", "--output_dir", "out"], command, "", kinds[command])


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


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def test_the_page_on_adding_a_course() -> None:
    from transformers_mcl.method.courses import COURSES

    names: dict[str, Any] = {}
    try:
        for block in blocks_of("add_a_course.md"):
            exec(compile(block, "docs/add_a_course.md", "exec"), names)
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

    names: dict[str, Any] = {}
    try:
        for block in blocks_of("add_an_encoder.md"):
            exec(compile(block, "docs/add_an_encoder.md", "exec"), names)
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
    page = (ROOT / "docs" / "optimizers.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/optimizers.md", "exec"), {})
    blocks = [block.replace("\\\n", "") for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)]
    commands = [shlex.split(block)[2:] for block in blocks]
    for number, recipe in enumerate(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)):
        (tmp_path / f"{number}.yaml").write_text(recipe)
        commands.append(["--config", f"{number}.yaml"])
    commands += [words.split() for words in re.findall(r"`(--[^`]* [^`]*)`", page)]
    assert len(commands) == 15
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
    page = (ROOT / "docs" / "continued_pretraining.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/continued_pretraining.md", "exec"), names)
    assert names["model"].config.vocab_size == 10
    assert type(names["modern"].discriminator).__name__ == "ModernBertModel"
    commands = [block.replace("\\\n", "") for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)]
    assert len(commands) == 4
    for command in commands:
        words = [*shlex.split(command)[2:], "--use_cpu"]
        kinds = (ModelArguments, DataArguments, MclTrainingArguments)
        model_args, _, args = parse_arguments(kinds, words, prog="", description="", underlay=preset_arguments)
        assert model_args.base_checkpoints
        assert args.learning_rate == (1e-4 if "--learning_rate" in words else 5e-5)  # no preset's
    for words in re.findall(r"`--config_overrides ([^`.]*)`", page):
        assert config_overrides(ModelArguments(config_overrides=words))


def test_the_page_on_fairseqs_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "tests" / "fixtures" / "fairseq" / "mcl_base_like", tmp_path / "my-fairseq-folder")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "converting.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/converting.md", "exec"), names)
    assert names["report"].architecture == type(names["pair"]).__name__ == "MclForPreTraining"
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 4
    lines += [f"transformers-mcl convert a b {words}" for words in re.findall(r"`(--course_heads [^`]*)`", page)]
    for line in lines:
        parse_arguments((ConvertArguments,), _named(shlex.split(line)[2:]), prog="", description="")
    fixtures = {path.parent.name for path in ROOT.glob("tests/fixtures/fairseq/*/reference.npz")}
    assert fixtures == {name for name in re.findall(r"`(\w+)`", page) if name in fixtures}


def test_the_python_of_the_zero_shot_page() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "zero_shot.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/zero_shot.md", "exec"), names)
    assert (names["scores"].good < 0).all()


def test_the_commands_of_the_page_on_judging() -> None:
    page = (ROOT / "docs" / "judging.md").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    tasks = []
    for line in lines:
        words = shlex.split(line)[2:]
        tasks.append(words[words.index("--task") + 1])
        parse_arguments(evaluation_kinds(tasks[-1]), words, prog="", description="")
    assert {"probe", "losses", "choices"} == set(tasks) and len(tasks) == 9
    (row,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert {"context", "options", "label"} == set(json.loads(row))


def test_the_page_on_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "export.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/export.md", "exec"), {})
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    assert [command for command, *_ in commands] == ["export", "export", "pretrain", "pretrain"]
    for command, *words in commands:
        kinds = (ExportArguments,) if command == "export" else (ModelArguments, DataArguments, MclTrainingArguments)
        parse_arguments(kinds, words if command == "export" else [*words, "--use_cpu"], prog="", description="")


def test_the_page_on_mcl_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers_mcl.cli.main import main

    monkeypatch.chdir(tmp_path)
    fixture = ROOT / "tests" / "fixtures" / "fairseq" / "mcl_base_like"
    shutil.copytree(fixture, tmp_path / "McmanusChen" / "MCL-base")  # found before the Hub's
    for name in ("train.csv", "test.csv"):
        rows = "".join(f"The chef cooked meal {n}.,{'good' if n % 2 else 'bad'}\n" for n in range(8))
        (tmp_path / name).write_text(f"sentence,label\n{rows}")
    page = (ROOT / "docs" / "mcl_base.md").read_text()
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL)).splitlines()
    convert, _, classify, pretrain = (shlex.split(line)[1:] for line in blocks if line)
    (given,) = parse_arguments((ConvertArguments,), _named(convert[1:]), prog="", description="")
    assert given.check
    kinds = (ModelArguments, DataArguments, MclTrainingArguments)
    parse_arguments(kinds, [*pretrain[1:], "--use_cpu"], prog="", description="", underlay=preset_arguments)
    assert main([*classify, "--use_cpu", "true", "--num_train_epochs", "1", "--max_seq_length", "16"]) == 0
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/mcl_base.md", "exec"), names)
    assert names["states"].shape[::2] == (2, 32)
    assert [type(names[name]).__name__ for name in ("pair", "generator")] == ["MclForPreTraining", "MclForMaskedLM"]
    assert len(names["answers"]) == 5
    assert names["label"] in ("good", "bad")


def test_the_page_on_soups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "soups.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/soups.md", "exec"), names)
    assert names["soup"].method == "greedy"
    (commands,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in commands.splitlines():
        kinds = (SoupArguments, ScoreArguments)
        args, _ = parse_arguments(kinds, shlex.split(line)[2:], prog="", description="", positional="checkpoints")
        assert len(args.checkpoints) >= 2


def test_the_commands_of_the_pages_on_looking_inside() -> None:
    kinds = {"inspect": InspectArguments, "app": AppArguments}
    ran = []
    for name in ("inspect.md", "app.md"):
        for block in re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL):
            for line in block.splitlines():
                program, command, *words = shlex.split(line)
                if program == "transformers-mcl":
                    parse_arguments((kinds[command],), words, prog="", description="")
                    ran.append(command)
    assert ran == ["inspect", "inspect", "inspect", "app"]


def test_the_python_of_the_page_on_looking_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lively_pair().save_pretrained("mcl-demo")
    tiny_tokenizer().save_pretrained("mcl-demo")
    names: dict[str, Any] = {}
    for block in blocks_of("inspect.md"):
        exec(compile(block, "docs/inspect.md", "exec"), names)
    assert (tmp_path / "page.html").stat().st_size > 30_000


def test_every_public_name_is_on_a_page() -> None:
    import transformers_mcl

    pages = "\n".join(page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    missing = [name for name in transformers_mcl.__all__ if name not in pages and name != "register"]
    assert missing == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_on_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers_mcl.cli.main import main

    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "tests" / "fixtures" / "languages", tmp_path / "tests" / "fixtures" / "languages")
    page = (ROOT / "docs" / "languages.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    ran = []
    quick = ["--use_cpu", "true", "--max_steps", "2", "--per_device_train_batch_size", "2", "--max_eval_samples", "4"]
    quick += ["--config_overrides", "num_hidden_layers=1,generator_num_hidden_layers=1"]
    for kind, block in re.findall(r"```(python|bash)\n(.*?)```", page, re.DOTALL):
        if kind == "python":
            exec(compile(block, "docs/languages.md", "exec"), names)
            continue
        for line in block.splitlines():
            command, *words = shlex.split(line)[1:]
            ran.append(command)
            if command == "plan":  # which takes minutes
                arguments_of([*words, "--use_cpu", "true", "--output_dir", "out"], command, "", PlanArguments)
            else:
                assert main([command, *words, *(quick if command == "pretrain" else [])]) == 0
    assert ran == ["tokenizer", "tokenizer", "pretrain", "plan", "pretrain", "pretrain"]
    assert names["states"].shape[:2] == (1, len(names["tokenizer"]("ยินดีต้อนรับ").input_ids))
    assert names["tokenizer"].unk_token_id not in names["tokenizer"]("ยินดีต้อนรับ").input_ids
