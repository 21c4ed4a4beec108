"""Sealed tasks: what an exam asks, one family a file, its parameters drawn from a secret.

A found architecture was chosen for its scores on the search's tasks, so those tasks say no more how
good it is. An exam asks tasks that nothing has been chosen by: families that no proposer,
objective, calibration or probe may use, with parameters that follow from a secret. Of the secret
only the SHA-256 is told when a campaign begins; an exam opens it. `tests/test_wall.py` watches who
imports this package.

The ranges that parameters are drawn from were set by hand on human designs, so that a model of
168,000 parameters leaves chance within the 66,000 tokens of its own that a family gets in a mixture
of 550,000, and so that human designs are told apart. Scores (0 is chance, 1 perfect), the range
over so many draws, at length 128, batch 4, learning rate 0.01, native kernels, split SEALED, one
seed a draw, so noise of seeds is in them:

    family        gated_deltanet      mamba2              llama
    arithmetic     0.61 to 0.76 (6)   0.52 to 0.89 (4)   -0.01 to 0.00 (5)
    grid           0.46 to 0.68 (6)   0.45 to 0.55 (4)    0.29 to 0.46 (5)
    lorenz         0.45 to 0.63 (6)   0.48 to 0.65 (4)    0.37 to 0.57 (5)
    mazes          0.41 to 0.58 (6)   0.44 to 0.57 (4)    0.19 to 0.39 (5)
    rewriting      0.83 to 0.99 (3)   0.99        (1)   -0.01 to 0.27 (3)

Rewriting is the steepest. With strings of four letters, not of three as they are drawn,
gated_deltanet is at -0.01 and 0.12, with five at 0.03, and mamba2 at 0.96 to 1.00 all the same.
llama stays at chance in arithmetic at a rate of 0.004 as well (one draw).
"""

from __future__ import annotations

import hashlib
import hmac
import re

import numpy as np

from palmette.errors import UserError
from palmette.registry import Registry
from palmette.tasks._base import Split
from palmette.tasks._suites import EXAM, Part, Suite
from palmette.tasks.sealed._family import Family
from palmette.tasks.text import Text

__all__ = ["EXAM", "SEALED", "TEXT_SHARE", "Family", "exam_suite", "key_of"]

TEXT_SHARE = 0.4
KEY_DIGITS = 16

# A closed list: entry-point groups have no spaces, so no installed package adds to an exam.
SEALED: Registry[Family] = Registry(
    "sealed task",
    "palmette.tasks.sealed",
    Family,  # type: ignore[type-abstract]
)


def key_of(secret: bytes) -> str:
    """The key of the sealed tasks that a secret draws: 16 hex digits, told once an exam has begun.

    HMAC-SHA-256 (RFC 2104) under the secret, so that the key tells nothing about the secret.

    >>> key_of(bytes(32))
    '13ade37af9168176'
    """
    return hmac.new(secret, b"palmette sealed tasks", hashlib.sha256).hexdigest()[:KEY_DIGITS]


def exam_suite(name: str) -> Suite:
    """The suite `exam/KEY`: text and every sealed family as the key draws it, the same anywhere.

    Each family has a generator of its own, seeded by the key and the family's name. Text has a
    share of 0.4, the families equal shares of the rest. What is reported comes from the split
    `SEALED`, of the text too.

    Raises `UserError` for a name that is not `exam/` and 16 hex digits.

    >>> [part.task.name for part in exam_suite("exam/0123456789abcdef").parts]
    ['text', 'arithmetic', 'grid', 'lorenz', 'mazes', 'rewriting']
    """
    key = name.removeprefix(EXAM)
    if not name.startswith(EXAM) or not re.fullmatch(f"[0-9a-f]{{{KEY_DIGITS}}}", key):
        raise UserError(
            f"an exam suite is called {EXAM} and {KEY_DIGITS} hex digits, got {name!r}; "
            "`palmette verify` makes such names, there is no need to write one"
        )
    families = [family.draw(_generator(key, family.name)) for family in SEALED]
    share = (1 - TEXT_SHARE) / len(families)
    parts = (Part(Text(), TEXT_SHARE), *(Part(task, share) for task in families))
    return Suite(name, parts, reported=Split.SEALED)


def _generator(key: str, family: str) -> np.random.Generator:
    digest = hashlib.sha256(f"sealed/{key}/{family}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
