import pytest
import torch

from palmette.ops._blocks import (
    bias_of_blocks,
    complete_blocks,
    mean_chosen_keys,
    mean_complete_blocks,
    with_open_block,
)

LENGTHS = (1, 7, 16, 63, 64, 100, 129)


@pytest.mark.parametrize("block", [4, 16, 32])
@pytest.mark.parametrize("length", LENGTHS)
def test_means_are_those_of_counting(length, block):
    ended = sum((i + 1) // block for i in range(length)) / length
    assert mean_complete_blocks(length, block) == pytest.approx(ended)
    for others in (1, 2, 5):
        keys = sum(i % block + 1 + block * min(i // block, others) for i in range(length)) / length
        assert mean_chosen_keys(length, block, others) == pytest.approx(keys)


def test_a_block_that_has_not_ended_is_left_out_and_has_no_score():
    x = torch.arange(63.0).view(1, 1, 63, 1)
    blocks = complete_blocks(x, 16)
    assert blocks.shape == (1, 1, 3, 16, 1)
    assert blocks[0, 0, 1, :, 0].tolist() == list(range(16, 32))
    assert with_open_block(torch.zeros(1, 1, 1, 3), 63, 16).tolist() == [[[[0, 0, 0, -torch.inf]]]]
    assert with_open_block(torch.zeros(1, 1, 1, 3), 48, 16).tolist() == [[[[0, 0, 0]]]]


def test_chosen_blocks_are_seen_up_to_the_query():
    chosen = torch.tensor([[True, False, True]])[None, None]
    bias = bias_of_blocks(chosen, torch.tensor([9]), 10, 4)[0, 0, 0]
    assert (bias == 0).nonzero().flatten().tolist() == [0, 1, 2, 3, 8, 9]
    early = bias_of_blocks(chosen, torch.tensor([8]), 10, 4)[0, 0, 0]
    assert (early == 0).nonzero().flatten().tolist() == [0, 1, 2, 3, 8]
