"""A stranger's class tried out: what it takes, at which widths it can be built, what it costs.

Nothing is declared and everything counted: parameters by `numel`, FLOPs by torch's counter, both on
a few sizes with a polynomial through them; the polynomial of the parameters has to meet further
sizes exactly, or else only counted widths are used. Runs the file's code: only in a locked-down
process.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from palmette.model.stranger.arguments import Construction, Sizes, construction
from palmette.model.stranger.counted import count, value
from palmette.model.stranger.source import Source, StrangerError, choose, execute, missing_imports
from palmette.ops._opaque import Opaque, first
from palmette.records import Counted, Setting, Stranger

Takes = Literal["features", "ids"]

FIRST = 64  # the width that is tried first
OTHERS = (128, 48, 96, 256, 32, 512, 768, 192, 384, 1024, 16, 80, 100, 120, 240, 8, 300, 640, 2048)
MULTIPLES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
NODES = (16, 64, 128)  # widths through which polynomials go, or the next that can be built
CHECKS = (8, 9, 23, 32, 45, 100, 200, 256, 333, 512)  # where they are held against a count
LISTED = (*range(8, 256, 8), *range(256, 1025, 64))  # counted one by one where they do not hold
LENGTHS = (64, 128, 256)  # at which FLOPs are counted
CONTEXTS = (256, 512)
T = 12  # the length of a trial


def describe(source: Source, wanted: str | None, given: dict[str, Setting], vocab: int) -> Stranger:
    """The class of a file as the language will speak of it, gates aside.

    Raises `StrangerError` with everything that is wrong.
    """
    faults = missing_imports(source)
    if faults:
        raise StrangerError(*faults)
    module = execute(source)
    cls = choose(source, module, wanted)
    made = construction(cls, module, given, source.file)
    tried = _Trials(source, made, vocab)
    takes, first = tried.kind()
    multiple, least, only = tried.widths(first)
    parameters, flops, listed = tried.costs(multiple, least, only)
    named = {"source": source.text, "cls": cls.__name__, "given": given}
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
    tried.note_config(first)
    return Stranger(
        name=f"{_stem(source.file)}_{digest[:8]}",
        file=source.file,
        cls=cls.__name__,
        summary=_summary(cls),
        source=source.text,
        takes=takes,
        given=dict(given),
        settings=made.arguments.settings,
        sizes=made.arguments.sizes,
        config=made.config,
        config_cls=made.config_cls.__name__ if made.config_cls else None,
        config_settings=made.config_arguments.settings,
        config_sizes=made.config_arguments.sizes,
        multiple=multiple,
        least=least,
        only=listed,
        vocabulary=vocab,
        parameters=parameters,
        flops_forward=flops,
    )


class _Trials:
    """One class, constructed and run at many sizes."""

    def __init__(self, source: Source, made: Construction, vocabulary: int) -> None:
        self.source = source
        self.made = made
        self.vocabulary = vocabulary
        self.takes: Takes = "features"

    def build(self, width: int, depth: int = 1, context: int = CONTEXTS[0]) -> Opaque:
        """A fresh module. Raises `StrangerError` with the file's own line."""
        try:
            sizes = Sizes(width, depth, self.vocabulary, context)
            return Opaque(layer=self.made.make(sizes))
        except Exception as error:
            name = self.made.cls.__name__
            raise StrangerError(
                f"{self.source.told(error)} (constructing {name} at width {width})"
            ) from error

    def run(self, width: int, takes: Takes) -> None:
        """Builds it and puts one input through it. Raises `StrangerError` with what is wrong."""
        model = self.build(width)
        wanted = [2, T, width if takes == "features" else self.vocabulary]
        try:
            with torch.no_grad():
                y = first(model.layer(self.input(width, takes)))
        except Exception as error:
            where = f"{list(self.input(width, takes).shape)} {takes}"
            raise StrangerError(f"{self.source.told(error)} (given {where})") from error
        if not isinstance(y, torch.Tensor):
            raise StrangerError(f"{self.source.file}: forward gives a {type(y).__name__}")
        if list(y.shape) != wanted:
            what = "features [b t d]" if takes == "features" else "ids [b t]"
            raise StrangerError(
                f"{self.source.file}: forward gives {list(y.shape)} for {what} of shape "
                f"{list(self.input(width, takes).shape)}; wanted {wanted}"
                + _hint(list(y.shape), wanted)
            )

    def input(self, width: int, takes: Takes, rows: int = 2, length: int = T) -> torch.Tensor:
        if takes == "ids":
            return torch.zeros(rows, length, dtype=torch.long)
        return torch.ones(rows, length, width)

    def kind(self) -> tuple[Takes, int]:
        """What it takes, and a width at which that was seen."""
        both: tuple[Takes, Takes] = ("features", "ids")
        order = both[::-1] if "vocabulary" in self.made.has else both
        faults: list[str] = []
        for width in dict.fromkeys((FIRST, *OTHERS, *self._own_sizes())):
            for takes in order:
                try:
                    self.run(width, takes)
                except StrangerError as error:
                    # What says most is told: at the first width, as what it seems to be.
                    if width == FIRST and takes == order[0]:
                        faults = list(error.faults)
                    continue
                self.takes = takes
                return takes, width
        raise StrangerError(
            *faults,
            f"{self.source.file}: {self.made.cls.__name__} maps neither features [b t d] to "
            "[b t d] nor ids [b t] to logits [b t vocabulary] at any width that was tried",
        )

    def _own_sizes(self) -> list[int]:
        """The sizes of its matrices: one of them is its width if that is fixed."""
        try:
            model = self.build(FIRST)
        except StrangerError:
            heads = self.made.arguments.settings.values()
            return [16 * n for n in heads if type(n) is int and 1 < n <= 256]
        sizes = {size for p in model.parameters() for size in p.shape if 1 < size <= 4096}
        return sorted(sizes)[:32]

    def works(self, width: int) -> bool:
        try:
            self.run(width, self.takes)
        except StrangerError:
            return False
        return True

    def widths(self, first: int) -> tuple[int, int, tuple[int, ...]]:
        """The number of which usable widths are multiples, the least of them; or a list of them."""
        if "width" not in self.made.has:
            return 1, 1, (first,)
        numbers = [n for n in self._numbers() if 1 < n <= 512]
        for multiple in sorted({*MULTIPLES, *numbers, *(2 * number for number in numbers)}):
            if all(map(self.works, _probes(multiple))):
                return multiple, self._least(multiple), ()
        only = [width for width in range(8, 1032, 8) if width == first or self.works(width)]
        return 1, 1, tuple(only)

    def _numbers(self) -> Iterator[int]:
        """Whole numbers among the arguments: heads, groups, ranks, on which widths may depend."""
        for found in (self.made.arguments, self.made.config_arguments):
            yield from (v for v in found.settings.values() if type(v) is int)
        model = self.build(FIRST) if self.works(FIRST) else None
        for part in model.modules() if model is not None else ():
            for name in ("num_heads", "n_heads", "heads", "n_head", "nhead"):
                if type(number := getattr(part, name, None)) is int:
                    yield number

    def _least(self, multiple: int) -> int:
        number = next(n for n in range(1, 17) if self.works(n * multiple))
        return number * multiple

    def costs(
        self, multiple: int, least: int, only: tuple[int, ...]
    ) -> tuple[Counted, Counted, tuple[int, ...]]:
        """Parameters, FLOPs, and the widths for which they hold if they do not hold for all."""

        def usable(wanted: Iterable[int]) -> tuple[int, ...]:
            near = {max(least, -(-width // multiple) * multiple) for width in wanted}
            return tuple(sorted(near))

        if only:
            nodes = tuple(dict.fromkeys((only[0], only[len(only) // 2], only[-1])))
            return self._parameters(only), self._flops(nodes), only
        nodes = usable(NODES)
        while len(nodes) < 3:
            nodes = (*nodes, nodes[-1] + multiple)
        found, flops = self._parameters(nodes), self._flops(nodes)
        if self._holds(found, usable(CHECKS)):
            return found, flops, ()
        only = usable(LISTED)
        return self._parameters(only), flops, only

    def _holds(self, found: Counted, widths: tuple[int, ...]) -> bool:
        _, depths, contexts = found.axes
        points = [(width, depths[-1], contexts[-1]) for width in widths]
        points.append((widths[0], 3 if len(depths) > 1 else 1, contexts[0]))
        return all(value(found, *point) == self._count(*point) for point in points)

    def _count(self, width: int, depth: int, context: int) -> float:
        model = self.build(width, depth, context)
        return float(sum(p.numel() for p in model.parameters() if p.requires_grad))

    def _parameters(self, widths: tuple[int, ...]) -> Counted:
        """Trainable scalars by width, depth and context."""
        depths = (1, 2) if "depth" in self.made.has else (1,)
        contexts = CONTEXTS if "context" in self.made.has else CONTEXTS[:1]
        return count((widths, depths, contexts), self._count)

    def _flops(self, widths: tuple[int, ...]) -> Counted:
        """FLOPs per token of a forward pass by width, depth and length."""

        def measure(width: int, depth: int, length: int) -> float:
            model = self.build(width, depth, max(CONTEXTS[0], length))
            x = self.input(width, self.takes, 1, length)
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _Flops() as counter:
                model(x)
            return float(counter.total / length)

        depths = (1, 2) if "depth" in self.made.has else (1,)
        return self._guarded(lambda: count((widths, depths, LENGTHS), measure))

    def _guarded(self, counting: Callable[[], Counted]) -> Counted:
        try:
            return counting()
        except StrangerError:
            raise
        except Exception as error:
            where = f"(counting its FLOPs at lengths {', '.join(map(str, LENGTHS))})"
            raise StrangerError(f"{self.source.told(error)} {where}") from error

    def note_config(self, width: int) -> None:
        """A config object of no class notes what it is asked for, also while the layer runs."""
        if self.made.config is not None and self.made.config_cls is None:
            self.run(width, self.takes)


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by torch's own formulas: products of matrices, convolutions, attention.

    `FlopCounterMode` counts the same and imports the compiler, which takes seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator and counts it."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if func.overloadpacket is torch.ops.aten.mkldnn_rnn_layer:  # unknown there: LSTM, fused
            x, *weights = args[:3]
            self.total += 2.0 * x.shape[:-1].numel() * sum(weight.numel() for weight in weights)
        elif formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _probes(multiple: int) -> list[int]:
    """Widths that tell whether every multiple will do: odd multiples among them."""
    first = -(-24 // multiple)
    return [multiple * number for number in (first, first + 1, first + 3, 2 * first + 5)]


def _hint(got: list[int], wanted: list[int]) -> str:
    if len(got) == 3 and got[1] == 1 and got[2] == wanted[2]:
        return " (it gives the last position alone)"
    if len(got) == 3 and got[:2] == wanted[:2]:
        return f" (its last size is {got[2]}; an argument for it may be needed)"
    if got == [wanted[1], wanted[0], *wanted[2:]]:
        return " (it has time first; b comes first)"
    return ""


def _stem(file: str) -> str:
    """The file's name as a word of the language."""
    words = re.sub(r"[^0-9a-z]+", "_", file.removesuffix(".py").lower()).strip("_")[:32]
    return words if words and not words[0].isdigit() else f"file_{words}".rstrip("_")


def _summary(cls: Any) -> str:
    doc = cls.__dict__.get("__doc__") or ""
    return doc.strip().partition("\n")[0][:200]
