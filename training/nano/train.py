"""Train the nano model from nothing, or further from an exported model, in one command against the clock.

    python -m training.nano.train --minutes 150 --out model
    python -m training.nano.train --minutes 5 --out model --device cuda --resume-from model

It only orders the stages; each stage lives in its own module. Stopped runs go on where the last checkpoint was.
"""

import argparse
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from training.nano.autoencoder import encode_pictures, finish_encoder, reserve_latents, train_autoencoder
from training.nano.data import draw_dataset
from training.nano.decoder import train_decoder
from training.nano.denoiser import CAPTIONS, SLOW_AVERAGE, encode_captions, train_denoiser
from training.nano.export import export_model, start_from_model
from training.nano.parallel import run_stage
from training.nano.tokenizer import packaged_vocabulary, write_tokenizer
from training.nano.vocabulary import Vocabulary

WORK = Path(__file__).parent / ".work"
SCENES = {"cpu": 48_000, "cuda": 160_000}
ABSTRACT = 3_000
SHARES = {"autoencoder": 0.2, "denoiser": 0.6, "decoder": 0.2}
FURTHER_SHARES = {"denoiser": 0.7, "decoder": 0.3}
"""How the minutes are shared out; drawing and encoding the pictures takes up to four minutes more."""


@dataclass(frozen=True)
class Plan:
    """What to train with: minutes of training alone, scenes to draw, and processes, which on a GPU only draw."""

    minutes: float
    scenes: int
    processes: int
    device: torch.device

    def seconds(self, stage: str, further: bool) -> float:
        """Give the time of a stage of a new model or of one that is trained further."""
        return (FURTHER_SHARES if further else SHARES)[stage] * self.minutes * 60


def train(out: Path, work: Path, plan: Plan, resume_from: Path | None) -> None:
    """Run all stages and write the model to out; work holds pictures, latents, checkpoints and a slower average."""
    processes, device, further = plan.processes, plan.device, resume_from is not None
    tokenizer = work / "tokenizer"
    prepare(work, plan, resume_from)
    if not (work / "encoded").exists():
        if not further:
            run_stage(processes, device, train_autoencoder, work, plan.seconds("autoencoder", further))
            finish_encoder(work)
        reserve_latents(work, plan.scenes)
        run_stage(processes, device, encode_pictures, work, plan.scenes)
        (work / "encoded").touch()
    rows = Vocabulary(CLIPTokenizer.from_pretrained(tokenizer)).size
    start = work / "start.pt" if further else None
    run_stage(processes, device, train_denoiser, work, rows, plan.seconds("denoiser", further), start)
    run_stage(processes, device, train_decoder, work, plan.seconds("decoder", further), "vae", "vae_final")
    export_model(work, tokenizer, out, "vae_final")
    export_model(work, tokenizer, work / "slow", "vae_final", SLOW_AVERAGE)


def prepare(work: Path, plan: Plan, resume_from: Path | None) -> None:
    """Draw the pictures, write their captions and, if a model is to be trained further, take it apart."""
    tokenizer = work / "tokenizer"
    draw_dataset(work, plan.scenes, ABSTRACT, plan.processes)
    if not tokenizer.exists():
        if resume_from is None:
            write_tokenizer(packaged_vocabulary(), tokenizer)
        else:
            shutil.copytree(resume_from / "tokenizer", tokenizer)
    if not (work / CAPTIONS).exists():
        encode_captions(work, tokenizer, plan.scenes, plan.processes)
    if resume_from is not None and not (work / "start.pt").exists():
        start_from_model(resume_from, work)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument("--minutes", type=float, default=150, help="wall time of training, drawing not counted")
    parser.add_argument("--device", choices=tuple(SCENES), default="cpu", help="what to train on")
    parser.add_argument("--processes", type=int, help="one-thread processes: 2, or all cores beside a GPU to draw")
    parser.add_argument("--scenes", type=int, help="pictures to train on")
    parser.add_argument("--resume-from", type=Path, help="an exported model folder to train further")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for pictures and checkpoints (3 to 9 GB)")
    given = parser.parse_args()
    processes = given.processes or (2 if given.device == "cpu" else os.cpu_count() or 2)
    plan = Plan(given.minutes, given.scenes or SCENES[given.device], processes, torch.device(given.device))
    train(given.out, given.work, plan, given.resume_from)


if __name__ == "__main__":
    main()
