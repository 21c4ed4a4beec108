from __future__ import annotations

from palmette.exam.exposure import exposed
from palmette.records import Candidate


def made(genome: str, *parents: str, replica: int = 0) -> Candidate:
    return Candidate(
        genome=genome, expression=genome, role="found", parents=parents, replica=replica
    )


TREE = [made("root"), made("a", "root"), made("b", "a"), made("c", "root"), made("d", "b", "c")]


def test_without_an_exam_nothing_is_exposed() -> None:
    assert exposed(TREE, ()) == {}
    assert exposed(TREE, {"elsewhere"}) == {}
    assert exposed([], {"a"}) == {}


def test_an_examined_genome_exposes_itself_and_all_below() -> None:
    assert exposed(TREE, {"a"}) == {"a": "a", "b": "a", "d": "a"}


def test_a_second_parent_counts() -> None:
    assert exposed(TREE, {"c"}) == {"c": "c", "d": "c"}


def test_ancestors_are_not_exposed_by_what_came_of_them() -> None:
    assert exposed(TREE, {"d"}) == {"d": "d"}


def test_the_nearest_ancestor_is_told() -> None:
    assert exposed(TREE, {"a", "b"}) == {"a": "a", "b": "b", "d": "b"}
    assert exposed(TREE, {"root", "c"})["d"] == "c"


def test_of_ancestors_as_near_the_first_proposed_is_told() -> None:
    assert exposed(TREE, {"b", "c"})["d"] == "b"
    assert exposed([made("d", "c", "b"), *TREE[:4]], {"b", "c"})["d"] == "b"


def test_an_examined_ancestor_may_belong_to_another_campaign() -> None:
    orphan = [made("x", "gone"), made("y", "x")]
    assert exposed(orphan, {"gone"}) == {"x": "gone", "y": "gone"}


def test_a_placebo_is_its_own_parent_and_ends() -> None:
    looped = [made("root"), made("root", "root", replica=1), made("a", "root")]
    assert exposed(looped, {"a"}) == {"a": "a"}
    assert exposed(looped, {"root"}) == {"root": "root", "a": "root"}


def test_any_replica_of_a_genome_may_tell_its_parents() -> None:
    twice = [made("a"), made("b"), made("b", "a", replica=1)]
    assert exposed(twice, {"a"}) == {"a": "a", "b": "a"}


def test_a_long_line_is_followed_to_its_end() -> None:
    line = [made("0"), *(made(str(n), str(n - 1)) for n in range(1, 3000))]
    assert exposed(line, {"2990"}) == {str(n): "2990" for n in range(2990, 3000)}
