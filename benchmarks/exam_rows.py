"""What a price knows of noise before a store has held an exam: from exams whose exports are kept.

    python -m benchmarks.exam_rows docs/campaigns/{pocket,evening}/campaign.json.gz  # newest last

Writes `palmette/data/exams.json`: of each export's newest finished exam the last rung and one value
a seed of every entry, without names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from palmette.exam.experience import FILE, HeldExam, rows_of
from palmette.store.dump import load

OUTPUT = Path("palmette", *FILE)


def held(path: Path) -> HeldExam | None:
    """The newest exam of an export that is finished; None if there is none."""
    for one in reversed(load(path.read_bytes()).exams):
        if one.exam.state == "finished" and one.sitting:
            plan = one.exam.plan
            rows = rows_of(plan, one.sitting.trials)
            return HeldExam(where=path.parent.as_posix(), rung=plan.rungs[-1], rows=rows)
    return None


def main(given: Sequence[str], output: Path = OUTPUT) -> int:
    """Writes the file; returns the exit code."""
    made = [one for path in given if (one := held(Path(path)))]
    if not made:
        print("no export with a finished exam: palmette report --data makes one", file=sys.stderr)
        return 2
    text = json.dumps([one.model_dump(mode="json") for one in made], indent=1)
    output.write_text(text + "\n", "utf-8")
    for one in made:
        print(f"{one.where}: {len(one.rows)} entries, {len(one.rows[0])} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
