"""SQuAD 1.1 and 2.0, of whose questions some have no answer."""

from __future__ import annotations

from .question_answering_task import QuestionAnsweringTask
from .task import Task, register_task

__all__: list[str] = []

register_task(Task("squad", QuestionAnsweringTask, dataset_name="rajpurkar/squad"))
register_task(Task("squad_v2", QuestionAnsweringTask, dataset_name="rajpurkar/squad_v2", some_unanswered=True))
