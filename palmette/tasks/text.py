"""Text: predict the next byte of the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from palmette.errors import CorpusError
from palmette.tasks._base import Batch, Ints, Split, Streams, Task


@dataclass(frozen=True)
class Text(Task):
    r"""Byte-level language modelling: say the next byte of the corpus.

        inputs   d e f   f ( x ) :
        targets  e f   f ( x ) : \n

    Every position is answered, so bits per answer token are bits per byte. Training draws windows
    anywhere in the stream; evaluation takes evenly spaced windows that do not overlap, as many as
    asked for and as the stream has. Chance is 8 bits; there is no oracle.
    """

    needs_text: ClassVar[bool] = True

    @property
    def answers(self) -> range:
        """Every byte."""
        return range(256)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Windows that begin anywhere in the split's stream."""
        text, windows = _text(streams, split, length)
        return _windows(text, rng.integers(0, windows, rows), length)

    def evaluation(self, streams: Streams | None, split: Split, rows: int, length: int) -> Batch:
        """Evenly spaced windows; fewer than `rows` where the stream holds fewer."""
        text, _ = _text(streams, split, length)
        disjoint = (text.size - 1) // length
        rows = min(rows, disjoint)
        return _windows(text, np.arange(rows) * disjoint // rows * length, length)


def _text(streams: Streams | None, split: Split, length: int) -> tuple[np.ndarray, int]:
    """The stream and how many places a window (and the byte after it) can begin at."""
    if streams is None:
        raise CorpusError("the task 'text' needs a corpus and got none; give one with --corpus")
    text = streams.stream(split)
    if text.size <= length:
        raise CorpusError(
            f"the {split} split holds {text.size} bytes, but examples of {length} tokens need at "
            f"least {length + 1}; choose a larger corpus"
        )
    return text, text.size - length


def _windows(text: np.ndarray, starts: Ints, length: int) -> Batch:
    bytes_read = text[starts[:, None] + np.arange(length + 1)].astype(np.int64)
    return Batch(bytes_read[:, :-1], bytes_read[:, 1:])
