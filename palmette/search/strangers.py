"""A user's file made known: looked at behind walls once, then spoken of like any other primitive.

    stranger = introduce("layer.py:Mixer", ["num_heads=8"])
    admit(stranger)                       # from now on `parse` knows its node
    genome = parse(expression(stranger))  # lm(stack(pre(layer_1a2b3c4d()), pre(glu())))

The file runs in a locked-down process alone. There it is constructed, counted and put through the
gates; what comes back is a record, which is kept in the user's cache folder by the digest of the
file's text, and later in the store of every campaign that uses it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import ValidationError

import palmette
from palmette.errors import UserError
from palmette.gates import GATES
from palmette.grammar.genome import Genome
from palmette.grammar.types import Effect
from palmette.model.stranger.names import listed, parse_given
from palmette.model.stranger.node import admit, strangers_of
from palmette.model.stranger.source import Source
from palmette.records import GateResult, Setting, Stranger
from palmette.store import Campaign, Store
from palmette.tasks import VOCABULARY
from palmette.train.sandbox import Limits, run

NAMED = re.compile(r"(?P<file>.*\.py)(:(?P<cls>\w+))?", re.DOTALL)
LARGEST_BYTES = 2**20
LIMITS = Limits(wall_seconds=120.0, cpu_seconds=120, memory_bytes=3 * 2**30)
SHARED = ("batch", "determinism", "stateless")  # without these, scores mean nothing
NODE = re.compile(r"\b[a-z]\w*_[0-9a-f]{8}(?=\()")  # a stranger's node in a text


def introduce(text: str, given: Sequence[str] = ()) -> Stranger:
    """The class that `FILE.py` or `FILE.py:CLASS` names, with all gates' verdicts.

    `given` are arguments of its constructor as `name=value`. What is known of a file is kept and
    not asked again.

    Raises `UserError` with everything that is wrong with the file.
    """
    source, cls = read(text)
    return _read(_kept_at(source, cls, parse_given(given))) or examine(text, given)


def examine(text: str, given: Sequence[str] = (), gates: Sequence[str] | None = None) -> Stranger:
    """The same, looked at now, with the verdicts of these gates alone if any are named."""
    source, cls = read(text)
    settings = parse_given(given)
    request = {
        "file": source.file,
        "text": source.text,
        "beside": sorted(source.beside),
        "cls": cls,
        "given": settings,
        "vocabulary": VOCABULARY,
        "gates": gates,
    }
    answer = run("palmette.search.inspection:look", request, LIMITS)
    if answer.verdict is not None:
        raise UserError(f"{source.file}: {answer.verdict} ({answer.protection})")
    if answer.value["faults"]:
        raise UserError("\n".join(answer.value["faults"]))
    described = answer.value["stranger"] | {"protection": answer.protection}
    found = Stranger.model_validate(described)
    if gates is None:
        path = _kept_at(source, cls, settings)
        with suppress(OSError):  # it is looked at again the next time
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found.model_dump_json(), encoding="utf-8")
    return found


def read(text: str) -> tuple[Source, str | None]:
    """The file and the class that `FILE.py:CLASS` names.

    Raises `UserError` if there is no such file or if it cannot be one.
    """
    named = NAMED.fullmatch(text)
    if named is None:
        raise UserError(f"wanted FILE.py or FILE.py:CLASS, got {text!r}")
    path = Path(named["file"])
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a Python file in it")
    try:
        content = path.read_bytes()
        if len(content) > LARGEST_BYTES:
            raise UserError(f"{path} has {len(content):,} bytes, a layer's file at most a million")
        source = content.decode("utf-8-sig")
    except FileNotFoundError:
        there = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, there, n=1)
        meant = f"; did you mean {path.with_name(near[0])}?" if near else ""
        raise UserError(f"there is no file {path}{meant}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text, so it is not Python") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    beside = {file.stem for file in path.parent.glob("*.py")}
    beside |= {folder.parent.name for folder in path.parent.glob("*/__init__.py")}
    return Source(path.name, source, frozenset(beside)), named["cls"]


def check_genome(
    genome: Genome, gates: Sequence[str] | None = None
) -> tuple[tuple[GateResult, ...], str]:
    """The gates over a genome that has strangers' parts, and the protection that was in force.

    Raises `UserError` if it could not be looked at.
    """
    strangers = [own.model_dump(mode="json") for own in strangers_of(genome)]
    request = {
        "expression": genome.text,
        "strangers": strangers,
        "gates": gates,
        "vocabulary": VOCABULARY,
    }
    answer = run("palmette.search.inspection:look_at_genome", request, LIMITS)
    if answer.verdict is not None:
        raise UserError(f"{genome.text}: {answer.verdict} ({answer.protection})")
    return tuple(map(GateResult.model_validate, answer.value)), answer.protection


def leaks(stranger: Stranger) -> list[GateResult]:
    """The failed gates without which its scores would mean nothing: it reads the future, or the
    rest of the batch, or what it saw in calls before.
    """
    return [
        result
        for result in stranger.gates
        if result.passed is False
        and (result.gate in SHARED or Effect.CAUSAL in GATES[result.gate].needs)
    ]


def told(stranger: Stranger) -> str:
    """What was found, in a line."""
    what = "[b t d] to [b t d]" if stranger.takes == "features" else "ids [b t] to logits"
    widths = f"multiples of {stranger.multiple}" if stranger.multiple > 1 else "any width"
    if stranger.only:
        widths = f"width {listed([str(width) for width in stranger.only[:8]])}"
    if len(stranger.only) > 8:
        widths += " …"
    sizes = stranger.sizes if stranger.config is None else stranger.config_sizes
    settings = stranger.settings if stranger.config is None else stranger.config_settings
    arguments = [f"{name}={text}" for name, text in sizes.items()]
    arguments += [f"{name}={value!r}" for name, value in settings.items()]
    inner = ", ".join(arguments)
    if stranger.config is not None:
        inner = f"{stranger.config}: {inner}"
    return f"{stranger.file}: {stranger.cls}({inner}) maps {what}; {widths}; {stranger.protection}"


def welcome(strangers: Iterable[Stranger]) -> None:
    """Lets `parse` know the nodes of strangers, whose files do not run here."""
    for stranger in strangers:
        admit(stranger)


def remember(campaign: Campaign, genomes: Iterable[Genome]) -> tuple[Stranger, ...]:
    """Keeps the files that genomes have parts of with a campaign; returns all that it keeps."""
    kept = {stranger.name for stranger in campaign.strangers()}
    for genome in genomes:
        for stranger in strangers_of(genome):
            if stranger.name not in kept:
                campaign.add_stranger(stranger)
    found = tuple(campaign.strangers())
    welcome(found)
    return found


def recall(text: str, storage: str) -> None:
    """Makes the strangers that a genome's text names known, from the campaigns that keep them.

    Raises `UserError` if no campaign keeps one of them.
    """
    wanted = {name for name in NODE.findall(text) if name not in palmette.language()}
    if not wanted:
        return
    if Store.exists(storage):
        with Store(storage, create=False) as store:
            for name in store.campaigns():
                welcome(own for own in store.campaign(name).strangers() if own.name in wanted)
    missing = sorted(name for name in wanted if name not in palmette.language())
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise UserError(
            f"{listed(missing)} {verb} of a file that the store {storage} does not keep; give the "
            "file itself"
        )


def kept(text: str, storage: str, campaign: str | None = None) -> Stranger | None:
    """What a store (or one campaign in it) keeps of `FILE.py:CLASS`, for when the file is gone; the
    newest if there are several.
    """
    named = NAMED.fullmatch(text)
    if named is None or not Store.exists(storage):
        return None
    with Store(storage, create=False) as store:
        names = [name for name in store.campaigns() if campaign in (None, name)]
        found = [own for name in names for own in store.campaign(name).strangers()]
    file, cls = Path(named["file"]).name, named["cls"]
    fitting = [own for own in found if own.file == file and cls in (None, own.cls)]
    return fitting[-1] if fitting else None


def _read(path: Path) -> Stranger | None:
    try:
        return Stranger.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError, ValueError):
        return None


def _kept_at(source: Source, cls: str | None, given: dict[str, Setting]) -> Path:
    """Where a record is kept: by the file and by what looked at it."""
    package = Path(palmette.__file__).parent
    looked = [*(package / "gates").glob("*.py"), *(package / "model" / "stranger").glob("*.py")]
    facts = [
        (source.file, source.text, cls, given, VOCABULARY),
        (palmette.__version__, version("torch")),
        [(path.name, path.stat().st_mtime_ns) for path in sorted(looked)],
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return user_cache_path("palmette") / "strangers" / f"{digest[:32]}.json"
