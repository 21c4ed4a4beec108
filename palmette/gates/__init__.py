"""Gates: executed checks that any model has to pass, ours or a stranger's; one file each.

A gate runs the module and measures. It asks what was promised (`Subject.promises`), never what the
module is called, and it fails a module that breaks a promise with a sentence that has numbers.
"""

from palmette.gates._base import Gate, GateFailure, Subject, Trained
from palmette.gates._check import GATES, check, passed
from palmette.gates._subject import subject_of
from palmette.gates._trial import tiny_trial

__all__ = [
    "GATES",
    "Gate",
    "GateFailure",
    "Subject",
    "Trained",
    "check",
    "passed",
    "subject_of",
    "tiny_trial",
]
