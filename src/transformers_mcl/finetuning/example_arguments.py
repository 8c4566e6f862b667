"""What is said of a task's examples: their columns, and how they become rows of ids."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.table_arguments import TableArguments
from ..ranges import check_numbers

__all__ = ["ExampleArguments"]


@dataclass
class ExampleArguments(TableArguments):
    """How examples become rows; names as in transformers' `run_glue.py`, `run_ner.py` and `run_qa.py`.

    Raises:
        UserError: values that cannot be.
    """

    text_column_names: str | None = field(
        default=None,
        metadata={"help": "Column of the text, or two with a comma between; found by type and name if not given."},
    )
    label_column_name: str | None = field(default=None, metadata={"help": "Column of the labels: label, or ner_tags."})
    max_seq_length: int | None = field(
        default=None, metadata={"help": "Tokens after which a text is cut: 128; for answering questions 384."}
    )
    pad_to_max_length: bool = field(
        default=False, metadata={"help": "Pad every row to max_seq_length, not to the longest of its batch."}
    )
    preprocessing_num_workers: int | None = field(default=None, metadata={"help": "Processes that tokenize."})
    version_2_with_negative: bool | None = field(
        default=None, metadata={"help": "Whether some questions have no answer; as in squad_v2. By the data."}
    )
    null_score_diff_threshold: float = field(
        default=0.0,
        metadata={"help": "No answer is given where its score exceeds the best answer's by more than this."},
    )
    doc_stride: int | None = field(
        default=None,
        metadata={
            "help": "Tokens that two pieces of a long text share: 128 of a question's context, a quarter of "
            "max_seq_length of words to tag; a text to classify is cut unless this is given."
        },
    )
    label_all_tokens: bool = field(
        default=False, metadata={"help": "Train on all tokens of a word that is tagged, not on its first one only."}
    )
    n_best_size: int = field(default=20, metadata={"help": "Starts and ends of answers to look at."})
    max_answer_length: int = field(default=30, metadata={"help": "Tokens that an answer may have."})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self)
