"""The command `python -m stable_core_sd.parity`: prints what agrees with the original, file by file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stable_core_sd.parity.runner import run_file

VECTORS = Path(__file__).parents[2] / "tests" / "vectors"


def main() -> int:
    """Run every vector file of a folder; the exit status is 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m stable_core_sd.parity", description=__doc__)
    parser.add_argument("--vectors", type=Path, default=VECTORS, metavar="DIR", help="a folder of vector files")
    parser.add_argument("--verbose", action="store_true", help="show each failed case: input, expected, got")
    parser.add_argument("--only", metavar="FILE", help="run the file of this name only")
    arguments = parser.parse_args()
    passed = failed = 0
    files = sorted(arguments.vectors.glob("*.json"))
    for path in files if arguments.only is None else [path for path in files if path.stem == arguments.only]:
        tally = run_file(path)
        passed, failed = passed + tally.passed, failed + len(tally.failed)
        declined = sum(tally.declined.values())
        print(f"{path.stem}: {tally.passed} passed, {len(tally.failed)} failed, {declined} declined")
        for reason, count in tally.declined.items():
            print(f"    declined {count}: {reason}")
        for case in tally.failed if arguments.verbose else ():
            print(f"  {case}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
