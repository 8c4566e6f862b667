"""The end of the study: soups of the ingredients, and all of them judged alike, in one table and one picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from course_soups.plots import plot_scores
from course_soups.study import CORRECTIONS, INGREDIENTS, MCL, Study, module_command
from jobs import Job, run_jobs
from transformers_mcl import make_soup
from transformers_mcl.errors import UserError
from transformers_mcl.evaluation.minimal_pairs import BLIMP, PairsArguments, load_pairs
from transformers_mcl.io import markdown_table, read_json, versions, write_json, write_text
from transformers_mcl.soups.diagnosis import diagnose, save_diagnosis, save_tug_of_war
from transformers_mcl.soups.scores import PairsScore, PretrainingLoss

__all__ = ["LOSS", "finish", "results_markdown"]

LOSS, PAIRS = "held-out loss", "minimal pairs"
_LOWER_IS_BETTER = {LOSS}

Say = Callable[[str], object]


@dataclass(frozen=True)
class _Judge:
    """Figures of a checkpoint, and what they depend on."""

    key: str
    source: str
    figures: Callable[[str, Path], dict[str, float]]


def finish(study: Study, say: Say) -> str:
    """Makes the soups, judges them and what they are made of, and writes `results.json`, `.md` and `.png`.

    What was done for the same ingredients in the same way is not done again.

    Returns:
        The table as Markdown.

    Raises:
        UserError: an ingredient is not trained yet.
    """
    if missing := [name for name in study.names if not study.is_done(name)]:
        raise UserError(f"ingredients: {', '.join(missing)} are not trained yet: without --train_only they are")
    choosing, judging, pairs = _held_out(study, 0), _held_out(study, 1), _pairs(study)
    models = {name: study.ingredient(name) for name in study.names}
    coefficients = {}
    for method in study.args.methods:
        coefficients[method] = _make(study, method, pairs if study.args.soup_score == "blimp" else choosing, say)
        models[f"{method} soup"] = study.folder / "soups" / method
    judges = [_Judge("loss", f"{LOSS}: {judging.source}", lambda _, folder: {LOSS: -judging(folder)})]
    if pairs is not None:
        judges.append(_Judge("pairs", f"{PAIRS}: {pairs.source}", lambda _, folder: {PAIRS: pairs(folder)}))
    if study.args.finetune_config:
        judges.append(_finetune(study, models, say))
    scores = {}
    for number, (name, folder) in enumerate(models.items(), 1):
        say(f"[{number}/{len(models)}] judging {name}")
        scores[name] = _judge(study, name, folder, judges)
    text = _save(study, scores, coefficients, [judge.source for judge in judges])
    if study.args.diagnose:
        _diagnose(study, judging, say)
    return text


def _held_out(study: Study, half: int) -> PretrainingLoss:
    """Every other held-out row: on one half soups are chosen, on the other all are judged."""
    rows = study.rows.select(range(half, len(study.rows), 2))
    args = study.training_args
    source = f"every other of {len(study.rows):,} held-out rows, from the {('first', 'second')[half]} on"
    return PretrainingLoss(
        study.config,
        rows,
        study.tokenizer,
        source,
        batch_size=args.per_device_eval_batch_size,
        seed=args.eval_seed,
        device=args.device,
    )


def _pairs(study: Study) -> PairsScore | None:
    """Minimal pairs, if they were asked for."""
    args = study.args
    if not (args.blimp or args.pairs_file):
        return None
    pairs = load_pairs(PairsArguments(args.pairs_file, args.limit))
    source = f"{len(pairs):,} pairs of {', '.join(args.pairs_file or [BLIMP.source])}"
    return PairsScore(pairs, study.tokenizer, source=source, device=study.training_args.device)


def _make(study: Study, method: str, score: Any, say: Say) -> dict[str, float]:
    """Makes a soup, unless it is there; the coefficient of each ingredient."""
    folder, record = study.folder / "soups" / method, study.folder / "soups" / f"{method}.json"
    names = [name for name in study.names if name != MCL]
    evaluations = study.args.max_evaluations
    how = {"ingredients": names, "score": str(score), "max_evaluations": evaluations if method == "learned" else None}
    found = read_json(record)
    if found is not None and found["how"] == how and folder.is_dir():
        return dict(zip(names, found["coefficients"], strict=True))
    for stale in (folder, study.folder / "finetuned" / f"{method} soup"):
        shutil.rmtree(stale, ignore_errors=True)
    _scores_file(study, f"{method} soup").unlink(missing_ok=True)
    checkpoints = [study.ingredient(name) for name in names]
    soup = make_soup(checkpoints, folder, method, score=score, max_evaluations=evaluations, report=say)
    write_json(record, {"how": how, **asdict(soup)})
    return dict(zip(names, soup.coefficients, strict=True))


def _finetune(study: Study, models: Mapping[str, Path], say: Say) -> _Judge:
    """Fine-tunes all that are not fine-tuned yet, on the devices that they were trained on."""
    config = Path(study.args.finetune_config or "")
    source = f"fine-tuned with {config}:\n{config.read_text(encoding='utf-8')}"
    finetuned = study.folder / "finetuned"
    jobs = []
    for name, folder in models.items():
        if _known(study, name).get("finetuned", {}).get("source") == source:
            continue
        words = ["--config", str(config), "--model_name_or_path", str(folder), "--output_dir", str(finetuned / name)]
        jobs.append(Job(name, module_command("finetune", *words), finetuned / f"{name}.log"))
    run_jobs(jobs, study.environments, say, "fine-tuning")
    return _Judge("finetuned", source, lambda name, _: _finetuned(finetuned / name / "results.json"))


def _finetuned(path: Path) -> dict[str, float]:
    """The best setting's main figure of each task, and their average."""
    found = json.loads(path.read_text(encoding="utf-8"))
    best = [entry for entry in found["summary"] if entry["best"]]
    tasks = {entry["task"]: entry["metrics"][entry["main_metric"]]["median"] for entry in best}
    average = found["average"] if found["average"] is not None else fmean(tasks.values())
    return tasks | ({"average": average} if len(tasks) > 1 else {})


