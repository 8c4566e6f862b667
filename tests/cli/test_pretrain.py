"""The command whole, on a text and a pair so small that it takes seconds; and what it refuses before it starts."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoTokenizer,
    ModernBertForMaskedLM,
    ModernBertModel,
)

from tests.small_text import write_text_and_tokenizer
from transformers_mcl import MclForMaskedLM, MclForPreTraining, MclModel, MclTrainingArguments, UserError
from transformers_mcl.cli.main import main
from transformers_mcl.cli.pretrain import DryRun, arguments_of
from transformers_mcl.data import DataArguments
from transformers_mcl.data.shipped import shipped_figures
from transformers_mcl.inspection import read_frames
from transformers_mcl.method.courses import COURSES, OBJECTIVES
from transformers_mcl.training.checkpoints import writing
from transformers_mcl.training.run import ModelArguments, prepare, preset_path

SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16"
)

INSERTION = json.dumps(dict.fromkeys(OBJECTIVES["mcl"], 0) | {"itd": 50})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text, a tokenizer made from it, and the pair that the command made from both, in `run`."""
    folder = write_text_and_tokenizer(tmp_path_factory.mktemp("pretrain"))
    assert main(command(folder, "--output_dir", str(folder / "run"))) == 0
    return folder


def command(folder: Path, *more: str) -> list[str]:
    """A run of three steps; a later argument wins over an earlier one."""
    fixed = ["--train_file", str(folder / "text.txt"), "--tokenizer_name", str(folder / "tokenizer")]
    fixed += ["--preset", "tiny", "--config_overrides", SMALL, "--max_seq_length", "16", "--max_steps", "3"]
    fixed += ["--per_device_train_batch_size", "4", "--use_cpu", "true", "--disable_tqdm", "true"]
    return ["pretrain", *fixed, *more]


def test_leaves_a_pair_that_the_auto_classes_open(folder: Path) -> None:
    run = folder / "run"
    pair = AutoModelForPreTraining.from_pretrained(run)
    assert isinstance(pair, MclForPreTraining)
    encoder = AutoModel.from_pretrained(run)
    assert isinstance(encoder, MclModel)
    assert all(torch.equal(value, pair.electra.state_dict()[name]) for name, value in encoder.state_dict().items())
    assert isinstance(AutoModelForMaskedLM.from_pretrained(run), MclForMaskedLM)
    tokenizer = AutoTokenizer.from_pretrained(run)
    assert pair.config.vocab_size == len(tokenizer)
    assert pair.config.mask_token_id == tokenizer.mask_token_id
    assert tokenizer("the chef").input_ids == AutoTokenizer.from_pretrained(folder / "tokenizer")("the chef").input_ids


def test_leaves_a_card_figures_and_a_picture(folder: Path) -> None:
    run = folder / "run"
    card = ModelCard.load(run / "README.md")
    assert card.data.library_name == "transformers"
    assert "rtd × 10" in card.text
    assert str(folder) not in card.text
    figures = json.loads((run / "eval_results.json").read_text())
    assert {"eval_rtd_disc_auc", "eval_itd_disc_auc", "eval_slm_loss", "unigram_entropy"} <= set(figures)
    with Image.open(run / "curves.png") as picture:
        assert min(picture.size) > 400


