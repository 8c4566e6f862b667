"""The exceptions of this package that are the user's to see, and a check that raises one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """A value, file or option that cannot be used; the message, one line, names it and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class NotConverted(Exception):
    """A fairseq repository, opened by its name, could not be fetched or converted; the message, one line, says why.

    It is no `OSError` and no `ValueError`: these, `AutoTokenizer` takes for a missing configuration, and goes on.
    """


class Interrupted(Exception):
    """A run was asked to end before its time, and has saved what it had; the message, one line, says how to go on.

    The command line prints the message and exits with status 143, as a program that ended at SIGTERM.
    """


def check_names(what: str, names: Sequence[str], known: Iterable[str]) -> None:
    """Checks that each of `names` is one of `known`.

    Raises:
        UserError: one is not; the message begins with `what`.
    """
    for name in names:
        if name not in known:
            raise UserError(f"{what}: there is no {name!r}; choose from {', '.join(known)}")
