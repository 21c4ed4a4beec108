"""What a user means by GENOME."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from palmette.cli._store import reading, scale_of
from palmette.errors import UnknownNameError, UserError
from palmette.grammar.genome import Genome
from palmette.model import atlas
from palmette.model.parse import parse
from palmette.model.stranger.node import admit, expression
from palmette.records import Candidate
from palmette.search.strangers import NAMED, introduce, kept, leaks, recall, told
from palmette.search.winner import winner
from palmette.store import Store

SHORTEST = 6  # digits of a hash


@dataclass(frozen=True)
class Resolved:
    """A genome, and the name under which it was asked for or under which the store knows it."""

    genome: Genome
    name: str | None = None


def resolve(
    text: str, storage: str, campaign: str | None, given: Sequence[str] | None = None
) -> Resolved:
    """The genome that a text names, tried in this order.

    A layer or model of the user's (`FILE.py`, `FILE.py:CLASS`, with constructor arguments
    `given`), an expression (it has a parenthesis), a `.genome` file, a name of the atlas, `best`
    (of the campaign), the first 6 or more digits of a hash that one genome in the store has.

    Raises `UserError` for anything else, with what was meant, perhaps. Ends the command with 1 if
    the user's layer fails a gate without which nothing can be said of it.
    """
    if NAMED.fullmatch(text):
        return _stranger(text, storage, campaign, given or ())
    if "(" in text:
        recall(text, storage)
        return Resolved(parse(text))
    if text.endswith(".genome"):
        return _file(Path(text), storage)
    if text in atlas.names():
        return Resolved(atlas.load(text), text)
    if text == "best":
        return _best(storage, campaign)
    if re.fullmatch(r"[0-9a-fA-F]+", text):
        return _hash(text.lower(), storage, campaign)
    raise UnknownNameError("genome", text, [*atlas.names(), "best"])


def _stranger(text: str, storage: str, campaign: str | None, given: Sequence[str]) -> Resolved:
    """The usual trunk around a layer of the user's, or the user's model."""
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    path = Path(text.rpartition(".py")[0] + ".py")
    stored = None if path.exists() or given else kept(text, storage, campaign)
    if stored is not None:
        screen.print(Text(f"{path} is gone; the text that the store keeps is used", style="dim"))
    found = stored or introduce(text, given)
    screen.print(Text(told(found), style="dim"))
    failed = [result for result in found.gates if result.passed is False]
    for result in failed:
        screen.print(Text(f"gate {result.gate} failed: {result.detail}", style="red"))
    if leaks(found):
        screen.print(
            Text(
                f"{found.file}: {found.cls} cannot be trained or compared: its scores would mean "
                f"nothing. `palmette check {text}` shows all gates",
                style="red",
            )
        )
        raise typer.Exit(1)
    admit(found)
    return Resolved(parse(expression(found)), found.file.removesuffix(".py"))


def _file(path: Path, storage: str) -> Resolved:
    try:
        text = path.read_text("utf-8-sig")  # some editors put a byte order mark in front
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read the genome file {path}: {reason}; name another") from error
    recall(text, storage)
    return Resolved(parse(text), path.name.removesuffix(".genome"))


def _best(storage: str, campaign: str | None) -> Resolved:
    with reading(storage, campaign) as stored:
        found = winner(stored, scale_of(stored))
        if found is None:
            raise UserError(
                f"campaign {stored.config.name!r} has not found a genome yet; go on with "
                "`palmette grow`, or name one of the atlas (`palmette list atlas`)"
            )
    return Resolved(parse(found.expression), found.name)


def _hash(digits: str, storage: str, campaign: str | None) -> Resolved:
    if len(digits) < SHORTEST:
        raise UserError(f"a hash wants {SHORTEST} digits or more, got {digits!r}; give more of it")
    found = {
        candidate.genome: candidate
        for candidate in _candidates(storage, campaign)
        if candidate.genome.startswith(digits)
    }
    if not found:
        raise UserError(
            f"no genome in the store {storage} begins with {digits!r}; see `palmette tree`"
        )
    if len(found) > 1:
        lines = [f"  {hash[: len(digits) + 6]}  {found[hash].expression}" for hash in sorted(found)]
        raise UserError(
            f"{len(found)} genomes begin with {digits!r}; give more digits:\n" + "\n".join(lines)
        )
    (candidate,) = found.values()
    recall(candidate.expression, storage)
    return Resolved(parse(candidate.expression), candidate.name)


def _candidates(storage: str, campaign: str | None) -> list[Candidate]:
    with Store(storage, create=False) as store:
        searches = set(store.campaigns("grow"))  # last, for a genome goes by the name it has there
        every = sorted(store.campaigns(), key=searches.__contains__)
        names = every if campaign is None else [campaign]
        return [c for name in names for c in store.campaign(name).candidates() if not c.replica]
