"""How the trials of a campaign are trained: with which kernels, in packs or not, compiled or not.

All three move numbers, so a campaign keeps for good what it began with. What the user leaves open
is measured when a campaign begins, where somebody measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from palmette.errors import UserError
from palmette.grammar.genome import Genome
from palmette.ladder.scales import Scale
from palmette.ops.forms import KERNELS, PACKED
from palmette.ops.kernels.native.library import unavailable
from palmette.records import CampaignConfig, Event
from palmette.search.compiling import Weighed
from palmette.train.pack_choice import Choice

Chooses = Callable[[Genome, Scale, int, str], Choice]
"""Says of a root, a scale, its longest length and a kernel whether packs pay."""

Weighs = Callable[[Genome, Scale, int, str], Weighed]
"""Says of the same at which rungs torch.compile pays."""

OPEN = frozenset({"kernel", "packed", "compiled"})
"""What a campaign may settle by itself, as fields of its configuration."""


@dataclass(frozen=True)
class Ask:
    """What is measured with: whoever answers, where a plan leaves a question open."""

    choose: Chooses | None = None
    weigh: Weighs | None = None


def default_kernel() -> str:
    """'native' where this machine can build native kernels, 'torch' where not."""
    return "torch" if unavailable() else "native"


def manner(config: CampaignConfig) -> str:
    """How the trials of a campaign are trained, in a few words.

    >>> from palmette.testing.example_records import example_config
    >>> manner(example_config(kernel="native", packed=True))
    'native, packed'
    """
    words = [config.kernel]
    if config.packed:
        words.append("packed")
    if config.compiled:
        words.append(f"compiled at rung {', '.join(config.compiled)}")
    return ", ".join(words)


def settled(
    config: CampaignConfig,
    kept: CampaignConfig | None,
    left_open: frozenset[str],
    subject: tuple[Genome, Scale, int],
    ask: Ask,
) -> tuple[CampaignConfig, list[Event]]:
    """The configuration with nothing open, and what was measured for it.

    `kept` is that of the campaign that is there, which decides what is open; `subject` the root,
    the scale and the longest length. Without somebody to ask there are no packs, and nothing is
    compiled.

    Raises `UserError` for a kernel that is none of this version's or cannot be built here, and for
    packs or compiled trials that its kernel does not have.
    """
    if kept is not None:
        config = config.model_copy(update={name: getattr(kept, name) for name in left_open})
    _require(config)
    if kept is not None:
        return config, []
    settled: dict[str, Any] = {}
    events = []
    if "packed" in left_open and ask.choose is not None:
        choice = ask.choose(*subject, config.kernel)
        settled["packed"] = choice.packed
        events.append(Event(seconds=0.0, kind="packing chosen", detail=asdict(choice)))
    if "compiled" in left_open and ask.weigh is not None and not settled.get("packed"):
        weighed = ask.weigh(*subject, config.kernel)
        settled["compiled"] = weighed.rungs
        events.append(Event(seconds=0.0, kind="compiling weighed", detail=weighed.detail))
    return config.model_copy(update=settled), events


def _require(config: CampaignConfig) -> None:
    kernel = config.kernel
    if kernel not in KERNELS:
        raise UserError(f"there is no kernel {kernel!r}; there are: {', '.join(KERNELS)}")
    if kernel != "torch" and (reason := unavailable()):
        raise UserError(
            f"the trials of campaign {config.name!r} compute with {kernel} kernels, and those are "
            f"not to be had here: {reason}; or take another --campaign name with --kernel torch, "
            "for numbers of different kernels are not compared"
        )
    if config.packed and kernel not in PACKED.values():
        raise UserError(f"trials with {kernel} kernels are not packed; take --kernel native")
    if config.packed and config.compiled:
        raise UserError("packed trials are not compiled; take --pack or --compile")
