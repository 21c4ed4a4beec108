"""The pool that trains for a campaign on this machine."""

from __future__ import annotations

from palmette.cli._commit import commit
from palmette.store import Campaign
from palmette.tasks import Corpus
from palmette.train.pool import MEMORY_LIMIT_BYTES, Pool

GROWING_BYTES = 1 << 30  # of one worker at most, while a tree is grown


def pool_of(
    stored: Campaign,
    workers: int,
    corpus: Corpus | None,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> Pool:
    """Started at once; behind walls if the campaign keeps files of others."""
    return Pool(
        workers,
        corpus.directory if corpus else None,
        memory_limit_bytes=memory_limit_bytes,
        commit=commit(),
        strangers=stored.strangers(),
        weights=stored.weights_directory,
    )
