"""The page of the experiments, made of their results alone: tables, verdicts and pictures.

python examples/experiments/report.py examples/experiments/results/cpu docs/experiments.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this folder and what it shares with others lie
from experiments.figures import FIGURES, JUDGES, Results, Verdict, collapse, verdict
from experiments.plan import FOLDER, Question, Scale, load_questions, load_scale
from experiments.plots import plot_bars, plot_compute, plot_rates
from jobs import exit_status
from transformers_mcl.errors import UserError
from transformers_mcl.io import markdown_table, write_text

__all__ = ["write_report"]

DRAWN = {"bars": plot_bars, "compute": plot_compute, "rates": plot_rates}
"""By the name of a question's picture what draws it."""
UNTRAINED = "untrained"
"""The run that others are held against to see whether a figure says anything."""


def _spread(values: Iterable[float], digits: int) -> str:
    known = list(values)
    if not known:
        return ""
    text = f"{median(known):.{digits}f}"
    return text if len(known) == 1 else f"{text} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def results_table(results: Results, question: Question) -> str:
    """A row a run: seeds, steps, cost, and medians of every figure that some run has, with lowest and highest."""
    runs = results.runs_of(question)
    figures = [figure for figure in FIGURES if any(results.values(run, figure) for run in runs)]
    head = ["run", "seeds", "steps", "tokens, millions", "epochs", "operations", "minutes"]
    rows = []
    for run in runs:
        cells = [_spread(results.values(run, figure).values(), figure.digits) for figure in figures]
        rows.append([results.label(run), str(len(results.by_run[run])), *_cost(results, run), *cells])
    head += [figure.name for figure in figures]
    if question.picture == "rates":
        head.append("collapsed")
        for run, row in zip(runs, rows, strict=True):
            row.append("; ".join(filter(None, map(collapse, results.by_run[run].values()))))
    return markdown_table(head, rows)


def _cost(results: Results, run: str) -> list[str]:
    """Steps, tokens, passes over the text, operations as multiples of ELECTRA's, and minutes; of a soup nothing."""
    found = list(results.by_run[run].values())
    if "flops" not in found[0]:
        return [""] * 5
    electra = [result["flops"] for result in results.by_run.get("electra", {}).values()]
    flops = f"{fmean(result['flops'] for result in found) / fmean(electra):.2f}" if electra else ""
    minutes = median(result["seconds"] for result in found) / 60
    epochs = "" if found[0].get("epochs") is None else f"{found[0]['epochs']:.2f}"
    return [f"{found[0]['steps']:,}", f"{found[0]['tokens'] / 1e6:.2f}", epochs, flops, f"{minutes:.1f}"]


Compared = dict[tuple[str, str], dict[str, Verdict | None]]
"""What each comparison that there are runs for says, by the two runs and by figure."""


def compared(results: Results, question: Question) -> Compared:
    """All comparisons of a question."""
    return {
        (first, second): {
            figure.name: verdict(results.values(first, figure), results.values(second, figure), figure)
            for figure in results.judges
        }
        for first, second in question.compare
        if first in results.by_run and second in results.by_run
    }


def comparisons(results: Results, found: Compared) -> str:
    """A row a comparison."""
    rows = [
        [f"{results.label(first)} than {results.label(second)}", *(str(one or "–") for one in verdicts.values())]
        for (first, second), verdicts in found.items()
    ]
    return markdown_table(["better by", *(figure.name for figure in results.judges)], rows)


def in_short(results: Results, found: Mapping[str, Compared], questions: Iterable[Question]) -> str:
    """Differences that are more than chance, and how many comparisons have none, too few seeds, or no runs yet."""
    held = [(first, one) for of in found.values() for (first, second), one in of.items() if second == UNTRAINED]
    telling = _telling(verdicts for _, verdicts in held)
    lines = []
    if dumb := [figure.name for figure in results.judges if figure.name not in telling]:
        pairs = " nor ".join(f"*{results.label(first)}*" for first, _ in held)
        lines = [
            f"Left out here: {'; '.join(dumb)}. By them neither {pairs} is beyond chance better than untrained.",
            "",
        ]
    for question in (one for one in questions if one.compare):
        differences = found[question.title]
        said, quiet, few = [], 0, 0
        for (first, second), verdicts in differences.items():
            told = {name: one for name, one in verdicts.items() if one and name in telling}
            counting = {word: _counting(sign, told) for word, sign in (("better", 1), ("worse", -1))}
            a, b = results.label(first), results.label(second)
            said += [f"{a} **{word}** than {b}: {'; '.join(figures)}" for word, figures in counting.items() if figures]
            tested = any(one.error is not None for one in told.values())
            quiet += tested and not any(counting.values())
            few += not tested
        said += [f"{quiet} compared, and within the spread of the seeds"] * bool(quiet)
        said += [f"{few} compared with too few seeds to tell from chance"] * bool(few)
        missing = len(question.compare) - len(differences)
        said += [f"{missing if differences else 'all'} not run yet"] * bool(missing)
        lines += [f"- *{question.title}*", *(f"    - {line}" for line in said)]
    return "\n".join(lines)


