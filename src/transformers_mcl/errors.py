"""The one exception of this package that is the user's to mend."""

from __future__ import annotations


class UserError(ValueError):
    """A value, file or option that cannot be used; the message, one line, names it and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
