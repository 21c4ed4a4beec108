"""Tasks, one a file, and the text they read; a new task is a new file in this folder."""

from palmette.tasks._base import IGNORE, VOCABULARY, Batch, Marker, Split, Streams, Task
from palmette.tasks._corpus import Corpus, load_corpus
from palmette.tasks._suites import EXAM, SUITES, TASKS, Part, Suite, SuiteBatch, suite
from palmette.tasks.compression import Compression
from palmette.tasks.copying import Copying
from palmette.tasks.fuzzy_recall import FuzzyRecall
from palmette.tasks.noisy_recall import NoisyRecall
from palmette.tasks.overwriting import Overwriting
from palmette.tasks.parity import Parity
from palmette.tasks.recall import Recall
from palmette.tasks.regular import Regular
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
    "Compression",
    "Copying",
    "Corpus",
    "FuzzyRecall",
    "Marker",
    "NoisyRecall",
    "Overwriting",
    "Parity",
    "Part",
    "Recall",
    "Regular",
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
