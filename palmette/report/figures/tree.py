"""The search tree: who came from whom, how far each got, and what its edit promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles

from palmette.records import Candidate, Prediction, TreeRow
from palmette.report import summaries
from palmette.report.data import ReportData
from palmette.report.figures.fan import Point, branch, fan, point
from palmette.report.figures.theme import (
    MARKERS,
    Figure,
    Json,
    edit_words,
    escaped,
    figure,
    lines,
    short,
    wrapped,
)

Key = tuple[str, int]  # genome, replica
GROUND = -0.13  # where the baselines stand, below the fan
PLACEBOS = -0.27


def tree(data: ReportData) -> Figure | None:
    """The tree as a fan from the root; None when the campaign has no candidates yet."""
    root = next((row for row in data.tree if row.role == "root"), None)
    if root is None:
        return None
    grown = [row for row in data.tree if row.role in ("root", "found") or _parent(row)]
    polar = fan({_key(row): _parent(row) for row in grown}, _key(root))
    places = {key: point(*at) for key, at in polar.items()} | _grounded(data.tree, polar)
    widest = max(0.5, *(abs(x) for x, _ in places.values()))
    highest = max(0.5, *(y for _, y in places.values()))
    top = data.top.genome if data.top else None
    lineage = {(step.row.genome, 0) for step in summaries.ancestry(data.tree, top or "")}
    traces = [
        *_edges(grown, polar, lineage),
        _grafts(grown, polar),
        *_nodes(
            data, places, {rung.name: n for n, rung in enumerate(summaries.rungs(data.trials))}
        ),
    ]
    return figure(
        "tree",
        f"Search tree of {len(data.tree)} candidates grown from {root.name or short(root.genome)}",
        [trace for trace in (*traces, *_legend(traces)) if trace["x"]],
        640,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"visible": False, "range": [-1.06 * widest, 1.06 * widest]},
        yaxis={"visible": False, "range": [PLACEBOS - 0.06, 1.24 * highest]},
        legend={"y": 0, "yanchor": "top", "x": 0.5, "xanchor": "center", "itemsizing": "constant"},
        coloraxis=_colours(data.tree),
        annotations=_names(data, places, top),
        hovermode="closest",
    )


def _key(row: TreeRow) -> Key:
    return row.genome, row.replica


def _parent(row: TreeRow) -> Key | None:
    return (row.parents[0], 0) if row.parents else None


def _grounded(tree: Sequence[TreeRow], polar: Mapping[Key, object]) -> dict[Key, Point]:
    """Baselines and parentless placebos in rows below the root, from the middle outwards."""
    places: dict[Key, Point] = {}
    for role, height in (("baseline", GROUND), ("placebo", PLACEBOS)):
        rows = [row for row in tree if row.role == role and _key(row) not in polar]
        step = min(0.3, 0.92 / max(1, (len(rows) + 1) // 2))
        for number, row in enumerate(rows):
            side = -1 if number % 2 == 0 else 1
            places[_key(row)] = (side * step * (number // 2 + 1), height)
    return places


def _edges(
    rows: Sequence[TreeRow], polar: Mapping[Key, tuple[float, float]], lineage: set[Key]
) -> list[Json]:
    drawn: dict[bool, list[Point | None]] = {False: [], True: []}
    for row in rows:
        parent = _parent(row)
        if parent is not None and parent in polar and _key(row) != parent:
            marked = _key(row) in lineage and parent in lineage
            drawn[marked] += [*branch(polar[parent], polar[_key(row)]), None]
    return [
        _path(drawn[False], {"color": "@line", "width": 1.3}, "edit"),
        _path(drawn[True], {"color": "@accent", "width": 3.2}, "ancestry of the top candidate"),
    ]


def _grafts(rows: Sequence[TreeRow], polar: Mapping[Key, tuple[float, float]]) -> Json:
    """Second parents, as straight dotted lines."""
    drawn: list[Point | None] = []
    for row in rows:
        for other in row.parents[1:]:
            if (other, 0) in polar:
                drawn += [point(*polar[other, 0]), point(*polar[_key(row)]), None]
    dotted = {"color": "@soft", "width": 1, "dash": "dot"}
    return _path(drawn, dotted, "graft's second parent") | {"opacity": 0.55}


def _path(points: Sequence[Point | None], line: Json, name: str) -> Json:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [at[0] if at else None for at in points],
        "y": [at[1] if at else None for at in points],
        "line": line,
        "hoverinfo": "skip",
    }


def _nodes(data: ReportData, places: Mapping[Key, Point], order: Mapping[str, int]) -> list[Json]:
    dead = summaries.failed(data.trials)
    scores = {_key(row): row.score for row in data.tree}
    by_key = {(held.genome, held.replica): held for held in data.candidates}
    traces = []
    for role in ("found", "placebo", "baseline", "root"):
        for scored in (True, False):
            rows = [
                row for row in data.tree if row.role == role and (row.score is not None) is scored
            ]
            for failed in (False, True):
                held = [row for row in rows if (_key(row) in dead and not scored) is failed]
                traces.append(_markers(role, scored, failed, held, places, order))
                traces[-1]["text"] = [
                    _hover(row, by_key.get(_key(row)), scores, failed) for row in held
                ]
    return traces


def _markers(
    role: str,
    scored: bool,
    failed: bool,
    rows: Sequence[TreeRow],
    places: Mapping[Key, Point],
    order: Mapping[str, int],
) -> Json:
    marker: Json = {
        "symbol": MARKERS[role],
        "size": [_size(row, order) + (2 if role != "found" else 0) for row in rows],
        "line": {"color": "@paper" if scored else "@soft", "width": 1.4},
        "opacity": 1,
    }
    if scored:
        marker |= {"color": [row.score for row in rows], "coloraxis": "coloraxis"}
    elif failed:
        marker |= {"symbol": "x-thin", "line": {"color": "@failed", "width": 2}, "size": 8}
    else:
        marker |= {"color": "@paper"}
    state = "" if scored else ", failed" if failed else ", no score yet"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": role + state,
        "showlegend": False,
        "x": [places[_key(row)][0] for row in rows],
        "y": [places[_key(row)][1] for row in rows],
        "marker": marker,
        "customdata": [row.genome for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _legend(traces: Sequence[Json]) -> list[Json]:
    """An entry for each kind of marker that was drawn; coloured markers cannot stand for one."""
    entries = []
    for trace in traces:
        if trace["mode"] == "markers" and trace["x"]:
            marker = {**trace["marker"], "size": 10}
            if marker.pop("coloraxis", None):
                marker |= {"color": "@soft"}
            entries.append(
                {**trace, "x": [None], "y": [None], "marker": marker, "showlegend": True}
                | {"text": None, "customdata": None}
            )
    return entries


def _size(row: TreeRow, order: Mapping[str, int]) -> int:
    return 10 + 5 * order.get(row.rung or "", 0)


def _hover(
    row: TreeRow,
    candidate: Candidate | None,
    scores: Mapping[Key, float | None],
    failed: bool,
) -> str:
    before = scores.get(_parent(row) or ("", 0))
    change = row.score - before if row.score is not None and before is not None else None
    title = f"{escaped(row.name)} · " if row.name else ""
    happened = "every trial failed" if failed else "no score yet"
    if row.score is not None:
        happened = f"score {row.score:.4f}, highest rung {escaped(row.rung or 'none')}"
    return lines(
        [
            f"<b>{title}{short(row.genome)}</b> ({row.role})",
            happened,
            wrapped(row.expression),
            f"<b>{escaped(row.edit)}</b>" if row.edit else None,
            wrapped(edit_words(row)) if row.edit_text else None,
            f"<i>{wrapped(row.motivation)}</i>" if row.motivation else None,
            _promise(row.prediction, change),
            f"{candidate.parameters:,} parameters" if candidate and candidate.parameters else None,
        ]
    )


def _promise(prediction: Prediction | None, change: float | None) -> str | None:
    happened = f"{change:+.4f}" if change is not None else "not measured"
    if prediction is None:
        return f"change to its parent {happened}" if change is not None else None
    promised = f"{prediction.change:+.4f} [{prediction.low:+.4f}, {prediction.high:+.4f}]"
    return f"predicted {promised}, happened {happened}"


def _colours(tree: Sequence[TreeRow]) -> Json:
    scores = sorted(row.score for row in tree if row.score is not None)
    low = scores[0] if scores else 0.0
    if len(scores) > 3:  # a few broken genomes must not use up the whole scale (Tukey's fence)
        first, _, third = quantiles(scores, n=4)
        low = max(low, first - 1.5 * (third - first))
    high = scores[-1] if scores and scores[-1] > low else low + 1
    return {
        "colorscale": "@scale",
        "cmin": low,
        "cmax": high,
        "colorbar": {
            "title": {"text": "score, first rung", "side": "top", "font": {"size": 11.5}},
            "orientation": "h",
            "thickness": 9,
            "len": 0.24,
            "x": 1,
            "xanchor": "right",
            "y": 1,
            "yanchor": "top",
            "outlinewidth": 0,
            "nticks": 4,
            "tickfont": {"color": "@soft", "size": 11},
        },
    }


def _names(data: ReportData, places: Mapping[Key, Point], top: str | None) -> list[Json]:
    """The names of root and baselines below their marks, the top candidate's hash above it."""
    named = [row for row in data.tree if row.role == "baseline"]
    labels = [
        (row, escaped(row.name or short(row.genome)), -21 if number // 2 % 2 == 0 else -34)
        for number, row in enumerate(named)  # neighbours on two heights, or they would collide
    ]
    for row in data.tree:
        if row.role == "root":
            labels.append((row, escaped(row.name or short(row.genome)), -21))
        elif row.genome == top and row.role == "found":
            labels.append((row, f"<b>{short(row.genome)}</b>", 22))
    return [
        {
            "x": places[_key(row)][0],
            "y": places[_key(row)][1],
            "yshift": shift,
            "text": text,
            "showarrow": False,
            "font": {"size": 12, "color": "@soft" if shift < 0 else "@accent"},
            **({"bgcolor": "@panel", "borderpad": 3} if shift > 0 else {}),  # above other nodes
        }
        for row, text, shift in labels
    ]
