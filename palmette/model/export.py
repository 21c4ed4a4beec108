"""One readable file for a model: only torch is needed to build, load, run and train it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import palmette
from palmette.grammar.genome import Genome
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model._literal import class_name, literal
from palmette.model._sources import Sources
from palmette.model.fit import cost
from palmette.model.stranger.names import listed
from palmette.model.stranger.node import Foreign, strangers_of
from palmette.ops._base import Call, Place, Primitive
from palmette.records import Stranger


def export(
    genome: Genome,
    place: Place,
    path: str | Path,
    state: Mapping[str, Tensor] | None = None,
    header: Mapping[str, object] | None = None,
) -> Path:
    """Writes the model as one Python file, and its weights beside it if `state` is given.

    The file's `model()` has the state-dict keys of `build_at(genome, place)` and, from the same
    seed, the same weights. `header` holds further facts for the docstring, such as a score.
    `best.py` looks for its weights in `best.pt`.

    >>> import palmette, tempfile
    >>> genome = palmette.parse("stack(pre(glu()))")
    >>> place = palmette.fit(genome, 42_000).place
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export(genome, place, Path(folder) / "best.py")
    ...     "import palmette" in path.read_text()
    False
    """
    path = Path(path)
    path.write_text(source(genome, place, path.with_suffix(".pt").name, header), encoding="utf-8")
    if state is not None:
        torch.save(dict(state), path.with_suffix(".pt"))
    return path


def source(
    genome: Genome, place: Place, weights: str, header: Mapping[str, object] | None = None
) -> str:
    """The text of that file; `weights` is the name of the file with the weights beside it."""
    assert isinstance(genome.root, Primitive), "a genome's root is made of primitives"
    planned = genome.root.plan(place)
    sources = Sources(from_imports={"torch": {"nn"}}, imports={"torch"})
    strangers: dict[str, Stranger] = {}
    for one in _calls(planned):
        if isinstance(one.cls, Foreign):
            strangers[one.cls.stranger.name] = one.cls.stranger
            sources.names[one.cls.__module__, one.cls.cls] = f"{one.cls.__module__}.{one.cls.cls}"
        elif one.cls is SimpleNamespace:
            sources.names["types", "SimpleNamespace"] = "SimpleNamespace"
            sources.from_imports["types"] = {"SimpleNamespace"}
        elif not one.cls.__module__.startswith("torch.nn"):
            sources.add(one.cls.__module__, one.cls.__qualname__)
    if strangers:
        sources.imports |= {"sys", "types"}
    returned = literal(planned, sources.names, indent=4, before=len("return "))
    summary = f"The model: a {class_name(planned, sources.names)} with fresh weights."
    parts = [
        _docstring(genome, place, weights, header or {}),
        "\n".join(sources.import_lines()),
        *_embedded(strangers.values()),
        *_spaced(sources.texts.values()),
        f'\n\ndef model() -> nn.Module:\n    """{summary}"""\n    return {returned}',
        _main(place, weights),
    ]
    return "\n".join(parts) + "\n"


def _embedded(strangers: Collection[Stranger]) -> Iterator[str]:
    """The text of users' files as it stands, and the modules made from it."""
    if strangers:
        yield LOADER
    for own in strangers:
        quotes = next((q for q in ("'''", '"""') if q not in own.source), None)
        whole = quotes is not None and not own.source.endswith(("\\", '"', "'"))
        text = f"r{quotes}{own.source}{quotes}" if whole else repr(own.source)
        yield f'\n\n# {own.file}, as it stands\n{own.name} = _module("{own.name}", {text})'


LOADER = '''

def _module(name: str, text: str) -> types.ModuleType:
    """A module made from the text of a file."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name + ".py", "exec"), module.__dict__)
    return module'''


def _calls(given: Any) -> Iterator[Call]:
    """Every call of a plan, arguments first."""
    if isinstance(given, tuple):
        for item in given:
            yield from _calls(item)
    if isinstance(given, Call):
        for _, argument in given.arguments:
            yield from _calls(argument)
        yield given


def _docstring(genome: Genome, place: Place, weights: str, header: Mapping[str, object]) -> str:
    parameters = cost(genome, place, place.context).parameters
    lines = [
        f"A language model in one file: it needs torch and {_else(genome)}.",
        "",
        *_wrapped(str(genome)),
        "",
        f"{parameters:,} parameters, width {place.width}, {place.vocabulary} token ids. "
        f"Written by palmette {palmette.__version__}.",
        *(f"{name}: {value}" for name, value in header.items()),
        "",
        "    net = model()",
        f'    net.load_state_dict(torch.load("{weights}", weights_only=True))',
        f"    logits = net(ids)  # ids [b t] -> logits [b t {place.vocabulary}]",
        *_decoding(genome),
    ]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{text}\n"""\n'


def _decoding(genome: Genome) -> list[str]:
    """How to go on token by token, where that is possible."""
    if Effect.STREAMABLE not in effects(genome.root):
        return []
    return [
        "    state = net.init_state(1)",
        "    logits, state = net.step(ids[:1, 0], state)  # one token further: logits [1 "
        "vocabulary]",
    ]


def _else(genome: Genome) -> str:
    files = sorted({own.file for own in strangers_of(genome)})
    return f"what {listed(files)}, whose text it holds, imports" if files else "nothing else"


def _wrapped(expression: str) -> list[str]:
    """The genome on lines of at most 96 characters, broken after commas."""
    lines, line = [], "    "
    for piece in expression.split(", "):
        if len(line) + len(piece) > 94 and line.strip():
            lines.append(line.rstrip())
            line = "        "
        line += piece + ", "
    return [*lines, line.removesuffix(", ")]


def _spaced(texts: Any) -> Iterator[str]:
    """Definitions two lines apart, constants together."""
    first = True
    for text in texts:
        constant = not text.rpartition("\n#")[2].lstrip().startswith(("class ", "def ", "@"))
        yield f"\n{text}" if constant and first else text if constant else f"\n\n{text}"
        first = False


def _main(place: Place, weights: str) -> str:
    return f'''

if __name__ == "__main__":
    net = model()
    try:
        path = __file__.removesuffix(".py") + ".pt"
        net.load_state_dict(torch.load(path, weights_only=True))
        print("with the weights of {weights}")
    except FileNotFoundError:
        print("{weights} is not there: the weights are random")
    print(f"{{sum(p.numel() for p in net.parameters()):,}} parameters")
    ids = torch.randint({place.vocabulary}, (1, {min(place.context, 64)}))
    print("ids", list(ids.shape), "-> logits", list(net(ids).shape))'''
