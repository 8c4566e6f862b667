"""Files as shards: pieces that are found without reading them, and whose documents can be read on their own."""

from __future__ import annotations

from .arguments import DataArguments
from .documents import Reading, Shard, divide, read_documents
from .sources import find_sources, remote_files

__all__ = ["Reading", "Shard", "find_shards", "read_documents"]


def find_shards(args: DataArguments, token: str | None = None) -> list[dict[str, list[Shard]]]:
    """The shards of each source that `args` names, by split, in order; see `load_corpus` for what is read, as what.

    Args:
        token: for private repositories of the Hub.

    Raises:
        UserError: a file or dataset is missing, or the first file of a kind has no text column.
    """
    how = Reading.of(args)
    return [
        {split: divide(paths, how) for split, paths in (source.files or remote_files(source, token)).items()}
        for source in find_sources(args)
    ]
