import json
from dataclasses import replace

import pytest

from benchmarks import growth, growth_picture, limits
from benchmarks.ratios.models import S
from palmette.ops.kernels.native.library import unavailable


def point(axis, length, width, seconds):
    sizes = {"axis": axis, "length": length, "width": width, "tokens": 8192}
    return {"genome": "llama", "kernel": "torch", "seconds": seconds, "bytes": 1e6, **sizes}


def test_the_exponent_of_a_power_is_found_with_its_interval():
    found = growth.exponent([1, 2, 4, 8], [1.1, 3.9, 16.5, 63])
    assert found.low < 2 < found.high
    assert found.high - found.low < 0.3


def test_time_at_one_number_of_tokens_gives_a_sequences_exponent():
    rows = [point("length", length, 64, 1e-3 * length) for length in growth.LENGTHS]
    (found,) = growth.summaries(rows)
    assert found["time"]["slope"] == pytest.approx(2)
    assert found["memory"]["slope"] == pytest.approx(1)
    assert found["declared"] == "quadratic"
    assert 1.5 < found["operations"]["slope"] < 2
    assert "quadratic" in growth.table(rows)


def test_what_is_declared_is_the_grammars():
    assert growth.declared("llama") == "quadratic"
    assert growth.declared("mamba2") == "linear"


def test_the_table_is_of_a_file(tmp_path, capsys):
    path = tmp_path / "growth.json"
    rows = [point("width", 256, width, width**2.0) for width in growth.WIDTHS]
    path.write_text(json.dumps({"points": rows}))
    assert growth.main(["--results", str(path), "--table"]) == 0
    assert "2.00 [2.00, 2.00]" in capsys.readouterr().out


def test_the_picture_has_a_line_a_genome_and_kernel():
    rows = [point("length", length, 64, 1e-3 * length) for length in growth.LENGTHS]
    rows += [{**row, "kernel": "native", "seconds": row["seconds"] / 2} for row in rows]
    drawn = growth_picture.drawn(rows)
    assert len(drawn.traces) == 2
    assert all(trace["x"] == [*growth.LENGTHS] for trace in drawn.traces)


@pytest.mark.parametrize("kernel", ["native", "torch"])
def test_shares_of_a_step_sum_to_it(kernel):
    if kernel == "native" and unavailable() is not None:
        pytest.skip("no C++ compiler")
    small = replace(S, batch=1, length=63)
    found = limits.measure("attention", small, kernel, {"a library": 100.0})
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-6)
    wanted = "linear: linear_backward" if kernel == "native" else "aten::mm"
    assert wanted in found["shares"]
    assert found["bound_seconds"]["a library"] == pytest.approx(found["operations"] / 1e11)
    assert "products alone" in limits.told(found)
