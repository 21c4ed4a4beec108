import pytest
import torch

from palmette.ops._topk import TIE, top_few


def test_the_highest_scores_are_chosen():
    scores = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(0))
    chosen = top_few(scores, 7)
    assert (chosen.sum(-1) == 7).all()
    assert (scores.masked_fill(~chosen, 9).amin(-1) > scores.masked_fill(chosen, -9).amax(-1)).all()


def test_of_equal_scores_the_newest_are_chosen():
    assert top_few(torch.ones(6), 2).nonzero().flatten().tolist() == [4, 5]


def test_scores_that_rounding_made_unequal_are_equal():
    noise = TIE * torch.rand(200, 30, generator=torch.Generator().manual_seed(1)) / 2
    assert (top_few(0.3 + noise, 4) == top_few(torch.ones(30), 4)).all()


@pytest.mark.parametrize("count", [1, 3, 9])
def test_nothing_unseen_is_chosen_and_what_follows_changes_nothing(count):
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    longer = torch.cat((scores, torch.full((4, 5), -torch.inf)), -1)
    chosen = top_few(longer, count)
    assert not chosen[:, 6:].any()
    assert torch.equal(chosen[:, :6], top_few(scores, count))
    assert (chosen.sum(-1) == min(count, 6)).all()
