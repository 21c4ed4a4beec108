"""Tasks, one a file, and the text they read; a new task is a new file in this folder."""

from palmette.tasks._base import IGNORE, VOCABULARY, Batch, Marker, Split, Streams, Task
from palmette.tasks._corpus import Corpus, load_corpus
from palmette.tasks._suites import EXAM, SUITES, TASKS, Part, Suite, SuiteBatch, suite
from palmette.tasks.copying import Copying
from palmette.tasks.parity import Parity
from palmette.tasks.recall import Recall
from palmette.tasks.sudoku import Sudoku
from palmette.tasks.text import Text
from palmette.tasks.words import Words

__all__ = [
    "EXAM",
    "IGNORE",
    "SUITES",
    "TASKS",
    "VOCABULARY",
    "Batch",
    "Copying",
    "Corpus",
    "Marker",
    "Parity",
    "Part",
    "Recall",
    "Split",
    "Streams",
    "Sudoku",
    "Suite",
    "SuiteBatch",
    "Task",
    "Text",
    "Words",
    "load_corpus",
    "suite",
]
