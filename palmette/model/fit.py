"""Sizing: the width, the depth and the channel mixers' hidden width that meet a parameter count.

Knobs of a genome are ratios and counts, so one genome is a family of models; `fit` picks the
member with the wanted number of *all* trainable scalars. It never builds anything: it solves on
the closed forms of `Primitive.cost`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm, log2

from palmette.errors import UserError
from palmette.grammar.genome import Genome
from palmette.ops._base import Cost, Place, Primitive, Widths

TOLERANCE = 0.02
HIDDEN = (0.8, 1.25)
DEEPEST = 96


@dataclass(frozen=True)
class Fit:
    """The sizes that were found.

    place           width, depth and hidden factor, with vocabulary and context as asked for
    parameters      all trainable scalars at that place, shared ones once
    wanted          what was asked for
    non_embedding   those of the trunk alone: no embedding, head, positions or final norm
    """

    place: Place
    parameters: int
    wanted: int
    non_embedding: int

    @property
    def error(self) -> float:
        """The relative deviation from what was wanted; negative if the model is smaller."""
        return self.parameters / self.wanted - 1

    @property
    def fits(self) -> bool:
        """Whether the deviation is at most 2 %; otherwise this is the nearest size there is."""
        return abs(self.error) <= TOLERANCE


def fit(genome: Genome, parameters: int, vocabulary: int = 256, context: int = 256) -> Fit:
    """The sizes at which the genome has about this many parameters.

    Among the sizes within 2 % it prefers a usual depth for the width, a width that is a multiple
    of 16, 8, 4 or 2, and a hidden factor near 1, which it keeps in 0.8 .. 1.25. Only widths at
    which all its parts can be built come into question. Raises `ValueError` for counts below 1,
    `UserError` if no width suits all parts.

    >>> import palmette
    >>> found = fit(palmette.parse("stack(pre(glu()))"), 42_000)
    >>> found.fits, found.place.vocabulary
    (True, 256)
    """
    for name, value in [
        ("parameters", parameters),
        ("vocabulary", vocabulary),
        ("context", context),
    ]:
        if value < 1:
            raise ValueError(f"fit wants {name} of at least 1, got {value}")
    sizes = _Sizes(_primitive(genome), parameters, vocabulary, context)
    place = min(sizes.candidates(), key=sizes.badness)
    core = sum((part.cost(place, 1) for part in _primitive(genome).nodes()), Cost())
    return Fit(place, sizes.count(place), parameters, core.parameters)


def cost(genome: Genome, place: Place, length: int) -> Cost:
    """Parameters, FLOPs per token and decoding state of the genome at these sizes.

    >>> import palmette
    >>> place = Place(width=32, depth=2, hidden=1.0, vocabulary=256, context=256)
    >>> cost(palmette.parse("stack(pre(mlp()))"), place, length=128).parameters
    24672
    """
    return _primitive(genome).cost(place, length)


class _Sizes:
    """The places among which `fit` chooses, and how good each of them is."""

    def __init__(self, root: Primitive, wanted: int, vocabulary: int, context: int) -> None:
        self.root = root
        self.wanted = wanted
        self.vocabulary = vocabulary
        self.context = context
        self.costs: dict[Place, Cost] = {}
        self.usable = widths_of(root)

    def place(self, width: int, depth: int, hidden: float) -> Place:
        return Place(
            width=width,
            depth=depth,
            hidden=hidden,
            vocabulary=self.vocabulary,
            context=self.context,
        )

    def cost(self, place: Place) -> Cost:
        if place not in self.costs:
            self.costs[place] = self.root.cost(place, 1)
        return self.costs[place]

    def count(self, place: Place) -> int:
        return self.cost(place).parameters

    def candidates(self) -> Iterator[Place]:
        """For each depth, most usual first, the widths that may do with their best hidden factor.

        Ends once no further depth can beat what was found, so most depths cost little.
        """
        found = float("inf")
        for shape, depth in sorted(self._depths()):
            if shape >= found:
                return
            for width in self._widths(depth):
                place = self.place(width, depth, self._hidden(width, depth))
                miss, preference = self.badness(place)
                if miss == 0:
                    found = min(found, preference)
                yield place

    def badness(self, place: Place) -> tuple[float, float]:
        """How far outside 2 % the size is, then how unusual it looks; smaller is better."""
        deviation = abs(self.count(place) / self.wanted - 1)
        even = next(n for n in (16, 8, 4, 2, 1) if place.width % n == 0)
        unevenness = {16: 0.0, 8: 0.05, 4: 0.25, 2: 0.4, 1: 0.6}[even]
        preference = self._shape(place) + unevenness + abs(log2(place.hidden))
        return (deviation if deviation > TOLERANCE else 0.0), preference

    def _depths(self) -> Iterator[tuple[float, int]]:
        """Depths with how unusual each one's shape is, as far as depth changes anything."""
        before = None
        for depth in range(1, DEEPEST + 1):
            width = self._width(depth, 1.0)
            place = self.place(width, depth, 1.0)
            # A period of every(8, ...) does not grow before the eighth layer.
            if depth > 8 and self.cost(place) == self.cost(self.place(width, depth - 8, 1.0)):
                return
            shape = self._shape(place)
            if self.cost(place) != before:
                yield shape, depth
            if self.cost(place).steps > 2 * _usual_steps(width):
                return
            before = self.cost(place)

    def _shape(self, place: Place) -> float:
        return abs(log2(max(1, self.cost(place).steps) / _usual_steps(place.width)))

    def _width(self, depth: int, hidden: float) -> int:
        """The greatest width with no more than the wanted parameters, or the least there is."""
        low, high = 0, 1
        while self._at(high) != self._at(low) and self._small(high, depth, hidden):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if self._small(middle, depth, hidden):
                low = middle
            else:
                high = middle
        return self._at(low)

    def _small(self, number: int, depth: int, hidden: float) -> bool:
        return self.count(self.place(self._at(number), depth, hidden)) <= self.wanted

    def _at(self, number: int) -> int:
        """The usable width of this number, counted from 0; the last one beyond the end."""
        usable = self.usable
        if usable.only:
            return usable.only[min(number, len(usable.only) - 1)]
        return usable.least + number * usable.multiple

    def _widths(self, depth: int) -> list[int]:
        """The widths that the range of hidden factors can bring to the wanted size."""
        step = self.usable.multiple
        least, most = self._width(depth, HIDDEN[1]), self._width(depth, HIDDEN[0]) + step
        if self.usable.only:
            return [width for width in self.usable.only if least <= width <= most]
        if most - least <= 12 * step:
            return list(range(least, most + 1, step))
        step *= max(1, 2 ** int(log2((most - least) / step / 6)))
        rounded = range(least - least % step + step, most, step)
        near = (least, least + self.usable.multiple, most - self.usable.multiple, most)
        return sorted({*near, *rounded})

    def _hidden(self, width: int, depth: int) -> float:
        """The hidden factor at which the size comes nearest to the wanted one."""
        low, high = HIDDEN
        at_low, at_high = (self.count(self.place(width, depth, factor)) for factor in HIDDEN)
        if at_low == at_high:
            return 1.0
        # Linear in the factor but for the rounding of hidden widths.
        guess = low + (high - low) * (self.wanted - at_low) / (at_high - at_low)
        return round(min(max(guess, low), high), 4)


