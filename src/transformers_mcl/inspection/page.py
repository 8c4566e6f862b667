"""Inspections as a page to look at and to play with: one file, which loads nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from ..errors import UserError
from ..io import one_line, printable, versions, write_text
from ..method.courses import COURSES, Course
from .courses import Inspection

__all__ = ["check_page", "page_frame", "read_frames", "render_page", "write_page"]

_TEMPLATE, _PLACE = Path(__file__).with_name("page.html"), "{{ data }}"
_DIGITS = 4  # of a number in a page, that are kept


def page_frame(models: Mapping[str, Sequence[Inspection]], step: int | None = None) -> dict[str, Any]:
    """What a page shows at one time, ready for JSON.

    Args:
        models: inspections with all `thresholds`, of the same sentences by each model, by its name; two models are
            shown side by side.
        step: of training, at which this is.
    """
    panels = [{"model": name, "inspections": [i.to_dict() for i in found]} for name, found in models.items()]
    frame: dict[str, Any] = _shown({"label": "" if step is None else f"{step:,}", "step": step, "panels": panels})
    return frame


def render_page(frames: Sequence[dict[str, Any]], title: str = "The method, seen") -> str:
    """The page of one frame, or of several of the same sentences and models, through which a slider goes.

    Args:
        frames: of [`page_frame`], in their order.
        title: heads the page.
    """
    inspection = frames[0]["panels"][0]["inspections"][0]
    data = {
        "title": printable(title),
        "about": f"transformers-mcl {versions()['transformers-mcl']}, seed {inspection['seed']}.",
        "threshold": inspection["threshold"],
        "courses": {name: _course(course) for name, course in COURSES.items()},
        "frames": frames,
    }
    text = json.dumps(data, separators=(",", ":"))  # all of it ASCII
    for character in "<>&":  # which may end the script that the data is in
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _template().replace(_PLACE, text, 1)


def write_page(path: Path, frames: Sequence[dict[str, Any]], title: str = "The method, seen") -> None:
    """Writes the page of [`render_page`], whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_text(path, render_page(frames, title))
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be written: {one_line(error)}") from error


def read_frames(path: Path, step: int) -> list[dict[str, Any]]:
    """The frames of a page of a training, up to a step of it; none if there is no page, or half of one."""
    begin, end = (part.splitlines()[side] for part, side in zip(_template().split(_PLACE), (-1, 0), strict=True))
    try:
        data = path.read_text(encoding="utf-8").split(begin)[1].split(end)[0]
        return [frame for frame in json.loads(data)["frames"] if frame["step"] <= step]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _template() -> str:
    return _TEMPLATE.read_text(encoding="utf-8")


def check_page(path: str) -> Path:
    """The path of a page, before there is one.

    Raises:
        UserError: it is a folder, or nothing can be written there.
    """
    try:  # asking for permission says less: an administrator has it everywhere
        page = Path(path).expanduser()
        wrong = "is a folder: give the name of a file" if page.is_dir() else ""
        folder = next(folder for folder in page.absolute().parents if folder.exists())
        NamedTemporaryFile(dir=folder, suffix=page.name).close()
    except (OSError, ValueError, RuntimeError) as error:
        wrong = f"cannot be written: {getattr(error, 'strerror', '') or error}"
    if wrong:
        raise UserError(f"html: {path!r} {wrong}")
    return page


def _course(course: Course) -> dict[str, Any]:
    names = ("title", "summary", "corrupted", "operation", "verdict")
    kinds = {"generate": course.generate, "detect": course.detect}
    kinds |= {"regenerate": course.regenerate, "rediscriminate": course.rediscriminate}
    return {name: getattr(course, name) for name in names} | {
        kind: None if loss is None else loss.name for kind, loss in kinds.items()
    }


def _shown(value: Any) -> Any:
    """The same with texts that can do nothing to whoever reads them, and numbers as short as they are told apart."""
    if isinstance(value, dict):
        return {printable(name): _shown(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return printable(value) if isinstance(value, str) else value
