"""Mix two exported nano models weight by weight, as a weighted sum of checkpoints does.

    python -m training.nano.mix --first model --second model-further --share 0.45 --out mixed

Weights of one training run and of its continuation lie close together, so what is between them works, too: better than
the first at what the second has learned, and nearer to the first in everything else (https://arxiv.org/abs/2203.05482).
"""

import argparse
import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

WEIGHTS = "*/*.safetensors"


def mix(first: Path, second: Path, share: float, out: Path) -> None:
    """Write a model to out that is first at a share of 0 and second at 1."""
    shutil.copytree(first, out, dirs_exist_ok=True)
    for path in sorted(first.glob(WEIGHTS)):
        name = path.relative_to(first)
        ours, theirs = load_file(path), load_file(second / name)
        mixed = {key: ours[key].float().lerp(theirs[key].float(), share).to(ours[key].dtype) for key in ours}
        with safe_open(path, "pt") as file:
            save_file(mixed, out / name, file.metadata())


def main() -> None:
    """Read the command line and mix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=Path, required=True, help="an exported model folder")
    parser.add_argument("--second", type=Path, required=True, help="the same model, trained further")
    parser.add_argument("--share", type=float, default=0.45, help="how much of the second, 0 to 1")
    parser.add_argument("--out", type=Path, required=True, help="folder for the mixed model")
    given = parser.parse_args()
    mix(given.first, given.second, given.share, given.out)


if __name__ == "__main__":
    main()
