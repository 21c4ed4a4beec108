import palmette
from palmette.model.binding import binding


def told(text: str, parameters: int) -> str:
    genome = palmette.parse(text)
    return binding(genome, palmette.fit(genome, parameters)) or "fits"


def test_what_fits_is_not_bound():
    assert told("stack(pre(glu()))", 42_000) == "fits"


def test_a_budget_below_the_smallest_size_says_how_small_it_gets():
    said = told("stack(pre(glu()))", 200)
    assert "its smallest size, width 1 and depth 1, has 264 parameters" in said
    assert "257 of them stand around the trunk" in said  # an embedding of 256 ids, a norm


def test_steps_of_width_without_a_channel_mixer():
    said = told("every(8, pre(lin()), pre(attn()))", 30_000)
    assert "one step of width is too large for 2 %: 28,916 parameters at width 26" in said
    assert "no channel mixer" in said


def test_steps_of_width_beyond_what_hidden_widths_can_do():
    text = "every(6, seq(pre(lin(heads=8)), pre(glu(ratio=1))), pre(lin(heads=8, value_ratio=2)))"
    said = next(
        one for one in (told(text, size) for size in range(3000, 9000, 250)) if one != "fits"
    )
    assert "kept between 0.8 and 1.25 of the usual, reach only" in said
