"""What there is to choose from, told before a long run; and what the help and a dry run say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.small_text import write_text_and_tokenizer
from transformers_mcl import MclTrainingArguments, UserError
from transformers_mcl.cli import plan as module
from transformers_mcl.cli.main import main
from transformers_mcl.method.courses import OBJECTIVES
from transformers_mcl.training import measure, offers
from transformers_mcl.training import run as run_module
from transformers_mcl.training.measure import Speed

SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16,num_attention_heads=2,generator_num_attention_heads=2"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_and_tokenizer(tmp_path_factory.mktemp("plan"))


def command(folder: Path, *more: object) -> list[str]:
    given = [
        "--train_file",
        folder / "text.txt",
        "--tokenizer_name",
        folder / "tokenizer",
        "--config_overrides",
        SMALL,
    ]
    given += ["--max_seq_length", 16, "--per_device_train_batch_size", 4, "--use_cpu", "true"]
    return ["plan", *map(str, given), "--disable_tqdm", "true", *map(str, more)]


def rows_of(out: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")][2:]


def test_every_preset_and_objective_is_tried(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_PRESETS", ["tiny", "mini"])
    alone, electra, every = ({"mlm"}, set(OBJECTIVES["electra"]), set(OBJECTIVES["mcl"]))
    courses = every - {"re_mlm", "re_slm", "re_rtd", "re_std"}
    fixed = Speed({frozenset(losses): 0.01 for losses in (alone, electra, courses, every)}, 0.1, 2.0**28)
    monkeypatch.setattr(run_module, "measure", lambda trainer, **given: fixed)
    monkeypatch.chdir(tmp_path)
    assert main(command(folder, "--max_hours", 1, "--objective", "mcl")) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 kinds of run, some steps of each: some 2 min at most")
    rows = rows_of(out)
    kinds = ["mcl, sampled", "mcl, all"]
    assert [row[:2] for row in rows] == [[preset, kind] for preset in ("tiny", "mini") for kind in kinds]
    assert "in 1 hours: steps" in out
    for row in rows:
        speed, step, steps, hours, memory, bought, tokens, epochs, said = row[2:]
        assert float(speed.replace(",", "")) > 0 and float(step) > 0 and "MiB" in memory and said == ""
        assert int(bought.replace(",", "")) > int(steps.replace(",", "")) > 1 and float(hours) < 1
        assert tokens and float(epochs) > 40
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_is_not_varied(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = frozenset(OBJECTIVES["mcl"])
    seen: list[dict[str, object]] = []

    def fixed(trainer: object, **given: object) -> Speed:
        seen.append(given)
        return Speed({every: 1.0}, 0.0, 2.0**31)

    monkeypatch.setattr(run_module, "measure", fixed)
    given = ["--preset", "tiny", "--course_warmup_steps", 0, "--eval_strategy", "no"]
    assert main(command(folder, *given, "--objective", "mcl", "--max_steps", 9)) == 0
    (sampled, mcl) = rows_of(capsys.readouterr().out)
    assert sampled[1] == "mcl, sampled" and mcl[1:7] == ["mcl, all", "64", "1", "9", "0.0025", "2.0 GiB"]
    assert 86_400 < int(mcl[7].replace(",", "")) < 90_000  # of a day, as no hours are given; epochs end in few rows
    # What was measured says how fast a run is that is too slow to be tried.
    assert seen[0]["flops_per_second"] is None and seen[1]["flops_per_second"]
    joint = command(folder, *given, "--objective", "electra", "--config_overrides", f"{SMALL},course_schedule=joint")
    assert main(joint) == 0
    assert [row[:2] for row in rows_of(capsys.readouterr().out)] == [["tiny", "electra"]]
    assert main(command(folder, *given)) == 0
    assert [row[1] for row in rows_of(capsys.readouterr().out)] == ["electra", "mcl, sampled", "mcl, all"]


def test_what_does_not_fit_or_is_not_tried_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds: list[Speed | UserError] = [
        Speed({frozenset(OBJECTIVES["mcl"]): 3e6}, 0.0, 2.0**31, "operations"),
        UserError("per_device_train_batch_size=4 does not fit in the memory of cpu"),
    ]

    def fixed(trainer: object, **given: object) -> Speed:
        found = speeds.pop()
        if isinstance(found, UserError):
            raise found
        return found

    monkeypatch.setattr(run_module, "measure", fixed)
    assert main(command(folder, "--preset", "tiny", "--objective", "mcl")) == 0
    first, second = rows_of(capsys.readouterr().out)
    assert first == [
        "tiny",
        "mcl, sampled",
        *[""] * 8,
        "per_device_train_batch_size=4 does not fit in the memory of cpu",
    ]
    assert second[6:8] == ["at least 2.0 GiB", "none"] and second[-1] == "estimated by operations"


def test_the_rate_to_take_and_its_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_SECONDS", 0.0)
    monkeypatch.setattr(measure, "_BLOCK_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    given = ["--preset", "tiny", "--objective", "electra", "--find_learning_rate", "true", "--ladder_steps", 20]
    assert main(command(folder, *given)) == 0
    out = capsys.readouterr().out
    assert "| 0.003 |" in out and "learning_rates.png" in out
    assert [path.name for path in tmp_path.iterdir()] == ["learning_rates.png"]
    assert main(command(folder, *given, "--output_dir", tmp_path / "new" / "one")) == 0
    assert Image.open(tmp_path / "new" / "one" / "learning_rates.png").size[0] > 1000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--resume_from_checkpoint", "true"], "resume_from_checkpoint: plan is for runs that begin"),
        (["--find_learning_rate", "true", "--ladder_steps", "5"], "5 steps tell nothing"),
        (["--max_hours", "-1"], "max_hours=-1.0 must be above 0"),
        (["--dry_run", "true"], "unknown argument --dry_run"),
        (["--preset", "huge"], "invalid choice: 'huge'"),
        (["--per_device_train_batch_size", "0"], "must be at least 1"),
    ],
)
def test_refuses_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str) -> None:
    assert main(command(folder, *given)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("transformers-mcl plan: error: ") and said in error


def test_several_processes_are_sent_to_a_dry_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MclTrainingArguments, "world_size", 2)
    assert main(command(folder)) == 2
    assert "`pretrain --dry_run true` tries the run" in capsys.readouterr().err


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    with pytest.raises(SystemExit) as left:
        main([*words])
    assert left.value.code == 0
    help = " ".join(capsys.readouterr().out.split())
    return dict(re.findall(r" --(\w+) [A-Z_{\[][^(]*?, --[\w-]+ (?:.*?)\(default: ([^)]*)\)", help))


@pytest.mark.parametrize("name", ["pretrain", "plan"])
def test_the_help_shows_the_values_that_will_be_used(capsys: pytest.CaptureFixture[str], name: str) -> None:
    mini = shown(capsys, name, "--preset", "mini", "--help")
    assert mini["learning_rate"] == "0.001" and mini["up_to_steps"] == "10000" and mini["save_total_limit"] == "2"
    tiny = shown(capsys, name, "-h", "--learning_rate", "7e-3", "--max_tokens", "10")
    secret = shown(capsys, name, "-h", "--hub_token", "not-to-be-shown")
    assert "not-to-be-shown" not in secret.values()
    assert tiny["learning_rate"] == "0.007" and tiny["max_seq_length"] == "32" and tiny["up_to_steps"] == "None"


def test_presets_that_the_arguments_do_not_fit_are_lines_of_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        run_module, "measure", lambda *_, **__: Speed({frozenset(OBJECTIVES["electra"]): 1.0}, 0.0, 1e9)
    )
    monkeypatch.setattr(module, "_PRESETS", ["tiny", "base"])
    given = ["--objective", "electra", "--max_seq_length", 160]
    assert main(command(folder, *given)) == 0
    tiny, base = rows_of(capsys.readouterr().out)
    assert "max_position_embeddings=128" in tiny[-1] and base[2]
    assert main(command(folder, *given, "--preset", "tiny")) == 2
    assert "max_position_embeddings=128" in capsys.readouterr().err


def test_the_offers_of_nothing_are_a_table() -> None:
    assert offers.offers_table([]).startswith("| preset | objective |")
