"""The exceptions of this package that are the user's to see."""

from __future__ import annotations


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
