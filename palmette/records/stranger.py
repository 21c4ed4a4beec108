"""What gates say, and a user's file as the language speaks of it."""

from __future__ import annotations

from typing import Literal

from palmette.records._base import Record


class GateResult(Record):
    """What one gate says about one model. `passed` is None where the gate does not apply."""

    gate: str
    passed: bool | None
    detail: str  # what was measured, what is wrong, or why the gate does not apply


Setting = bool | int | float | str | None


class Counted(Record):
    """A quantity that was counted on a grid of sizes, and the polynomial through it.

    `axes` holds the sizes of each direction, `values` one number for each point of the grid, the
    last direction running fastest. With n sizes in a direction the polynomial is of degree n - 1.
    """

    axes: tuple[tuple[int, ...], ...]
    values: tuple[float, ...]


class Stranger(Record):
    """A class from a user's file, as the language speaks of it.

    Arguments are plain values (`settings`) or depend on the model's size (`sizes`: `width`,
    `width/4`, `4*width`, `depth`, `vocabulary`, `context`). `config` names an argument that takes
    an object made of settings and sizes in turn, of the file's class `config_cls` or, if that is
    None, of any class.
    """

    name: str  # of its node: the file's stem and a digest
    file: str  # the file's own name
    cls: str
    summary: str
    source: str  # the file's text
    takes: Literal["features", "ids"]
    given: dict[str, Setting]  # as --arg said
    settings: dict[str, Setting]
    sizes: dict[str, str]
    config: str | None
    config_cls: str | None
    config_settings: dict[str, Setting]
    config_sizes: dict[str, str]
    multiple: int  # of which widths are multiples
    least: int
    only: tuple[int, ...]  # or the only widths at which it can be built
    vocabulary: int
    parameters: Counted  # by width, depth and context
    flops_forward: Counted  # per token, by width, depth and length
    gates: tuple[GateResult, ...] = ()
    protection: str = ""  # what it was kept from while it was looked at
