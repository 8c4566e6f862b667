"""Named objects, found by their names: an unknown name is answered with the nearest one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Protocol, TypeVar

from ..errors import UserError

__all__ = ["Registry"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Registry(dict[str, T]):
    """Objects by name, in the order in which they came.

    Args:
        noun: what they are called in messages: `"task"`.
        argument: what their names are given as.
    """

    def __init__(self, noun: str, argument: str) -> None:
        super().__init__()
        self.noun, self.argument = noun, argument

    def register(self, item: T, replace: bool = False) -> T:
        """Adds `item` under its name; with `replace` in place of what has it already, say when a notebook's cell runs
        again.

        Raises:
            UserError: the name cannot be given on the command line, or is taken.
        """
        if not item.name.isidentifier() or item.name != item.name.lower():
            raise UserError(f"{self.noun} {item.name!r}: a name is of small letters, digits and _: it names folders")
        if item.name in self and not replace:
            raise UserError(f"{self.noun} {item.name!r} is there already: choose another name, or give replace=True")
        self[item.name] = item
        return item

    def find(self, name: str, also: Iterable[str] = ()) -> T:
        """What is registered as `name`, where the names `also` could have stood, too.

        Raises:
            UserError: nothing is; the message names the nearest one, and all there are.
        """
        if name in self:
            return self[name]
        known = [*self, *also]
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"{self.argument}: unknown {self.noun} {name!r}; {hint}the {self.noun}s are {', '.join(known)}"
        )
