"""Which model files face restoration needs, where they are looked for, and what is said when one is not there.

It reads no file and imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stable_core.sdk import InvalidParams
from stable_core.sdk.params import model_files
from stable_core_sd.model_roots import roots_and_beside
from stable_core_sd.params_faces import FACE_FOLDERS

SUFFIXES = (".pth", ".safetensors", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True)
class Wanted:
    """A model file that is looked for.

    Attributes:
        purpose: what it is for, as an error says it.
        part: what its name holds, in any case.
        file: what it is usually called.
        folder: where new ones go, below the models folder.
        address: where its authors offer it.
    """

    purpose: str
    part: str
    file: str
    folder: str
    address: str


FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"

DETECTOR = Wanted(
    "finding faces",
    "detection_resnet50",
    "detection_Resnet50_Final.pth",
    "GFPGAN",
    f"{FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",
)
PARSER = Wanted(
    "telling faces from hair",
    "parsing_parsenet",
    "parsing_parsenet.pth",
    "GFPGAN",
    f"{FACEXLIB}/v0.2.2/parsing_parsenet.pth",
)
RESTORERS = {
    "CodeFormer": Wanted(
        "restoring faces with CodeFormer",
        "codeformer",
        "codeformer-v0.1.0.pth",
        "Codeformer",
        "https://github.com/sczhou/CodeFormer/releases/download/v0.1.0/codeformer.pth",
    ),
    "GFPGAN": Wanted(
        "restoring faces with GFPGAN", "gfpgan", "GFPGANv1.4.pth", "GFPGAN", f"{GFPGAN}/v1.3.0/GFPGANv1.4.pth"
    ),
    "RestoreFormer": Wanted(
        "restoring faces with RestoreFormer",
        "restoreformer",
        "RestoreFormer.pth",
        "GFPGAN",
        f"{GFPGAN}/v1.3.4/RestoreFormer.pth",
    ),
}
"""The networks that restore faces, by the name that params give them."""


def find_file(wanted: Wanted) -> Path | None:
    """Return the file; of several the one whose name is the last, so that v1.4 comes before v1.3; None if not there.

    GFPGAN may also lie in a models folder itself or, as the first of A1111 had it, beside the folder `models`.
    """
    found = [path for kind in FACE_FOLDERS for path in model_files(kind, None, SUFFIXES).values()]
    beside = [path for folder in roots_and_beside() for path in folder.glob("GFPGAN*.pth")]
    paths = [path for path in found + beside if wanted.part in path.stem.lower()]
    return max(paths, key=lambda path: path.stem.lower(), default=None)


def need_file(wanted: Wanted) -> Path:
    """Return the file.

    Raises:
        InvalidParams: it is not there; the hint says what to put where.
    """
    path = find_file(wanted)
    if path is None:
        folders = ", ".join(f"models/{folder}" for folder in FACE_FOLDERS)
        raise InvalidParams(
            f"There is no {wanted.file} in models/{wanted.folder}, which {wanted.purpose} needs.",
            f"Put {wanted.address} there, or into one of {folders}.",
        )
    return path


def check_files(restorer: str) -> None:
    """Check before a run that the network of this name and the one that finds faces are there.

    Raises:
        InvalidParams: one is not.
    """
    need_file(RESTORERS[restorer])
    need_file(DETECTOR)
