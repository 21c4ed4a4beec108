"""Best so far of every arm of a study, beside what the best of as many noise draws would reach."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.records import Study, StudyArm
from palmette.report.figures.theme import Figure, Json, escaped, figure, lines
from palmette.report.numbers import ends

Setting = tuple[bool | None, bool | None]  # knowledge, feedback
LINES: dict[Setting, tuple[str, str, str]] = {  # what it is called, its dash and its colour
    (True, True): ("knowledge and feedback", "solid", "@s2"),
    (False, True): ("no knowledge", "dash", "@s1"),
    (True, False): ("no feedback", "dot", "@s3"),
    (False, False): ("neither", "dashdot", "@s4"),
}
PLAIN = ("@s5", "@s6", "@s1", "@s2", "@s3", "@s4")
DIGITS = 4


def courses(study: Study) -> tuple[Figure, ...]:
    """Best first-rung score minus the root's over genomes tried, on one scale in all figures.

    A figure for every proposer that asks a model, with all its settings and the reference in ink;
    one for all the others together. None of an arm without a score.
    """
    shown = [arm for arm in study.arms if any(at.best is not None for at in arm.course)]
    reference = [arm for arm in shown if arm.arm == study.reference]
    others = [arm for arm in shown if arm.arm != study.reference]
    thinking = dict.fromkeys(arm.proposer for arm in others if arm.knowledge is not None)
    groups = [
        (name, [arm for arm in others if arm.proposer == name and arm.knowledge is not None])
        for name in thinking
    ]
    plain = [arm for arm in others if arm.knowledge is None]
    if plain or (reference and not groups):
        groups.append(("without a model", plain))
    longest = max((len(arm.course) for arm in shown), default=0)
    return tuple(
        _panel(study, name, [*reference, *own], number, longest, _range(study, shown, longest))
        for number, (name, own) in enumerate(groups, start=1)
    )


def _range(study: Study, shown: Sequence[StudyArm], longest: int) -> list[float]:
    """All lines and the middle of the band; of the rest as much again, a few placebos leave it
    very wide.
    """
    band = study.luck[:longest]
    values = [at.best for arm in shown for at in arm.course if at.best is not None]
    values += [span.value for span in band]
    low, high = min(values), max(values)
    most = high + (high - low)
    high = max([high, *(min(span.high, most) for span in band)])
    room = 0.06 * (high - low) or 0.01
    return [low - room, high + room]


def _panel(
    study: Study,
    name: str,
    own: Sequence[StudyArm],
    number: int,
    longest: int,
    scale: list[float],
) -> Figure:
    traces = _luck(study, longest)
    traces += [_line(study, arm, PLAIN[n % len(PLAIN)]) for n, arm in enumerate(own)]
    return figure(
        f"courses-{number}",
        f"Best so far over the root, {escaped(name)}: {len(own)} arms, up to {longest} genomes",
        traces,
        400,
        title={
            "text": f"<b>{escaped(name)}</b>",
            "font": {"size": 14},
            "x": 0.02,
            "xanchor": "left",
        },
        margin={"l": 52, "r": 10, "t": 36, "b": 44},
        xaxis={"title": {"text": "genomes tried"}, "range": [0.7, longest + 0.3]},
        yaxis={"title": {"text": "best minus root"}, "tickformat": "+.2f", "range": scale},
        hovermode="closest",
        legend={"y": -0.2, "yanchor": "top", "traceorder": "normal", "font": {"size": 12}},
    )


def _luck(study: Study, longest: int) -> list[Json]:
    luck = study.luck[:longest]
    common: Json = {
        "type": "scatter",
        "mode": "lines",
        "x": list(range(1, len(luck) + 1)),
        "hoverinfo": "skip",
    }
    if not luck:
        return []
    return [
        {**common, "y": [s.low for s in luck], "line": {"width": 0}, "showlegend": False},
        {
            **common,
            "y": [s.high for s in luck],
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": "@band",
            "name": "best of n noise draws",
        },
        {
            **common,
            "y": [s.value for s in luck],
            "line": {"color": "@soft", "width": 1.4, "dash": "dot"},
            "showlegend": False,
        },
    ]


def _line(study: Study, arm: StudyArm, plain: str) -> Json:
    name, dash, colour = LINES.get((arm.knowledge, arm.feedback), (arm.arm, "solid", plain))
    reference = arm.arm == study.reference
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(arm.course) == 1 else "lines",
        "name": escaped(name),
        "x": [at.genomes for at in arm.course],
        "y": [at.best for at in arm.course],
        "line": {
            "color": "@ink" if reference else colour,
            "width": 2.6 if reference else 2,
            "shape": "hv",
            "dash": dash,
        },
        "text": [
            lines(
                [
                    f"<b>{escaped(arm.arm)}</b> after {at.genomes} "
                    f"{'genome' if at.genomes == 1 else 'genomes'}",
                    f"{at.best:+.{DIGITS}f} over the root" if at.best is not None else None,
                    f"over seeds {ends(at.span, DIGITS)}" if at.span else None,
                ]
            )
            for at in arm.course
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
