"""Draw and cache the training pictures on disk; picture number i is a pure function of i.

It does not train; latents are added to the cache by `autoencoder`.
"""

import random
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from training.nano.drawing import SIDE, draw_abstract, draw_scene
from training.nano.scenes import Scene, sample_training_scene

PICTURES = "pictures.npy"
CHUNK = 500


def scene_number(index: int) -> tuple[Scene, random.Random]:
    """Give training scene number index and the generator that places its details."""
    rng = random.Random(index)
    return sample_training_scene(rng), rng


def _draw_chunk(chunk: tuple[Path, int, int, int]) -> None:
    path, start, stop, scenes = chunk
    pictures = np.load(path, mmap_mode="r+")
    for index in range(start, stop):
        picture = draw_scene(*scene_number(index)) if index < scenes else draw_abstract(random.Random(index))
        pictures[index] = np.asarray(picture)
    pictures.flush()


def draw_dataset(folder: Path, scenes: int, abstract: int, processes: int) -> Path:
    """Draw scenes + abstract pictures into folder/pictures.npy, (count, 128, 128, 3) uint8, unless it is there."""
    path, total = folder / PICTURES, scenes + abstract
    if path.exists() and len(np.load(path, mmap_mode="r")) == total:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"unfinished-{PICTURES}"
    np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=(total, SIDE, SIDE, 3)).flush()
    chunks = [(unfinished, start, min(start + CHUNK, total), scenes) for start in range(0, total, CHUNK)]
    with Pool(processes) as pool:
        for _ in pool.imap_unordered(_draw_chunk, chunks):
            pass
    return unfinished.rename(path)
