import palmette
from palmette.ladder.scales import scale
from palmette.model import atlas
from palmette.search.misfits import misfits


def test_what_fits_every_rung_is_not_spoken_of():
    assert list(misfits([(atlas.load("deltanet"), "deltanet")], scale("pocket"), 256)) == []


def test_each_rung_that_is_missed_says_by_how_much_and_why():
    wide = palmette.parse("every(8, seq(pre(lin()), pre(lin())), seq(pre(attn()), pre(lin())))")
    said = list(misfits([(wide, "wide"), (wide, None)], scale("seedling"), 256))
    assert said
    assert all("instead of" in sentence and "one step of width" in sentence for sentence in said)
    assert said[0].startswith("wide runs with ")
    assert said[-1].startswith(f"{wide.hash[:8]} runs with ")