def test_samples_are_written_at_every_evaluation_unless_turned_off(folder: Path) -> None:
    assert [frame["step"] for frame in read_frames(folder / "run" / "samples.html", 3)] == [0, 1, 2, 3]
    for name, more in {"quiet": ["--samples", "false"], "blind": ["--eval_strategy", "no"]}.items():
        assert main(command(folder, "--output_dir", str(folder / name), *more)) == 0
        assert not (folder / name / "samples.html").exists()
        one, other = (load_file(folder / run / "model.safetensors") for run in ("run", name))
        assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_the_card_lists_what_the_run_was_warned_of(folder: Path) -> None:
    run = folder / "ill"
    more = ["--output_dir", str(run), "--objective", "electra", "--max_steps", "24", "--logging_steps", "1"]
    more += ["--learning_rate", "1e-9", "--lr_scheduler_type", "constant", "--warmup_steps", "0"]
    assert main(command(folder, *more, "--per_device_train_batch_size", "32")) == 0
    text = ModelCard.load(run / "README.md").text
    assert "\n- step " in text.partition("## Warnings during training")[2]
    state = json.loads((run / "trainer_state.json").read_text())["stateful_callbacks"]["HealthCallback"]["attributes"]
    assert all(f"- {warning['message']}\n" in text for warning in state["warnings"])
    assert "Warnings" not in ModelCard.load(folder / "run" / "README.md").text


def test_says_what_it_will_do_and_what_was_learnt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, "--output_dir", str(folder / "said"), "--objective", "electra")) == 0
    out = capsys.readouterr().out
    plan, result = out.split("output     ", 1)
    said = ("text.txt", "57 documents", "60 entries", "parameters, generator ", "mlm 1, rtd 10\n", "3 of 64 tokens")
    for part in said:
        assert part in plan, part
    assert "disc_auc" in result
    assert "(chance)" in result
    assert "pos1" in result
    assert "itd" not in result
    table, steps = result.strip().rsplit("\n\n", 1)
    assert max(map(len, table.splitlines())) <= 80
    there, look, tune = steps.splitlines()
    pair = folder / "said"
    assert there == f"The pair, its tokenizer, model card and curves.png are in {pair}"
    assert look.startswith(f"Next: transformers-mcl inspect --model_name_or_path {pair} --text '")
    labelled = "--train_file train.csv --validation_file test.csv"  # its language is not known: no task of GLUE's
    assert tune.startswith(f"Next: transformers-mcl finetune --model_name_or_path {pair} {labelled} ")
    assert main(shlex.split(look.partition("transformers-mcl ")[2])) == 0


@pytest.mark.parametrize(
    ("given", "alone"),
    [([], 0.2), (["--preset", "tiny"], 0), (["--train_file", "text.txt"], 0), (["--backbone", "bert"], 0)],
)
def test_the_demo_begins_with_the_generator(given: list[str], alone: float) -> None:
    """Which no preset does by being named, nor a run on other text."""
    training: MclTrainingArguments
    *_, training = arguments_of(["--output_dir", "out", "--use_cpu", *given], "pretrain", "", DryRun)
    assert training.generator_warmup_steps == alone


