"""Train the nano model from nothing, or further from an exported model, in one command against the clock.

    python -m training.nano.train --minutes 150 --out model

It only orders the stages; each stage lives in its own module. Stopped runs go on where the last checkpoint was.
"""

import argparse
import shutil
from pathlib import Path

from transformers import CLIPTokenizer

from training.nano.autoencoder import encode_pictures, finish_encoder, reserve_latents, train_autoencoder
from training.nano.data import draw_dataset
from training.nano.decoder import train_decoder
from training.nano.denoiser import encode_captions, train_denoiser
from training.nano.export import export_model, start_from_model
from training.nano.parallel import run_stage
from training.nano.tokenizer import packaged_vocabulary, write_tokenizer
from training.nano.vocabulary import Vocabulary

WORK = Path(__file__).parent / ".work"
SCENES, ABSTRACT = 48_000, 3_000
SHARES = {"autoencoder": 0.2, "denoiser": 0.6, "decoder": 0.2}
"""How the minutes are shared out; drawing and encoding the pictures takes about four minutes more."""


def train(out: Path, work: Path, minutes: float, processes: int, resume_from: Path | None) -> None:
    """Run all stages and write the model to out; work holds pictures, latents and checkpoints (3 GB)."""
    seconds = {stage: share * minutes * 60 for stage, share in SHARES.items()}
    draw_dataset(work, SCENES, ABSTRACT, processes)
    tokenizer_folder = work / "tokenizer"
    if resume_from is not None and not (work / "start.pt").exists():
        start_from_model(resume_from, work)
        shutil.copytree(resume_from / "tokenizer", tokenizer_folder, dirs_exist_ok=True)
        seconds["denoiser"] += seconds.pop("autoencoder")
    elif not tokenizer_folder.exists():
        write_tokenizer(packaged_vocabulary(), tokenizer_folder)
    if not (work / "encoded").exists():
        if resume_from is None:
            run_stage(processes, train_autoencoder, work, seconds["autoencoder"])
            finish_encoder(work)
        reserve_latents(work, SCENES)
        run_stage(processes, encode_pictures, work, SCENES)
        encode_captions(work, CLIPTokenizer.from_pretrained(tokenizer_folder), SCENES)
        (work / "encoded").touch()
    rows = Vocabulary(CLIPTokenizer.from_pretrained(tokenizer_folder)).size
    start = work / "start.pt" if resume_from is not None else None
    run_stage(processes, train_denoiser, work, rows, seconds["denoiser"], start)
    run_stage(processes, train_decoder, work, seconds["decoder"], "vae", "vae_final")
    export_model(work, tokenizer_folder, out, "vae_final")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument("--minutes", type=float, default=150, help="wall time of all stages together")
    parser.add_argument("--processes", type=int, default=2, help="one-thread processes that share the work")
    parser.add_argument("--resume-from", type=Path, help="an exported model folder to train further")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for pictures and checkpoints (3 GB)")
    arguments = parser.parse_args()
    train(arguments.out, arguments.work, arguments.minutes, arguments.processes, arguments.resume_from)


if __name__ == "__main__":
    main()
