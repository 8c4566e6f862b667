"""Files as shards: pieces that are found without reading them, and whose documents can be read on their own."""

from __future__ import annotations

from .arguments import DataArguments
from .documents import Reading, Shard, divide, read_documents
from .sources import find_sources, remote_files

__all__ = ["Reading", "Shard", "find_shards", "read_documents"]


def find_shards(args: DataArguments, token: str | None = None) -> dict[str, list[Shard]]:
    """The shards of each split of what `args` names, in order, with the number of the source that they are of.

    What is read, and as what, `load_corpus` says; the text of `validation_file` is not among them.

    Args:
        token: for private repositories of the Hub.

    Raises:
        UserError: a file or dataset is missing, or the first file of a kind has no text column.
    """
    how = Reading.of(args)
    found: dict[str, list[Shard]] = {}
    for number, source in enumerate(find_sources(args)):
        for split, paths in (source.files or remote_files(source, token)).items():
            found.setdefault(split, []).extend(shard._replace(source=number) for shard in divide(paths, how))
    return found
