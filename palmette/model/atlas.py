"""The atlas: architectures that people have named, each a genome file.

A file `NAME.genome` holds comment lines, of which the first is a summary and the others say who
published the architecture and where this genome deviates, then one expression. A new architecture
is a new file in `palmette/data/atlas`.
"""

from functools import cache
from importlib.resources import files

from palmette.errors import UnknownNameError
from palmette.grammar.genome import Genome
from palmette.model.parse import parse
from palmette.records import AtlasRow

root = "deltanet"
"""What a campaign grows from if nothing else is asked for."""


def names() -> list[str]:
    """The names in alphabetical order."""
    return sorted(
        file.name.removesuffix(".genome")
        for file in files("palmette").joinpath("data", "atlas").iterdir()
        if file.name.endswith(".genome")
    )


@cache
def load(name: str) -> Genome:
    """The genome of this name.

    Raises `UnknownNameError` if there is none.

    >>> str(load("deltanet"))
    "lm(stack(pre(lin(erase='beta')), pre(glu())))"
    """
    return parse(_text(name))


def comments(name: str) -> list[str]:
    """The comment lines of a genome: a summary, then its papers and its deviations from them.

    Raises `UnknownNameError` if there is none of this name.

    >>> comments("llama")[0]
    'Llama: attention with rotary positions, RMS norm, SwiGLU.'
    """
    lines = _text(name).splitlines()
    return [line.removeprefix("#").strip() for line in lines if line.startswith("#")]


def rows() -> list[AtlasRow]:
    """All of them, as `palmette list atlas` shows them."""
    return [
        AtlasRow(name=name, summary=comments(name)[0], genome=str(load(name)), hash=load(name).hash)
        for name in names()
    ]


def _text(name: str) -> str:
    if name not in names():
        raise UnknownNameError("architecture in the atlas", name, names())
    return files("palmette").joinpath("data", "atlas", f"{name}.genome").read_text("utf-8")