def widths_of(root: Primitive) -> Widths:
    """The widths at which every node of a tree can be built.

    Raises `UserError` if there are none.
    """
    parts = {type(node).name: type(node).widths for _, node in root.walk()}  # type: ignore[attr-defined]
    free = [widths for widths in parts.values() if not widths.only]
    multiple = lcm(*(widths.multiple for widths in free))
    least = max((widths.least for widths in free), default=1)
    least += -least % multiple
    listed = [set(widths.only) for widths in parts.values() if widths.only]
    if not listed:
        return Widths(multiple, least)
    every = Widths(multiple, least)
    only = sorted(width for width in set.intersection(*listed) if width in every)
    if not only:
        told = [
            f"{name} {', '.join(map(str, widths.only))}"
            if widths.only
            else f"{name} multiples of {widths.multiple}"
            for name, widths in parts.items()
            if widths != Widths()
        ]
        raise UserError(f"no width suits all parts of the genome: {'; '.join(told)}")
    return Widths(only=tuple(only))


def _usual_steps(width: int) -> float:
    """The usual number of residual steps, mixer and channel mixer counted apart, for a width.

    Depth pays with the logarithm of the width (arXiv 2006.12467): 4 steps at 32, 8 at 64, and as
    in GPT-2 about 24 at 768.
    """
    return max(2.0, 4 * (1 + log2(max(width, 1) / 32)))


def _primitive(genome: Genome) -> Primitive:
    assert isinstance(genome.root, Primitive), "a genome's root is made of primitives"
    return genome.root
