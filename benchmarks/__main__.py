"""Run every benchmark and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Row, markdown

NAMES = ("collocation", "scores", "world")


def main() -> int:
    """Each benchmark in a fresh process of one thread; 0 if all targets are met."""
    parts, described, missed = [], "", 0
    for name in NAMES:
        print(f"running {name} …", file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json"], stdout=subprocess.PIPE, text=True, check=True
        )
        result = json.loads(done.stdout)
        rows = [Row(**row) for row in result["rows"]]
        missed += sum(not row.met for row in rows)
        parts.append(markdown(result["title"], rows))
        described = "\n".join(f"- {key}: {value}" for key, value in result["machine"].items())
    text = (
        "# Benchmarks\n\nWritten by `make bench`. "
        "CPU seconds of one thread, best of several runs, ondee and the "
        "rival in turn in one process; trust the ratios.\nA target `>= n` is how many times faster "
        f"than the rival; `<= n`, how many times its cost at most.\n\n{described}\n\n" + "\n\n".join(parts) + "\n"
    )
    Path(__file__).with_name("RESULTS.md").write_text(text, encoding="utf-8")
    print(text)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
