"""The end of the recipe: soups of the ingredients, and all of them judged alike, in one table and one picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import UserError
from ..evaluation.minimal_pairs import BLIMP, PairsArguments, load_pairs
from ..jobs import Job, run_jobs
from .cooking import make_soup
from .diagnosis import diagnose, save_diagnosis, save_tug_of_war, versions
from .recipe import CORRECTIONS, INGREDIENTS, MCL, CourseSoups, module_command
from .recipe_picture import plot_scores
from .scores import PairsScore, PretrainingLoss

__all__ = ["LOSS", "finish", "results_markdown"]

LOSS, PAIRS = "held-out loss", "minimal pairs"
_LOWER_IS_BETTER = {LOSS}

Say = Callable[[str], object]


@dataclass(frozen=True)
class _Judge:
    """Figures of a checkpoint, and what they depend on."""

    key: str
    source: str
    figures: Callable[[Path], dict[str, float]]


def finish(soups: CourseSoups, say: Say) -> str:
    """Makes the soups, judges them and what they are made of, and writes `results.json`, `.md` and `.png`.

    What was done for the same ingredients in the same way is not done again.

    Returns:
        The table as Markdown.

    Raises:
        UserError: an ingredient is not trained yet.
    """
    if missing := [name for name in soups.names if not soups.is_done(name)]:
        raise UserError(f"ingredients: {', '.join(missing)} are not trained yet: without --train_only they are")
    choosing, judging = _held_out(soups, 0), _held_out(soups, 1)
    models = {name: soups.ingredient(name) for name in soups.names}
    coefficients = {}
    for method in soups.args.methods:
        coefficients[method] = _cook(soups, method, _pairs(soups) or choosing, say)
        models[f"{method} soup"] = soups.folder / "soups" / method
    judges = [_Judge("loss", f"{LOSS}: {judging.source}", lambda folder: {LOSS: -judging(folder)})]
    if (pairs := _pairs(soups, both=False)) is not None:
        judges.append(
            _Judge("pairs", f"minimal pairs: {pairs.source}", lambda folder: {"minimal pairs": pairs(folder)})
        )
    if soups.args.finetune_config:
        judges.append(_finetune(soups, models, say))
    scores = {}
    for number, (name, folder) in enumerate(models.items(), 1):
        say(f"[{number}/{len(models)}] judging {name}")
        scores[name] = _judge(soups, name, folder, judges)
    text = _save(soups, scores, coefficients, [judge.source for judge in judges])
    if soups.args.diagnose:
        _diagnose(soups, judging, say)
    return text


def _held_out(soups: CourseSoups, half: int) -> PretrainingLoss:
    """Every other held-out row: on one half soups are chosen, on the other all are judged."""
    rows = soups.rows.select(range(half, len(soups.rows), 2))
    args = soups.training_args
    source = f"every other of {len(soups.rows):,} held-out rows, from the {('first', 'second')[half]} on"
    return PretrainingLoss(
        soups.config,
        rows,
        soups.tokenizer,
        source,
        batch_size=args.per_device_eval_batch_size,
        seed=args.eval_seed,
        device=args.device,
    )


def _pairs(soups: CourseSoups, both: bool = True) -> PairsScore | None:
    """Minimal pairs, if they were asked for; to choose soups by (`both`), if that was."""
    args = soups.args
    if not (args.blimp or args.pairs_file) or (both and args.soup_score != "blimp"):
        return None
    pairs = load_pairs(PairsArguments(args.pairs_file, args.limit))
    source = f"{len(pairs):,} pairs of {', '.join(args.pairs_file or [BLIMP.source])}"
    return PairsScore(pairs, soups.tokenizer, source=source, device=soups.training_args.device)


def _cook(soups: CourseSoups, method: str, score: Any, say: Say) -> dict[str, float]:
    """Makes a soup, unless it is there; the coefficient of each ingredient."""
    folder, record = soups.folder / "soups" / method, soups.folder / "soups" / f"{method}.json"
    names = [name for name in soups.names if name != MCL]
    evaluations = soups.args.max_evaluations
    how = {"ingredients": names, "score": str(score), "max_evaluations": evaluations if method == "learned" else None}
    if record.is_file() and folder.is_dir():
        found = json.loads(record.read_text(encoding="utf-8"))
        if found["how"] == how:
            return dict(zip(names, found["coefficients"], strict=True))
    for stale in (folder, soups.folder / "finetuned" / f"{method} soup"):
        shutil.rmtree(stale, ignore_errors=True)
    _scores_file(soups, f"{method} soup").unlink(missing_ok=True)
    checkpoints = [soups.ingredient(name) for name in names]
    soup = make_soup(checkpoints, folder, method, score=score, max_evaluations=evaluations, report=say)
    record.write_text(json.dumps({"how": how, **asdict(soup)}, indent=2) + "\n", encoding="utf-8")
    return dict(zip(names, soup.coefficients, strict=True))


def _finetune(soups: CourseSoups, models: Mapping[str, Path], say: Say) -> _Judge:
    """Fine-tunes all that are not fine-tuned yet, on the devices that they were trained on."""
    config = Path(soups.args.finetune_config or "")
    judge = _Judge("finetuned", f"fine-tuned with {config}:\n{config.read_text(encoding='utf-8')}", _finetuned(soups))
    jobs = []
    for name, folder in models.items():
        if _known(soups, name).get(judge.key, {}).get("source") == judge.source:
            continue
        output = soups.folder / "finetuned" / name
        words = ["--config", str(config), "--model_name_or_path", str(folder), "--output_dir", str(output)]
        jobs.append(Job(name, module_command("finetune", *words), output.parent / f"{name}.log"))
    run_jobs(jobs, soups.environments, say, "fine-tuning")
    return judge


def _finetuned(soups: CourseSoups) -> Callable[[Path], dict[str, float]]:
    def figures(folder: Path) -> dict[str, float]:
        name = folder.name if folder.parent.name == "ingredients" else f"{folder.name} soup"
        path = soups.folder / "finetuned" / name / "results.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        best = [entry for entry in found["summary"] if entry["best"]]
        tasks = {entry["task"]: entry["metrics"][entry["main_metric"]]["median"] for entry in best}
        average = found["average"] if found["average"] is not None else fmean(tasks.values())
        return tasks | ({"average": average} if len(tasks) > 1 else {})

    return figures


def _scores_file(soups: CourseSoups, name: str) -> Path:
    return soups.folder / "scores" / f"{name}.json"


def _known(soups: CourseSoups, name: str) -> dict[str, Any]:
    path = _scores_file(soups, name)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _judge(soups: CourseSoups, name: str, folder: Path, judges: Sequence[_Judge]) -> dict[str, float]:
    known, path = _known(soups, name), _scores_file(soups, name)
    figures: dict[str, float] = {}
    for judge in judges:
        if known.get(judge.key, {}).get("source") != judge.source:
            known[judge.key] = {"source": judge.source, "figures": judge.figures(folder)}
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        figures |= known[judge.key]["figures"]
    return figures


def _save(
    soups: CourseSoups,
    scores: Mapping[str, Mapping[str, float]],
    coefficients: Mapping[str, Mapping[str, float]],
    sources: Sequence[str],
) -> str:
    args = soups.training_args
    results = {
        "scores": scores,
        "coefficients": coefficients,
        "judged_on": sources,
        "corrections": {name: list(INGREDIENTS.get(name, CORRECTIONS)) for name in soups.names},
        "plan": soups.plan,
        "seed": args.seed,
        "device": str(args.device),
        "versions": versions(),
    }
    (soups.folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    judged = "".join(f"- {source.splitlines()[0].rstrip(':')}\n" for source in sources)
    text = f"# Course soups\n\n{results_markdown(scores)}\n{judged}\n{_coefficients(coefficients)}\n"
    text += f"MCL's run:\n\n```text\n{soups.plan}\n```\n"
    (soups.folder / "results.md").write_text(text, encoding="utf-8")
    plot_scores(scores, soups.folder / "results.png", f"Course soups, seed {args.seed}", _LOWER_IS_BETTER)
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
    rows = [["model", *CORRECTIONS, *columns], ["---", *[":---:"] * len(CORRECTIONS), *["---:"] * len(columns)]]
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
        rows.insert(2 + len(ingredients), ["*their mean*", *[""] * len(CORRECTIONS), *means])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _coefficients(coefficients: Mapping[str, Mapping[str, float]]) -> str:
    """A column a soup."""
    if not coefficients:
        return ""
    names = list(next(iter(coefficients.values())))
    rows = [["coefficient of", *coefficients], ["---", *["---:"] * len(coefficients)]]
    rows += [[name, *(f"{shares[name]:.3f}" for shares in coefficients.values())] for name in names]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _diagnose(soups: CourseSoups, judging: PretrainingLoss, say: Say) -> None:
    folder, points = soups.folder / "diagnosis", soups.args.diagnose_points
    if (folder / "diagnosis.json").is_file():
        found = json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))
        if found["ingredients"] == soups.names and all(len(one["losses"]) == points + 2 for one in found["lines"]):
            return
    pairs = len(soups.names) * (len(soups.names) - 1) // 2
    say(f"measuring distances, angles and barriers of {pairs} pairs")
    checkpoints = [soups.ingredient(name) for name in soups.names]
    save_diagnosis(diagnose(checkpoints, initial_model=soups.initial, score=judging, points=points), folder)
    save_tug_of_war(judging, soups.ingredient(MCL if MCL in soups.names else soups.names[0]), folder)