def test_the_demo_ends_beside_the_pair_inside_the_package(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--max_steps", "2", "--max_train_samples", "64", "--max_eval_samples", "16", "--config_overrides", SMALL]
    demo = ["pretrain", "--output_dir", str(folder / "demo"), "--use_cpu", "--disable_tqdm", "true", *small]
    assert main(demo) == 0
    table, steps = capsys.readouterr().out.split("Beside it mcl-pair", 1)[1].rsplit("\n\n", 1)
    auc = next(line for line in table.splitlines() if line.startswith("disc_auc")).split()
    assert auc[4:] == [f"{shipped_figures()[f'{course}_disc_auc']:.3f}" for course in COURSES]
    assert max(map(len, table.splitlines())) <= 80
    assert len(steps.splitlines()) == 3


def test_the_recipe_repeats_the_run(folder: Path) -> None:
    recipe = folder / "run" / "recipe.yaml"
    assert main(["pretrain", "--config", str(recipe), "--output_dir", str(folder / "again")]) == 0
    first, second = (MclForPreTraining.from_pretrained(folder / name).state_dict() for name in ("run", "again"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_goes_on_from_a_pair_with_its_own_losses(folder: Path) -> None:
    electra = folder / "electra"
    assert main(command(folder, "--output_dir", str(electra), "--objective", "electra")) == 0
    more = ["pretrain", "--train_file", str(folder / "text.txt"), "--model_name_or_path", str(electra)]
    more += ["--max_seq_length", "16", "--max_steps", "1", "--use_cpu", "true", "--disable_tqdm", "true"]
    assert main([*more, "--learning_rate", "0", "--output_dir", str(folder / "more")]) == 0
    before, after = (MclForPreTraining.from_pretrained(path) for path in (electra, folder / "more"))
    assert after.active_courses == ("rtd",)
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())


def test_resumes_where_it_stopped(folder: Path) -> None:
    run = folder / "resumed"
    arguments = command(folder, "--output_dir", str(run), "--save_strategy", "steps", "--save_steps", "2")
    assert main(arguments) == 0
    (run / "model.safetensors").unlink()
    assert main([*arguments, "--resume_from_checkpoint", "true"]) == 0
    whole, resumed = (MclForPreTraining.from_pretrained(folder / name).state_dict() for name in ("run", "resumed"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_an_encoder_of_another_family_from_its_shape_to_what_opens_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole, and stopped and resumed, under the sharing that has most to remember."""
    small = "hidden_size=16,num_hidden_layers=3,intermediate_size=16,num_attention_heads=2,course_schedule=sampled"
    arguments = command(folder, "--backbone", "modernbert", "--config_overrides", small, "--generator_shares", "gdes")
    assert main([*arguments, "--output_dir", str(folder / "modern")]) == 0
    out = capsys.readouterr().out
    assert "modernbert of 3 layers, and a generator of 1 layer; they share token embeddings, disentangled" in out
    saving = ["--output_dir", str(folder / "again"), "--save_strategy", "steps", "--save_steps", "2"]
    assert main([*arguments, *saving, "--overwrite_output_dir", "true"]) == 0
    (folder / "again" / "model.safetensors").unlink()
    shutil.rmtree(folder / "again" / "checkpoint-3")
    assert main([*arguments, *saving, "--resume_from_checkpoint", "true"]) == 0
    whole, resumed = (load_file(folder / name / "model.safetensors") for name in ("modern", "again"))
    assert whole.keys() == resumed.keys() and any(name.endswith(".delta") for name in whole)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    encoder = AutoModel.from_pretrained(folder / "modern")
    assert type(encoder) is ModernBertModel
    assert encoder.config.vocab_size == len(AutoTokenizer.from_pretrained(folder / "modern"))
    assert type(AutoModelForMaskedLM.from_pretrained(folder / "modern")) is ModernBertForMaskedLM
    recipe = str(folder / "modern" / "recipe.yaml")
    assert main(["pretrain", "--config", recipe, "--output_dir", str(folder / "third")]) == 0
    repeated = load_file(folder / "third" / "model.safetensors")
    assert all(torch.equal(value, repeated[name]) for name, value in whole.items())


def test_losses_are_the_objectives_with_what_the_arguments_change(folder: Path) -> None:
    changed = ["--discriminator_weight", "7", "--loss_weights", '{"re_std": 0, "slm": 2}', "--objective", "mcl"]
    assert main(command(folder, "--output_dir", str(folder / "weights"), *changed)) == 0
    weights = MclForPreTraining.from_pretrained(folder / "weights").config.loss_weights
    expected = {"mlm": 1, "slm": 2, "re_mlm": 1, "re_slm": 1, "rtd": 7, "std": 7, "itd": 7, "re_rtd": 7, "re_std": 0}
    assert weights == expected


def test_documents_are_kept_apart_where_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the pair and by its rows; said in the plan and the card; and kept up by a run that goes on from it."""
    run = folder / "apart"
    assert main(command(folder, "--output_dir", str(run), "--document_attention", "true")) == 0
    assert "documents  kept apart" in capsys.readouterr().out
    config = MclForPreTraining.from_pretrained(run).config
    assert config.document_attention
    assert "kept apart" in ModelCard.load(run / "README.md").text
    data, model = DataArguments(train_file=[str(folder / "text.txt")], max_seq_length=16), ModelArguments()
    model.model_name_or_path = str(run)
    training = MclTrainingArguments(str(folder / "further"), use_cpu=True, max_steps=1)
    rows = prepare(model, data, training).rows["train"]["input_ids"]
    after_sep = {row[i + 1] for row in rows for i in range(1, 14) if row[i] == config.sep_token_id}
    assert after_sep == {config.cls_token_id}
    data.line_by_line, data.document_attention = True, None
    assert not prepare(model, data, training).model.config.document_attention


def test_whole_words_are_taken_where_asked(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Said in the plan, the configuration and the card; kept up by a run that goes on from it, which ends at the same
    weights wherever it was interrupted."""
    run, words = folder / "words", ("--whole_word_mask", "true", "--save_strategy", "steps", "--save_steps", "1")
    assert main(command(folder, "--output_dir", str(run), *words)) == 0
    assert re.search(r"words      masked and swapped whole; one has \d+\.\d\d tokens in", capsys.readouterr().out)
    assert MclForPreTraining.from_pretrained(run).config.whole_word_mask
    assert "15 % swapped in whole words" in ModelCard.load(run / "README.md").text
    whole = load_file(run / "model.safetensors")
    shutil.rmtree(run / "checkpoint-3")
    assert main(command(folder, "--output_dir", str(run), *words, "--resume_from_checkpoint", "true")) == 0
    assert all(torch.equal(value, whole[name]) for name, value in load_file(run / "model.safetensors").items())
    data, model = DataArguments(train_file=[str(folder / "text.txt")], max_seq_length=16), ModelArguments()
    model.model_name_or_path = str(run)
    training = MclTrainingArguments(str(folder / "further"), use_cpu=True, max_steps=1)
    assert prepare(model, data, training).rows["train"].column_names == ["input_ids", "word_starts"]
    data.whole_word_mask = False
    again = prepare(model, data, training)
    assert again.rows["train"].column_names == ["input_ids"] and not again.model.config.whole_word_mask
    assert "tokens in the mean" not in caplog.text


@pytest.mark.parametrize("length", [16, 12])  # 12 is all the places that the model then has: no row is padded to 16
def test_line_by_line_rows_are_padded(folder: Path, length: int, tmp_path: Path) -> None:
    sizes = f"{SMALL},max_position_embeddings={length}"
    long = ["--line_by_line", "true", "--max_seq_length", str(length), "--config_overrides", sizes]
    assert main(command(folder, "--output_dir", str(tmp_path / "lines"), *long)) == 0
    assert (tmp_path / "lines" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mask_ratio", "1.5"], "mask_ratio=1.5"),
        (["--swap_ratio", "0"], "swap_ratio=0.0"),
        (["--mask_ratio", "0.97"], "mask_ratio=0.97 leaves less than a tenth of a row's 14 tokens"),
        (["--loss_weights", '{"re_rdt": 1}'], "did you mean 're_rtd'?"),
        (["--loss_weights", '{"rtd": -1}'], "loss_weights['rtd']=-1"),
        (["--max_seq_length", "129"], "max_position_embeddings=128"),
        (["--config_overrides", "hiden_size=8"], "did you mean 'hidden_size'?"),
        (["--config_overrides", "vocab_size=30"], "vocab_size is only 30"),
        (["--learning_rat", "1"], "did you mean --learning_rate?"),
        (["--tokenizer_name", "no-such-folder"], "no-such-folder"),
        (["--train_file", "no-such.txt"], "no-such.txt"),
        (["--preset", "huge"], "huge"),
        (["--attn_implementation", "flash_attention_2"], "relative position bias"),
        (["--learning_rate", "nan"], "learning_rate=nan must be 0 or more"),
        (["--gradient_accumulation_steps", "0"], "gradient_accumulation_steps=0 must be at least 1"),
        (["--max_steps", "0"], "max_steps=0 must be at least 1, or -1 for num_train_epochs"),
        (["--seed", "-1"], "seed=-1 must be from 0 to 2**32 - 1"),
        (["--metric_for_best_model", "rtd_auc"], "did you mean 'rtd_disc_auc'?"),
        (["--metric_for_best_model", "itd_masked_lm_loss"], "has no 'itd_masked_lm_loss'"),
        (["--optim", "galore_adamw"], "optim: "),
        (["--report_to", "no-such-tracker"], "no-such-tracker"),
        (["--ddp_find_unused_parameters", "false", "--course_warmup_steps", "2"], "does not go with course_warmup"),
        (["--ddp_find_unused_parameters", "false", "--generator_warmup_steps", "2"], "not go with generator_warmup"),
        (["--output_dir", __file__], "is a file"),
        (["--resume_from_checkpoint", "true"], "there is no whole checkpoint in"),
        (["--model_name_or_path", "no-such-pair"], "no-such-pair"),
        (["--backbone", "modernbret"], "did you mean the model type 'modernbert'?"),
        (["--backbone", "gpt2"], "backbone 'gpt2' is a decoder"),
        (["--whole_word_mask", "true", "--loss_weights", INSERTION], "none of the courses in use takes words (itd)"),
        (["--generator_init", "first"], "invalid choice: 'first'"),
    ],
)
def test_refuses_in_one_line_before_any_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    capsys.readouterr()
    assert main(command(folder, "--output_dir", str(tmp_path / "out"), *arguments)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("transformers-mcl pretrain: error: ")
    assert said in error
    assert not (tmp_path / "out").exists()


def test_refuses_a_folder_that_holds_another_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = (folder / "run" / "model.safetensors").read_bytes()
    assert main(command(folder, "--output_dir", str(folder / "run"))) == 2
    assert "holds another run (model.safetensors)" in capsys.readouterr().err
    assert (folder / "run" / "model.safetensors").read_bytes() == weights


def test_a_readme_of_the_users_is_not_written_over(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert main(command(folder, "--output_dir", str(tmp_path))) == 2
    assert "holds another run (README.md)" in capsys.readouterr().err


def test_overwriting_removes_the_checkpoints_of_the_other_run_only_once_it_trains(folder: Path) -> None:
    run = folder / "overwritten"
    old = run / "checkpoint-9"
    with writing(old, {}):
        (old / "trainer_state.json").write_text("{}")
    for name in ("checkpoint-7", "checkpoint-best", "mine"):
        (run / name).mkdir()
        (run / name / "note.txt").write_text(name)
    anew = command(folder, "--output_dir", str(run), "--overwrite_output_dir", "true")
    assert main([*anew, "--tokenizer_name", "no-such-folder"]) == 2
    assert old.exists()
    assert main(anew) == 0
    assert not old.exists()
    for name in ("checkpoint-7", "checkpoint-best", "mine"):
        assert (run / name / "note.txt").read_text() == name


def test_what_was_killed_before_its_first_checkpoint_begins_again_by_auto(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), writing(run / "checkpoint-1", {}):
        raise KeyboardInterrupt
    words = command(folder, "--output_dir", str(run), "--save_steps", "2")
    assert main(words) == 2  # it may be another's
    assert main([*words, "--resume_from_checkpoint", "auto"]) == 0
    assert {path.name for path in run.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}
    whole, begun = (load_file(path / "model.safetensors") for path in (folder / "run", run))
    assert all(torch.equal(value, begun[name]) for name, value in whole.items())


SAVED = {"save_strategy": "steps", "save_steps": 4}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--save_steps", "4"], SAVED),
        (["--save_steps", "0.5"], {"save_strategy": "steps", "save_steps": 0.5}),
        (["--config", "FILE"], SAVED),
        (["--save_steps", "4", "--save_strategy", "no"], {"save_strategy": "no"}),
        (["--save_steps", "4", "--save_strategy", "epoch"], {"save_strategy": "epoch"}),
        (["--save_total_limit", "1", "--save_steps", "4"], {**SAVED, "save_total_limit": 1}),
        (["--eval_steps", "5"], {"eval_strategy": "steps", "eval_steps": 5, "save_strategy": "no"}),
        (["--logging_steps", "5"], {"logging_strategy": "steps", "logging_steps": 5}),
        (["--load_best_model_at_end", "true"], {"save_strategy": "steps", "save_steps": 0.25}),
        (["--load_best_model_at_end", "true", "--eval_steps", "5"], {"save_strategy": "steps", "save_steps": 5}),
        (["--load_best_model_at_end", "true", "--eval_strategy", "epoch"], {"save_strategy": "epoch"}),
    ],
)
def test_an_argument_switches_on_what_it_needs(tmp_path: Path, words: list[str], values: dict[str, object]) -> None:
    (tmp_path / "file.yaml").write_text("save_steps: 4\n")
    words = [str(tmp_path / "file.yaml") if word == "FILE" else word for word in words]
    fixed = ["--output_dir", "out", "--preset", "tiny", "--use_cpu", "true"]
    args = arguments_of([*fixed, *words], "pretrain", "", DryRun)[3]
    assert {name: getattr(args, name) for name in values} == values


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--save_total_limit", "1"], "save_total_limit=1 does nothing where save_strategy is no: give --save_steps"),
        (["--save_only_model", "true"], "save_only_model=True does nothing where save_strategy is no"),
        (["--load_best_model_at_end", "true", "--eval_strategy", "no", "--save_steps", "4"], "strategy to match"),
    ],
)
def test_an_argument_that_would_do_nothing_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        arguments_of(["--output_dir", "out", "--preset", "tiny", "--use_cpu", "true", *words], "pretrain", "", DryRun)


def test_a_tokenizer_of_other_special_tokens_does_not_go_on_a_pair(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = AutoTokenizer.from_pretrained(folder / "tokenizer")
    other.mask_token = "sea"
    other.save_pretrained(tmp_path / "other")
    more = ["--model_name_or_path", str(folder / "run"), "--tokenizer_name", str(tmp_path / "other")]
    assert main(command(folder, "--output_dir", str(tmp_path / "out"), *more)) == 2
    assert "mask_token_id is" in capsys.readouterr().err


def test_text_without_a_tokenizer_is_told_how_to_make_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ["--train_file", str(folder / "text.txt"), "--output_dir", str(folder / "none")]
    assert main(["pretrain", *text]) == 2
    assert "transformers-mcl tokenizer" in capsys.readouterr().err


def test_a_later_checkpoint_beside_the_one_to_resume_from_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saving = ["--output_dir", str(tmp_path / "run"), "--save_strategy", "steps", "--save_steps", "1"]
    saving += ["--save_total_limit", "3"]
    assert main(command(folder, *saving)) == 0
    capsys.readouterr()
    assert main(command(folder, *saving, "--resume_from_checkpoint", str(tmp_path / "run" / "checkpoint-1"))) == 2
    assert "checkpoint-3 stands beside" in capsys.readouterr().err
    assert main(command(folder, *saving, "--resume_from_checkpoint", "true", "--max_steps", "2")) == 2
    assert "max_steps=2 is below the 3 steps" in capsys.readouterr().err


def test_presets_keep_two_checkpoints(folder: Path) -> None:
    saving = ["--output_dir", str(folder / "kept"), "--save_strategy", "steps", "--save_steps", "1"]
    assert main(command(folder, *saving)) == 0
    assert {path.name for path in (folder / "kept").glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}
    for preset in ("tiny", "mini", "small", "base", "large"):
        assert yaml.safe_load(preset_path(preset).read_text())["save_total_limit"] == 2


def test_the_sentence_that_is_shown_is_one_that_is_known(folder: Path, tmp_path: Path) -> None:
    unknown, known = "\u0e01\u0e34 " * 40, "the chef cooked a meal " * 40
    (tmp_path / "held_out.txt").write_text("\n".join([unknown, known, known]), encoding="utf-8")
    more = ["--validation_file", str(tmp_path / "held_out.txt"), "--line_by_line", "true"]
    assert main(command(folder, *more, "--output_dir", str(tmp_path / "run"))) == 0
    run = prepare(
        ModelArguments(model_name_or_path=str(tmp_path / "run")),
        DataArguments(
            train_file=[str(folder / "text.txt")],
            validation_file=[str(tmp_path / "held_out.txt")],
            max_seq_length=16,
            line_by_line=True,
        ),
        MclTrainingArguments(output_dir=str(tmp_path / "none"), max_steps=1, use_cpu=True, report_to="none"),
    )
    unk = run.tokenizer.unk_token_id
    assert set(run.rows["validation"][0]["input_ids"][1:-1]) == {unk}
    assert (run.held_out_text or "").startswith("the chef cooked")
    run.rows["validation"] = run.rows["validation"].map(lambda row: {"input_ids": [unk for _ in row["input_ids"]]})
    assert run.held_out_text is None


def test_text_that_the_tokenizer_does_not_know(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lost, part = tmp_path / "lost.txt", tmp_path / "part.txt"
    lost.write_text("\n".join(["\u0e01\u0e34\u0e19 the chef", "\u0e01" * 50] * 200), encoding="utf-8")
    part.write_text("\n".join(["the chef cooked a meal \u0e01"] * 400), encoding="utf-8")
    for stream in (["--streaming", "true", "--validation_documents", "20"], []):
        words = ["--train_file", str(lost), *stream, "--output_dir", str(tmp_path / "run"), "--dry_run", "true"]
        held_out = ["--validation_file", str(part)]
        capsys.readouterr()
        assert main(command(folder, *words, *held_out)) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "88.3% of the characters of the train text are unknown to the tokenizer" in said
        caplog.clear()
        assert main(command(folder, *words, "--train_file", str(part))) == 0
        assert capsys.readouterr().out.count("(5.26% of characters unknown)") == 2
        assert "5.3% of the characters of the train text are unknown" in caplog.text
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_with_holes_has_an_embedding_for_each_id(folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocab = state["model"]["vocab"]
    state["model"]["vocab"] = {token: 2 * number if number > 4 else number for token, number in vocab.items()}
    shutil.copytree(folder / "tokenizer", tmp_path / "holes")
    (tmp_path / "holes" / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    words = ["--tokenizer_name", str(tmp_path / "holes"), "--output_dir", str(tmp_path / "run")]
    for backbone in (
        [],
        ["--backbone", "bert", "--config_overrides", "num_attention_heads=2,hidden_size=16,num_hidden_layers=1"],
    ):
        assert main(command(folder, *words, *backbone, "--overwrite_output_dir", "true")) == 0
        pair = AutoModelForPreTraining.from_pretrained(tmp_path / "run")
        assert pair.config.vocab_size == 2 * (len(tokenizer) - 1) + 1


def test_the_tokenizer_knows_the_models_positions(folder: Path) -> None:
    pair = AutoModelForPreTraining.from_pretrained(folder / "run")
    tokenizer = AutoTokenizer.from_pretrained(folder / "run")
    assert tokenizer.model_max_length == pair.config.max_position_embeddings == 128


def test_documents_apart_need_a_token_of_their_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", cls_token="[SEP]")
    tokenizer.save_pretrained(tmp_path / "one")
    words = ["--tokenizer_name", str(tmp_path / "one"), "--output_dir", str(tmp_path / "run")]
    assert main(command(folder, *words, "--document_attention", "true")) == 2
    assert "one token as cls_token and sep_token" in capsys.readouterr().err