def _counting(sign: int, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Figures that differ beyond chance, and in that direction."""
    return [
        f"{name} {one.mean:+.{one.digits}f}" for name, one in verdicts.items() if one.counts and one.mean * sign > 0
    ]


def _telling(held: Iterable[Mapping[str, Verdict | None]]) -> set[str]:
    """Figures by which some pair is beyond chance better than an untrained one; all, if none was held against one."""
    tested = [(name, one) for verdicts in held for name, one in verdicts.items() if one and one.error is not None]
    if not tested:
        return {figure.name for figure in JUDGES}
    return {name for name, one in tested if one.counts and one.mean > 0}


def write_report(folder: Path, page: Path, scale: Scale | None = None) -> str:
    """Writes the page and its pictures, which lie beside it in `assets/`.

    Args:
        folder: of results.
        page: a Markdown file.
        scale: what the results are of; by default what `scales/` has under their name for it.

    Returns:
        What was written, in a line.
    """
    results = Results(folder)
    scale = scale or load_scale(results.scale)
    if scale.name != results.scale:
        raise UserError(f"{folder}: results of the scale {results.scale!r}, not of {scale.name!r}")
    every, _ = load_questions()
    questions = [every[name] for name in scale.asked(every)]
    found = {question.title: compared(results, question) for question in every.values()}
    arguments = f"{folder.as_posix()} {page.as_posix()}"
    if not (FOLDER / "scales" / f"{scale.name}.yaml").is_file():
        arguments += f" {scale.name}.yaml"
    parts = [_head(results, scale, arguments), "## In short", in_short(results, found, questions)]
    if scale.brief:
        runs = tuple(dict.fromkeys(run for question in questions for run in question.runs))
        parts += ["## All runs", results_table(results, Question("all", "All runs", "", runs))]
    else:
        (page.parent / "assets").mkdir(parents=True, exist_ok=True)
        for question in questions:
            parts += _answer(results, question, found[question.title], page)
        parts.append((FOLDER / "try.md").read_text(encoding="utf-8"))
    write_text(page, "\n\n".join(part.strip() for part in parts if part.strip()) + "\n")
    return f"{page}, of {len(results.all)} results"


def _answer(results: Results, question: Question, differences: Compared, page: Path) -> list[str]:
    """The section of a question; draws its picture."""
    parts = [f"## {question.title}", question.text]
    if not differences and (question.compare or not results.runs_of(question)):
        return [*parts, f"*Not run yet at the scale `{results.scale}`.*"]
    picture = page.parent / "assets" / f"{page.stem}_{question.name}.png"
    DRAWN[question.picture](picture, results, question, results.judges)
    parts += [results_table(results, question), comparisons(results, differences) if differences else ""]
    return [*parts, f"![{question.title}](assets/{picture.name})"]


def _head(results: Results, scale: Scale, arguments: str) -> str:
    versions = sorted({f"{k} {v}" for result in results.all for k, v in result["versions"].items()})
    hardware = sorted({result["hardware"] + ", bfloat16" * result.get("bf16", False) for result in results.all})
    tokens = sum(result.get("tokens") or 0 for result in results.all)
    flops = sum(result.get("flops") or 0 for result in results.all)
    references = {result["alike"]["reference"] for result in results.all if "alike" in result}
    metrics = {
        f"{task.upper()} {of['metric']}" for result in results.all for task, of in result.get("glue", {}).items()
    }
    probed = " *Probes*: the mean of what a linear classifier reads in the best layer of the frozen encoder, by task."
    hours = sum(result.get("seconds") or 0 for result in results.all) / 3600
    return (
        (FOLDER / ("brief.md" if scale.brief else "page.md"))
        .read_text(encoding="utf-8")
        .format(
            scale=results.scale,
            title=scale.title,
            about=" ".join(scale.about.split()),
            arguments=arguments,
            results=len(results.all),
            reference="".join(f"`{reference}`" for reference in references) or "no run yet",
            metrics=", ".join(sorted(metrics)) or "none yet",
            probes=probed if any("probes" in result for result in results.all) else "",
            tokens=f"{tokens / 1e6:.0f} million",
            flops=f"{flops:.2g}",
            hours=f"{hours:.1f}",
            hardware="; ".join(hardware),
            versions=", ".join(versions),
        )
    )


def main(words: Sequence[str]) -> int:
    if len(words) not in (2, 3):
        print("usage: report.py RESULTS PAGE.md [SCALE]", file=sys.stderr)
        return 2
    results, page, *scale = words
    return exit_status(
        "report.py",
        lambda: print(write_report(Path(results), Path(page), load_scale(scale[0]) if scale else None)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
