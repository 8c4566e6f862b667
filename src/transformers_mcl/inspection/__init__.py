"""What the courses do to one sentence: found (`courses`), and drawn (`terminal`, `page`)."""

from __future__ import annotations

from .courses import CourseInspection, Inspection, check_text, check_threshold, describe_course, inspect_text
from .page import check_page, page_frame, read_frames, render_page, write_page
from .pair import open_pair
from .terminal import render

__all__ = [
    "CourseInspection",
    "Inspection",
    "check_page",
    "check_text",
    "check_threshold",
    "describe_course",
    "inspect_text",
    "open_pair",
    "page_frame",
    "read_frames",
    "render",
    "render_page",
    "write_page",
]
