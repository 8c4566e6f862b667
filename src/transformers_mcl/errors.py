"""The exceptions of this package that are the user's to see, and a check that raises one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A value, file or option that cannot be used; the message, one line, names it and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class Diverged(UserError):
    """A training in which a loss, or the gradient, became NaN or infinite."""


class NotConverted(Exception):
    """A fairseq repository, opened by its name, could not be fetched or converted; the message, one line, says why.

    It is no `OSError` and no `ValueError`: these, `AutoTokenizer` takes for a missing configuration, and goes on.
    """


class Interrupted(Exception):
    """A run was asked to end before its time, and has saved what it had; the message, one line, says how to go on.

    The command line prints the message and exits with status 143, as a program that ended at SIGTERM.
    """


def check_name(what: str, name: object, known: Iterable[str], advice: str = "") -> None:
    """Checks that `name` is one of `known`.

    Raises:
        UserError: it is not; the message begins with `what`, names the nearest that is known, and ends with `advice`.
    """
    choices = list(known)
    if name not in choices:
        near = difflib.get_close_matches(str(name), choices, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(f"{what}: there is no {name!r}; choose from {', '.join(choices)}{hint}{advice}")


def check_names(what: str, names: Iterable[object], known: Iterable[str]) -> None:
    """[`check_name`] of each of `names`."""
    choices = list(known)
    for name in names:
        check_name(what, name, choices)
