"""Uploading to the Hub, without pickles: nobody needs one to open our models, and loading one runs what is in it.

The recipe stays here, too: it names folders of this machine, and the card says what else is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, RepoUrl
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from transformers import Trainer, trainer
from transformers.utils.hub import hf_api

from ..errors import UserError
from ..io import one_line
from ..locks import LOCK

__all__ = [
    "NOT_UPLOADED",
    "PushingTrainer",
    "check_repo_name",
    "create_repository",
    "explaining_refusals",
    "push_folder",
    "without_pickles",
]

NOT_UPLOADED = ["*.bin", "*.pt", "*.pth", "*.pkl", "recipe.yaml", LOCK]
# TensorBoard's traces, which hold all arguments and are named by this machine.
NOT_UPLOADED += ["runs/*", "*.tfevents.*"]


def check_repo_name(name: str, argument: str = "push_to_hub") -> None:
    """Refuses what cannot be the name of a repository on the Hub, given as `argument`."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"{argument}={name!r} is no name of a repository: {one_line(error)}") from error


def create_repository(name: str, *, private: bool | None = None, token: str | None = None) -> str:
    """Creates the repository `name` if there is none; its address.

    Raises:
        UserError: `name` is none, or the Hub refuses or cannot be reached.
    """
    check_repo_name(name)
    with explaining_refusals(name):
        return str(hf_api().create_repo(name, private=private, token=token, exist_ok=True))


def push_folder(
    folder: str | Path,
    name: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    message: str | None = None,
    ignore: Sequence[str] = (),
) -> str:
    """Uploads a folder, but not what `NOT_UPLOADED` or `ignore` match, to the repository `name`; creates that if
    there is none.

    Returns:
        The repository's address.

    Raises:
        UserError: `name` is none, or the Hub refuses or cannot be reached.
    """
    url = create_repository(name, private=private, token=token)
    with explaining_refusals(name):
        hf_api().upload_folder(
            repo_id=RepoUrl(url).repo_id,
            folder_path=folder,
            commit_message=message,
            token=token,
            ignore_patterns=[*NOT_UPLOADED, *ignore],
        )
    return url


@contextmanager
def explaining_refusals(name: str, argument: str = "push_to_hub") -> Iterator[None]:
    """With one line where the Hub takes no repository `name`, given as `argument`, or cannot be reached."""
    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        said = " ".join((getattr(error, "server_message", None) or one_line(error)).split())
        said = re.sub(r"Bearer .*", "the token", said)  # a header that cannot be is shown with all that is in it
        raise UserError(f"{argument}={name!r}: {hf_api().endpoint} refused: {said}") from error


class _WithoutPickles(HfApi):
    def upload_folder(self, **kwargs: Any) -> Any:
        # A checkpoint that is to be gone on from needs its optimizer's state: who asks for it gets it.
        ours = ["training_args.bin"] if kwargs.get("path_in_repo") else NOT_UPLOADED
        kwargs["ignore_patterns"] = [*(kwargs.get("ignore_patterns") or []), *ours]
        return super().upload_folder(**kwargs)


@contextmanager
def without_pickles() -> Iterator[None]:
    """Within it, transformers' Trainer, which has no argument for this, uploads folders but for their pickles."""
    api, names = hf_api(), vars(trainer)
    theirs = names["hf_api"]
    ours = _WithoutPickles(library_name=api.library_name, library_version=api.library_version)
    names["hf_api"] = lambda: ours
    try:
        yield
    finally:
        names["hf_api"] = theirs


class PushingTrainer(Trainer):
    """transformers' Trainer; it uploads no pickles, and a Hub that refuses is one line, at once where it can be."""

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        name = self.args.hub_model_id or Path(str(self.args.output_dir)).absolute().name
        with explaining_refusals(name, "push_to_hub" if self.args.push_to_hub else "hub_model_id"):
            super().init_hf_repo(token=token, private=private)

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """As [`~transformers.Trainer`]'s, all but `NOT_UPLOADED`."""
        with without_pickles():
            return super().push_to_hub(*args, **kwargs)
