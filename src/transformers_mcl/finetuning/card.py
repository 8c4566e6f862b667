"""The model card of a fine-tuned model, with its metrics where the Hub reads them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..hub.card_results import save_registered
from ..hub.citation import INSTALL, PACKAGE, citation
from ..io import local_name, markdown_code, markdown_table, markdown_text, write_text
from .results import results_markdown
from .source import Source
from .task import LoadedTask

__all__ = ["FinetunedCard"]

# The Hub's names of metrics, where they are others.
_TYPES = {"exact": "exact_match", "pearson": "pearsonr"}
# Figures of a part of the examples, of a threshold that was chosen on them, or counts.
_PART = re.compile(r"HasAns|NoAns|best_|total")
_MOST_CLASSES = 30  # that a card shows one by one
_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")


@dataclass
class FinetunedCard:
    """What there is to say of a fine-tuned model. Of files and folders only the names are said, and of data only what
    was loaded.

    Attributes:
        base_model: what it was fine-tuned from.
        result: the run that gave this model: `metrics`, `main_metric`, `steps`, `seconds`, `seed`.
        entries: the summaries of all runs it was chosen from.
        recipe: the arguments of its run.
        language, license: of the model, as the Hub writes them.
    """

    name: str
    base_model: str
    model_type: str
    task: LoadedTask
    result: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]
    language: list[str] | None = None
    license: str | None = None

    def save(self, folder: Path) -> None:
        """Writes the card, `README.md`, into the model's folder, whose pictures it shows; and what is a result on a
        benchmark that the Hub has registered."""
        sections = [f"# {markdown_text(self.name)}", self._opening(), "## How to use it", self._usage(), "## Results"]
        sections += [*self._results(), "## How it was trained", self._setup(), "![The course of training](curves.png)"]
        sections.append(citation(paper=self._is_ours))
        text = "\n\n".join(sections)
        card = ModelCard(f"---\n{self._data().to_yaml()}\n---\n\n{text}\n")
        write_text(folder / "README.md", str(card))
        save_registered(folder, self._eval_results())

    @property
    def _is_ours(self) -> bool:
        return self.model_type == "mcl"

    @property
    def _runs(self) -> int:
        return sum(len(entry["seeds"]) for entry in self.entries)

    def _data(self) -> ModelCardData:
        on_hub = _REPOSITORY.fullmatch(self.base_model) and not Path(self.base_model).exists()
        dataset = self.task.sources["train"].dataset_name
        return ModelCardData(
            base_model=self.base_model if on_hub else None,
            language=self.language,
            license=self.license,
            datasets=[dataset] if dataset else None,
            library_name="transformers",
            pipeline_tag=self.task.pipeline_tag,
            tags=["transformers-mcl", "finetuned"],
            model_name=self.name,
            eval_results=self._eval_results(),
        )

    def _eval_results(self) -> list[EvalResult]:
        """The figures of this model that compare it with others, the main one first; with several seeds also the
        medians of those."""
        found = self.result["metrics"]
        names = [
            f"{name}{self.task.suffix(split)}"
            for name in self.task.metric_names
            for split in self.task.validations
            if not _PART.match(name)
        ]
        figures = [(name, name, found[name]) for name in names if name in found]
        (setting,) = [entry for entry in self.entries if entry["settings"] == self.result["settings"]]
        if (seeds := len(setting["seeds"])) > 1:
            spreads = setting["metrics"]
            figures += [
                (name, f"{name} (median of {seeds} seeds)", spreads[name]["median"])
                for name in names
                if name in spreads
            ]
        return [self._eval_result(*figure) for figure in figures if math.isfinite(figure[2])]

    def _eval_result(self, name: str, shown: str, value: float) -> EvalResult:
        fitting = [split for split in self.task.validations if name.endswith(self.task.suffix(split))]
        split = max(fitting, key=lambda split: len(self.task.suffix(split)))
        kind = name.removesuffix(self.task.suffix(split))
        return EvalResult(
            task_type=self.task.pipeline_tag,
            **_dataset(self.task.sources[split], self.task),
            metric_type=_TYPES.get(kind, kind),
            metric_name=shown,
            metric_value=round(value, 6),
        )

    def _opening(self) -> str:
        data = self.task.sources["train"]
        text = f"{local_name(self.base_model)}, fine-tuned on {data}, for the task {self.task.name}, with"
        text = f"{markdown_text(text)} {PACKAGE}."
        if self._runs > 1:
            text += (
                f" Of {self._runs} runs this is the one with the highest {self.result['main_metric']} on the "
                "validation data, which its figures are also of: they flatter it. The medians below do less."
            )
        return text

    def _usage(self) -> str:
        first = "import transformers_mcl\n" if self._is_ours else ""
        usage = self.task.usage.replace('"CHECKPOINT"', json.dumps(self.name, ensure_ascii=False))
        needs = INSTALL if self._is_ours else "It needs `pip install transformers` alone."
        return f"{needs}\n\n{markdown_code(first + usage, 'python')}"

    def _results(self) -> list[str]:
        rows = [[markdown_text(name), _text(value)] for name, value in self.result["metrics"].items()]
        where = markdown_text("; ".join(str(self.task.sources[split]) for split in self.task.validations))
        sections = ["### This model", f"Of this model, on {where}:", markdown_table(["metric", "value"], rows)]
        sections += self._by_class()
        if self._runs > 1:
            sections += ["### All runs", results_markdown(self.entries).strip()]
            sections += ["![The validation scores of all runs](results.png)"]
        return sections

    def _by_class(self) -> list[str]:
        """Of the main validation set; of many classes there is the file alone, which is not uploaded."""
        found = self.result.get("by_class", {}).get(next(iter(self.task.validations), ""), {})
        if not 2 <= len(found) <= _MOST_CLASSES:
            return []
        columns = ("precision", "recall", "f1", "support")
        rows = [
            [markdown_text(name), *(_text(int(one[c]) if c == "support" else one[c]) for c in columns)]
            for name, one in found.items()
        ]
        return ["### By class", markdown_table(["class", *columns], rows, "lrrrr")]

    def _setup(self) -> str:
        shown = {
            key: [_name(v) for v in value] if isinstance(value, list) else _name(value)
            for key, value in self.recipe.items()
        }
        recipe = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=1000).strip()
        return (
            f"- Data: {markdown_text(self.task.describe())}\n"
            f"- Steps: {self.result['steps']:,}, in {timedelta(seconds=round(self.result['seconds']))}\n"
            f"- Software: {', '.join(f'{package} {version}' for package, version in self.versions.items())}\n\n"
            "These arguments, saved as `recipe.yaml`, repeat the run; of files and folders on the machine it ran on "
            f"only the names are given.\n\n{markdown_code(recipe, 'yaml')}\n\n"
            "```bash\ntransformers-mcl finetune --config recipe.yaml\n```"
        )


def _dataset(source: Source, task: LoadedTask) -> dict[str, Any]:
    """What the Hub's metadata say of the examples of an evaluation."""
    if source.dataset_name is None:
        used = "" if source.rows == source.total else f", the first {source.rows:,} of {source.total:,} rows"
        # The Hub's format tells data apart by type, configuration and split, not by name.
        return {"dataset_type": "files", "dataset_config": source.place, "dataset_name": f"{source.place}{used}"}
    own = source.dataset_name == task.definition.dataset_name
    return {
        "dataset_type": source.dataset_name,
        "dataset_name": task.name if own else source.dataset_name,
        "dataset_config": source.config,
        "dataset_split": source.split_used,
    }


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _name(value: Any) -> Any:
    """A path's last name; anything else as it is."""
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value
