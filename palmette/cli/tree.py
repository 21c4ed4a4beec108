"""`palmette tree`: who came from whom."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import HASH_DIGITS, MISSING, console, number, show_rows
from palmette.cli._store import reading, scale_of
from palmette.ladder.ranking import tree_rows
from palmette.records import TreeRow


def tree(
    storage: StorageOption = STORAGE, campaign: CampaignOption = None, form: FormatOption = "table"
) -> None:
    """Draw the search tree: each candidate below its parent, with its edit and its score.

    The score is that of the first rung at the best learning rate.
    """
    with reading(storage, campaign) as stored:
        rows = tree_rows(stored.candidates(), stored.trials(), scale_of(stored))
        name = stored.config.name
    if form == "json":
        show_rows(rows, form)
        return
    console().print(drawn(rows, name))


def drawn(rows: list[TreeRow], title: str) -> Tree:
    """The candidates below their first parents; those without one at the top."""
    top = Tree(Text(title, style="bold"))
    branches: dict[str, Tree] = {}
    for row in rows:  # in the order in which they came: parents before children
        above = branches.get(row.parents[0], top) if row.parents else top
        branch = above.add(_line(row))
        if row.replica == 0:
            branches[row.genome] = branch
    return top


def _line(row: TreeRow) -> Text:
    line = Text(row.genome[:HASH_DIGITS])
    line.append(f"  {MISSING if row.score is None else number(row.score)}", style="bold")
    if row.role != "found":
        label = " ".join(part for part in (row.role, row.name) if part)
        line.append(f"  {label}", style="cyan")
    told = row.edit_text or row.edit
    line.append(f"  {told or row.expression}", style="default" if told else "dim")
    if len(row.parents) > 1:
        others = ", ".join(parent[:HASH_DIGITS] for parent in row.parents[1:])
        line.append(f"  (and from {others})", style="dim")
    if row.rung:
        line.append(f"  rung {row.rung}", style="dim")
    return line
