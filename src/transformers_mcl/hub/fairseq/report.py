"""What a conversion did: nothing is guessed, moved or left out without a line here."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...io import local_name, write_json

__all__ = ["REPORT_NAME", "ConversionReport"]

REPORT_NAME = "conversion_report.json"
_LAYER = re.compile(r"(?<=\.layers\.)\d+(?=\.)|(?<=\.layer\.)\d+(?=\.)")


@dataclass
class ConversionReport:
    """What [`convert_fairseq_checkpoint`] found and wrote; its text, `str(report)`, is what the command prints.

    Attributes:
        source: what was converted.
        output_dir: the folder that was written.
        container: how the tensors lay in the file.
        family: the code that wrote it, and `reason`: how that was seen.
        architecture: the class that the folder opens as.
        sizes: each of the configuration's values that the checkpoint decides, with where it came from.
        tensors: each tensor of the model, with its shape and where it went.
        extra: tensors kept in `extra_weights.safetensors`, under their own names: the model has no place for them.
        unused: what was read by nothing.
        notes: what was assumed, and what a reader should know.
    """

    source: str
    output_dir: str
    container: str
    family: str
    reason: str
    architecture: str
    sizes: dict[str, tuple[Any, str]] = field(default_factory=dict)
    tensors: dict[str, tuple[list[int], str]] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def save(self, folder: str | Path) -> None:
        """Writes `conversion_report.json`, which may be uploaded: of folders here it has the names alone."""
        names = {"source": local_name(self.source), "output_dir": Path(self.output_dir).resolve().name}
        write_json(Path(folder) / REPORT_NAME, asdict(self) | names, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {self.container}",
            f"family: {self.family} ({self.reason})",
            f"written: {self.architecture}, {self.output_dir}",
            "",
            "sizes",
            *(f"  {name} = {value}: {origin}" for name, (value, origin) in self.sizes.items()),
            "",
            "tensors",
            *_by_layer(self.tensors),
        ]
        for title, entries in (
            ("kept in extra_weights.safetensors", self.extra),
            ("unused", self.unused),
            ("notes", self.notes),
        ):
            lines += ["", title, *(f"  {entry}" for entry in entries or ["none"])]
        return "\n".join(lines)


def _by_layer(tensors: dict[str, tuple[list[int], str]]) -> list[str]:
    """One line for the same tensor of all layers."""
    layers: dict[tuple[str, str, str], list[int]] = {}
    for name, (shape, destination) in tensors.items():
        number = _LAYER.search(name)
        line = (_LAYER.sub("*", name), str(tuple(shape)), _LAYER.sub("*", destination))
        layers.setdefault(line, []).extend([int(number[0])] if number else [])
    return [
        f"  {name} {shape} -> {destination}" + (f" (* = {min(numbers)} to {max(numbers)})" if numbers else "")
        for (name, shape, destination), numbers in layers.items()
    ]
