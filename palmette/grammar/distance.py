"""How far two architectures are apart: an ordered tree edit distance, between 0 and 1.

The distance is that of Zhang and Shasha (Simple Fast Algorithms for the Editing Distance between
Trees and Related Problems, SIAM J. Computing 18(6), 1989): the cheapest way to delete, insert and
relabel nodes. It is brought to [0, 1] as 2d / (|a| + |b| + d), which keeps the triangle inequality
(Li and Zhang, A Metric Normalization of Tree Edit Distance, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

from palmette.grammar.node import Node


def distance(a: Node, b: Node) -> float:
    """The normalised tree edit distance of two trees: 0 if equal, below 1 otherwise.

    Inserting or deleting a node costs 1. Relabelling costs 1 between nodes of different classes;
    between two of the same class, the fraction of their knobs that differ, halved, so that a
    changed knob is always nearer than a changed node.

    >>> import palmette
    >>> one, other = palmette.parse("pre(lin())").root, palmette.parse("stack(pre(lin()))").root
    >>> distance(one, one), distance(one, other)
    (0.0, 0.25)
    """
    left, right = _Postorder.of(a), _Postorder.of(b)
    cost = _tree_distance(left, right)
    return 2 * cost / (len(left.nodes) + len(right.nodes) + cost)


@dataclass(frozen=True)
class _Postorder:
    """A tree in postorder.

    nodes      the nodes, children before parents
    leftmost   for each node the number of the leftmost leaf below it
    keyroots   the root and every node that has a left sibling, in ascending order
    """

    nodes: list[Node]
    leftmost: list[int]
    keyroots: list[int]

    @classmethod
    def of(cls, root: Node) -> _Postorder:
        nodes: list[Node] = []
        leftmost: list[int] = []

        def visit(node: Node) -> int:
            firsts = [visit(kid) for kid in node.nodes()]
            nodes.append(node)
            leftmost.append(firsts[0] if firsts else len(nodes) - 1)
            return leftmost[-1]

        visit(root)
        highest = {leaf: number for number, leaf in enumerate(leftmost)}
        return cls(nodes, leftmost, sorted(highest.values()))


def _tree_distance(a: _Postorder, b: _Postorder) -> float:
    trees = [[0.0] * len(b.nodes) for _ in a.nodes]
    for i in a.keyroots:
        for j in b.keyroots:
            _fill(a, b, i, j, trees)
    return trees[-1][-1]


def _fill(a: _Postorder, b: _Postorder, i: int, j: int, trees: list[list[float]]) -> None:
    """Fills in the distances of all subtrees on the left paths down from keyroots i and j.

    forest[x][y] is the distance of the forests of the first x and y nodes from those leaves on.
    """
    start_a, start_b = a.leftmost[i], b.leftmost[j]
    rows, columns = i - start_a + 2, j - start_b + 2
    forest = [[0.0] * columns for _ in range(rows)]
    for x in range(1, rows):
        forest[x][0] = x
    forest[0] = [float(y) for y in range(columns)]
    for x in range(1, rows):
        in_a = start_a + x - 1
        for y in range(1, columns):
            in_b = start_b + y - 1
            one_less = min(forest[x - 1][y], forest[x][y - 1]) + 1
            if a.leftmost[in_a] == start_a and b.leftmost[in_b] == start_b:
                relabelled = forest[x - 1][y - 1] + _relabel(a.nodes[in_a], b.nodes[in_b])
                forest[x][y] = min(one_less, relabelled)
                trees[in_a][in_b] = forest[x][y]
            else:
                before = forest[a.leftmost[in_a] - start_a][b.leftmost[in_b] - start_b]
                forest[x][y] = min(one_less, before + trees[in_a][in_b])


def _relabel(a: Node, b: Node) -> float:
    if type(a) is not type(b):
        return 1.0
    mine, theirs = a.knobs(), b.knobs()
    return sum(mine[name] != theirs[name] for name in mine) / (2 * len(mine)) if mine else 0.0
