"""Time to build each figure of the Gaps page; every one under 100 ms.

Each figure of each view is built once to warm up and then `REPEATS` times; the value is the median
of the slowest one.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from dashboards.paper.gallery import gallery
from dashboards.shell.figures.template import plotly_template
from dashboards.shell.palette import LIGHT

REPEATS = 20
TARGET_MS = 100.0


def main() -> int:
    template = plotly_template(LIGHT)
    medians, busy = {}, {}
    for name, draw in gallery().items():
        for view in ("score", "gap"):
            draw(LIGHT, template, view)
            times = []
            cpu = time.process_time()
            for _ in range(REPEATS):
                start = time.perf_counter()
                draw(LIGHT, template, view)
                times.append(1000 * (time.perf_counter() - start))
            busy[f"{name}, {view}"] = round(1000 * (time.process_time() - cpu) / REPEATS, 2)
            medians[f"{name}, {view}"] = round(median(times), 2)
    slowest = max(medians, key=lambda key: medians[key])
    print(
        json.dumps(
            {
                "name": "figures",
                "value": medians[slowest],
                "unit": "ms, median of the slowest figure",
                "target": f"< {TARGET_MS:g}",
                "ok": medians[slowest] < TARGET_MS,
                "n": REPEATS,
                "details": f"slowest of {len(medians)}: {slowest} "
                f"({busy[slowest]} ms of processor time); fastest {min(medians.values())} ms",
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
