"""Which suite a trial reads: one of the search's by name, or an exam's by its key."""

from __future__ import annotations

from palmette.tasks import EXAM, Suite, suite


def mixture_of(name: str) -> Suite:
    """The suite that a trial's spec names.

    This is the only door to the sealed tasks outside an exam, and it opens for a name that an exam
    has made. The import waits for such a name: what proposes architectures imports trainers, and
    must not hold sealed tasks for it (`tests/test_wall.py`).

    Raises `UnknownNameError` for a name that is no suite, `UserError` for a malformed key.

    >>> mixture_of("recall") == suite("recall")
    True
    """
    if name.startswith(EXAM):
        from palmette.tasks.sealed import exam_suite

        return exam_suite(name)
    return suite(name)
