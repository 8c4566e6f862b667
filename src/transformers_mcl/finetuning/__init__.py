"""From a pre-trained encoder to a task's model and its score; `register_task` adds a task."""

from __future__ import annotations

from . import known_tasks  # noqa: F401  (it registers the tasks that come with the package)
from .question_answering_task import QuestionAnsweringTask
from .sequence_task import SequenceTask
from .task import LoadedTask, Task, find_task, register_task
from .token_task import TokenTask

__all__ = ["LoadedTask", "QuestionAnsweringTask", "SequenceTask", "Task", "TokenTask", "find_task", "register_task"]
