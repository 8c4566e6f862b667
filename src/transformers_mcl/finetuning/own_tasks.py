"""Tasks whose examples are the user's own, and say all there is to know: columns, labels, and so the metrics."""

from __future__ import annotations

import math

from .question_answering_task import QuestionAnsweringTask
from .sequence_task import SequenceTask
from .task import Task, register_task
from .token_task import TokenTask

__all__: list[str] = []

register_task(Task("text_classification", SequenceTask))
register_task(Task("regression", SequenceTask, score_range=(-math.inf, math.inf)))
register_task(Task("token_classification", TokenTask))
register_task(Task("question_answering", QuestionAnsweringTask))