def _scores_file(study: Study, name: str) -> Path:
    return study.folder / "scores" / f"{name}.json"


def _known(study: Study, name: str) -> dict[str, Any]:
    return read_json(_scores_file(study, name)) or {}


def _judge(study: Study, name: str, folder: Path, judges: Sequence[_Judge]) -> dict[str, float]:
    known = _known(study, name)
    figures: dict[str, float] = {}
    for judge in judges:
        if known.get(judge.key, {}).get("source") != judge.source:
            known[judge.key] = {"source": judge.source, "figures": judge.figures(name, folder)}
            write_json(_scores_file(study, name), known)
        figures |= known[judge.key]["figures"]
    return figures


def _save(
    study: Study,
    scores: Mapping[str, Mapping[str, float]],
    coefficients: Mapping[str, Mapping[str, float]],
    sources: Sequence[str],
) -> str:
    args = study.training_args
    results = {
        "scores": scores,
        "coefficients": coefficients,
        "judged_on": sources,
        "corrections": {name: list(INGREDIENTS.get(name, CORRECTIONS)) for name in study.names},
        "plan": study.plan,
        "seed": args.seed,
        "device": str(args.device),
        "versions": versions(),
    }
    write_json(study.folder / "results.json", results)
    judged = "".join(f"- {source.splitlines()[0].rstrip(':')}\n" for source in sources)
    text = f"# Course soups\n\n{results_markdown(scores)}\n\n{judged}\n{_coefficients(coefficients)}"
    text += f"MCL's run:\n\n```text\n{study.plan}\n```\n"
    write_text(study.folder / "results.md", text)
    plot_scores(scores, study.folder / "results.png", f"Course soups, seed {args.seed}", _LOWER_IS_BETTER)
    return text


def results_markdown(scores: Mapping[str, Mapping[str, float]]) -> str:
    """A row a model, best figures bold: the ingredients, their mean, MCL, the soups.

    Args:
        scores: figures by model, as `INGREDIENTS` and `MCL` name them; others are soups.
    """
    columns = list(next(iter(scores.values())))
    best = {
        column: (min if column in _LOWER_IS_BETTER else max)(figures[column] for figures in scores.values())
        for column in columns
    }
    ingredients = [name for name in scores if name in INGREDIENTS]
    rows = []
    for name in [*ingredients, *(name for name in scores if name not in ingredients)]:
        has = INGREDIENTS.get(name, CORRECTIONS if name == MCL else ())
        figures = [f"{value:.4f}" for value in scores[name].values()]
        bold = [
            f"**{shown}**" if scores[name][column] == best[column] else shown
            for column, shown in zip(columns, figures, strict=True)
        ]
        rows.append([name, *("●" if loss in has else "" for loss in CORRECTIONS), *bold])
    if len(ingredients) > 1:
        means = [f"{fmean(scores[name][column] for name in ingredients):.4f}" for column in columns]
        rows.insert(len(ingredients), ["*their mean*", *[""] * len(CORRECTIONS), *means])
    align = "l" + "c" * len(CORRECTIONS) + "r" * len(columns)
    return markdown_table(["model", *CORRECTIONS, *columns], rows, align)


def _coefficients(coefficients: Mapping[str, Mapping[str, float]]) -> str:
    """A column a soup."""
    if not coefficients:
        return ""
    names = list(next(iter(coefficients.values())))
    rows = [[name, *(f"{shares[name]:.3f}" for shares in coefficients.values())] for name in names]
    return f"{markdown_table(['coefficient of', *coefficients], rows)}\n\n"


def _diagnose(study: Study, judging: PretrainingLoss, say: Say) -> None:
    folder, points = study.folder / "diagnosis", study.args.diagnose_points
    found = read_json(folder / "diagnosis.json") or {"ingredients": None}
    if found["ingredients"] == study.names and all(len(one["losses"]) == points + 2 for one in found["lines"]):
        return
    pairs = len(study.names) * (len(study.names) - 1) // 2
    say(f"measuring distances, angles and barriers of {pairs} pairs")
    checkpoints = [study.ingredient(name) for name in study.names]
    save_diagnosis(diagnose(checkpoints, initial_model=study.initial, score=judging, points=points), folder)
    save_tug_of_war(judging, study.ingredient(MCL if MCL in study.names else study.names[0]), folder)
