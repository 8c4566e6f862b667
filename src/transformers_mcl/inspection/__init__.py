"""What the courses do to one sentence: found (`courses`), and drawn (`terminal`)."""

from __future__ import annotations

from .courses import CourseInspection, Inspection, check_text, describe_course, inspect_text
from .terminal import render

__all__ = ["CourseInspection", "Inspection", "check_text", "describe_course", "inspect_text", "render"]
