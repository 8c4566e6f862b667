"""The exceptions of this package that are the user's to see."""

from __future__ import annotations


class UserError(ValueError):
    """A value, file or option that cannot be used; the message, one line, names it and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class Interrupted(Exception):
    """A run was asked to end before its time, and has saved what it had; the message, one line, says how to go on.

    The command line prints the message and exits with status 143, as a program that ended at SIGTERM.
    """
