"""The model card of a fine-tuned model, with its metrics where the Hub reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..evaluation.glue import GLUE_TASKS
from ..finetuning.results import results_markdown
from ..io import markdown_table

__all__ = ["ANSWERING", "FinetunedCard"]

# The Hub's names of metrics, where they are others.
_TYPES = {"exact": "exact_match", "pearson": "pearsonr"}
_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")


@dataclass
class FinetunedCard:
    """What there is to say of a fine-tuned model. Of files and folders only the names are said.

    Attributes:
        name: what the model is called.
        base_model: what it was fine-tuned from.
        model_type: as in its configuration.
        task: as `task_name` calls it.
        pipeline_tag: the Hub's name of the kind of task.
        data: what it was trained and evaluated on, one line.
        dataset: a name on the Hub or a folder, if the examples came from one.
        result: the run that gave this model: `metrics`, `main_metric`, `steps`, `seconds`, `seed`.
        entries: the summaries of all runs it was chosen from.
        recipe: the arguments of its run.
        versions: of the packages that matter, by name.
    """

    name: str
    base_model: str
    model_type: str
    task: str
    pipeline_tag: str
    data: str
    dataset: str | None
    result: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]

    def save(self, folder: Path) -> None:
        """Writes the card, `README.md`, into the model's folder, whose pictures it shows."""
        sections = [f"# {self.name}", self._opening(), "## How to use it", self._usage(), "## Results"]
        sections += [*self._results(), "## How it was trained", self._setup(), "![The course of training](curves.png)"]
        text = "\n\n".join(sections)
        ModelCard(f"---\n{self._data().to_yaml()}\n---\n\n{text}\n").save(folder / "README.md")

    @property
    def _runs(self) -> int:
        return sum(len(entry["seeds"]) for entry in self.entries)

    def _data(self) -> ModelCardData:
        on_hub = _REPOSITORY.fullmatch(self.base_model) and not Path(self.base_model).exists()
        dataset = self._dataset()
        return ModelCardData(
            base_model=self.base_model if on_hub else None,
            datasets=[dataset] if "/" in dataset else None,
            library_name="transformers",
            pipeline_tag=self.pipeline_tag,
            tags=["transformers-mcl", "finetuned"],
            model_name=self.name,
            eval_results=self._eval_results(),
        )

    def _dataset(self) -> str:
        """Its name on the Hub; of examples that are not there, the task's."""
        if self.dataset and _REPOSITORY.fullmatch(self.dataset) and not Path(self.dataset).exists():
            return self.dataset
        return (
            "nyu-mll/glue"
            if self.task in GLUE_TASKS
            else {"squad": "rajpurkar/squad", "squad_v2": "rajpurkar/squad_v2"}.get(self.task, self.task)
        )

    def _eval_results(self) -> list[EvalResult]:
        """The figures of this model; with several seeds also their median, lowest and highest."""
        figures = [(name, name, value) for name, value in self.result["metrics"].items()]
        (setting,) = [entry for entry in self.entries if entry["settings"] == self.result["settings"]]
        if (seeds := len(setting["seeds"])) > 1:
            figures += [
                (name, f"{name} ({which} of {seeds} seeds)", spread[key])
                for name, spread in setting["metrics"].items()
                for key, which in {"median": "median", "min": "lowest", "max": "highest"}.items()
            ]
        return [
            EvalResult(
                task_type=self.pipeline_tag,
                dataset_type=self._dataset(),
                dataset_name=self.task,
                dataset_config=self.task if self.task in GLUE_TASKS else None,
                dataset_split=_split(self.task, name),
                metric_type=_TYPES.get(kind := re.sub(r"^(HasAns|NoAns|best)_|_mm$", "", name), kind),
                metric_name=shown,
                metric_value=round(value, 6),
            )
            for name, shown, value in figures
            if isinstance(value, float) and not name.startswith("loss") and not name.endswith("_thresh")
        ]

    def _opening(self) -> str:
        base = Path(self.base_model).name if Path(self.base_model).exists() else self.base_model
        text = f"{base}, fine-tuned on {self.task} with `transformers-mcl finetune`."
        if self._runs > 1:
            text += (
                f" Of {self._runs} runs this is the one with the highest {self.result['main_metric']} on the "
                "validation data, which its figures are also of: they flatter it. The medians below do less."
            )
        return text

    def _usage(self) -> str:
        first = "import transformers_mcl\n" if self.model_type == "mcl" else ""
        if self.pipeline_tag == "question-answering":
            lines = ANSWERING.replace("CHECKPOINT", self.name)
        else:
            text = '{"text": "one sentence", "text_pair": "and another"}' if " and " in self.data else '"a sentence"'
            score = ', function_to_apply="none"' if "to a score" in self.data else ""
            lines = (
                "from transformers import pipeline\n\n"
                f'model = pipeline("{self.pipeline_tag}", model="{self.name}"{score})\nprint(model({text}))'
            )
        return f"```python\n{first}{lines}\n```"

    def _results(self) -> list[str]:
        rows = [[name, _text(value)] for name, value in self.result["metrics"].items()]
        sections = ["Of this model, on the validation data:", markdown_table(["metric", "value"], rows)]
        if self._runs > 1:
            sections += ["Of all runs:", results_markdown(self.entries).strip()]
            sections += ["![The validation scores of all runs](results.png)"]
        return sections

    def _setup(self) -> str:
        shown = {
            key: [_name(v) for v in value] if isinstance(value, list) else _name(value)
            for key, value in self.recipe.items()
        }
        recipe = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=1000).strip()
        return (
            f"- Data: {self.data}\n"
            f"- Steps: {self.result['steps']:,}, in {timedelta(seconds=round(self.result['seconds']))}\n"
            f"- Software: {', '.join(f'{package} {version}' for package, version in self.versions.items())}\n\n"
            "These arguments, saved as `recipe.yaml`, repeat the run; of files and folders on the machine it ran on "
            f"only the names are given.\n\n```yaml\n{recipe}\n```\n\n"
            "```bash\ntransformers-mcl finetune --config recipe.yaml\n```"
        )


ANSWERING = """import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
from transformers_mcl.evaluation.squad import extract_answer

tokenizer = AutoTokenizer.from_pretrained("CHECKPOINT")
model = AutoModelForQuestionAnswering.from_pretrained("CHECKPOINT")
question, context = "Who lives in Paris?", "Anna lives in Rome. Bob lives in Paris."
cut = {"truncation": "only_second", "max_length": 384, "stride": 128, "return_overflowing_tokens": True}
inputs = tokenizer(question, context, padding=True, return_offsets_mapping=True, return_tensors="pt", **cut)
offsets = inputs.pop("offset_mapping").numpy()  # the characters of each token, of each piece of the context
for piece in range(inputs.pop("overflow_to_sample_mapping").numel()):
    offsets[piece, [part != 1 for part in inputs.sequence_ids(piece)]] = -1  # answers are in the context
with torch.no_grad():
    outputs = model(**inputs)
starts, ends = outputs.start_logits.numpy(), outputs.end_logits.numpy()
answers, none = extract_answer(context, list(zip(starts, ends, offsets)))
print("no answer" if none > answers[0].score else answers[0].text)"""
"""Python that answers a question with a fine-tuned CHECKPOINT; transformers 5 has no pipeline for it."""


def _split(task: str, metric: str) -> str:
    validations = GLUE_TASKS[task].validations if task in GLUE_TASKS else ("validation",)
    return validations[-1 if metric.endswith("_mm") else 0]


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _name(value: Any) -> Any:
    """A path's last name; anything else as it is."""
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value
