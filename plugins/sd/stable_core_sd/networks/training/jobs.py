"""The trainings from params to files: what is read, built, run and put where. Each part is in a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from stable_core.sdk import InvalidParams, Progress
from stable_core_sd.checkpoint_store import open_checkpoint
from stable_core_sd.learn_rate import read_learn_rates
from stable_core_sd.networks.hypernetwork import HypernetworkModule, Structure, initialise
from stable_core_sd.networks.hypernetwork_file import Hypernetwork
from stable_core_sd.networks.training.contexts import first_vectors
from stable_core_sd.networks.training.loop import LoopPlan, Rates, Trainee, TrainingLoop
from stable_core_sd.networks.training.pictures import ShowingOrder, encode_picture
from stable_core_sd.networks.training.run_folder import RunFolder, run_key
from stable_core_sd.networks.training.sources import folder_pictures, given_pictures
from stable_core_sd.networks.training.texts import STYLE, SUBJECT, TagRules, read_templates
from stable_core_sd.networks.training.trainees import Lesson, embedding_trainee, hypernetwork_trainee
from stable_core_sd.settings import SdSettings

if TYPE_CHECKING:
    from stable_core_sd.checkpoint import Checkpoint
    from stable_core_sd.params_training import (
        TrainEmbeddingParams,
        TrainHypernetworkParams,
        TrainingParams,
        TrainingPictures,
    )

Pictures = Sequence[tuple[Image.Image, str]]
"""Pictures with their `[filewords]`."""

NOT_LEARNT_FROM = {"steps", "install", "on_the_way"}
"""Params that change nothing about what a step learns: a training with others goes on from the same state."""


def train_embedding(
    given: TrainingPictures, params: TrainEmbeddingParams, progress: Progress, settings: SdSettings | None = None
) -> Path:
    """Train an embedding and return its file.

    Raises:
        InvalidInput: there are captions, but not one for each picture.
        InvalidParams: a param or the checkpoint does not fit, or the name is taken by a file from elsewhere.
        JobCancelled: out of `progress`; the same training goes on from there.
        FloatingPointError: the loss is no number any more.
    """
    checkpoint = open_for_training(params, progress, settings)

    def build(lesson: Lesson) -> Trainee:
        facts = {"checkpoint_hash": checkpoint.short_hash, "checkpoint_name": checkpoint.name}
        vectors = first_vectors(checkpoint, params.first_words, params.vectors)
        return embedding_trainee(checkpoint, lesson, vectors, facts)

    return _train(checkpoint, given, params, build, progress)


def train_hypernetwork(
    given: TrainingPictures, params: TrainHypernetworkParams, progress: Progress, settings: SdSettings | None = None
) -> Path:
    """Train a hypernetwork and return its file; it raises what `train_embedding` raises."""
    checkpoint = open_for_training(params, progress, settings)

    def build(lesson: Lesson) -> Trainee:
        return hypernetwork_trainee(checkpoint, lesson, new_hypernetwork(checkpoint, params))

    return _train(checkpoint, given, params, build, progress)


def open_for_training(params: TrainingParams, progress: Progress, settings: SdSettings | None) -> Checkpoint:
    """Return the checkpoint of a training, whole on its device: gradients cannot pass weights that move or shrink.

    Raises:
        InvalidParams: there is none of that name, or nothing can be trained with it.
    """
    progress(0, params.steps, f"Loading {params.checkpoint}")
    whole = (settings or SdSettings()).model_copy(update={"offload": "nothing", "storage": "full", "attention": "SDPA"})
    checkpoint = open_checkpoint(params.checkpoint, params.vae, whole)
    if checkpoint.kind.size_numbers or checkpoint.task != "text":
        hint = "Choose a text-to-image checkpoint of Stable Diffusion 1 or 2."
        raise InvalidParams(f"{checkpoint.name} is of a kind that nothing can be trained with here.", hint)
    return checkpoint


def new_hypernetwork(checkpoint: Any, params: TrainHypernetworkParams) -> Hypernetwork:
    """Return a hypernetwork with random weights, the same ones for a seed.

    Raises:
        InvalidParams: its structure is impossible or fits no attention of the checkpoint.
    """
    wanted = params.network
    found = {layer.in_features for name, layer in checkpoint.unet.named_modules() if name.endswith((".to_k", ".to_v"))}
    if missing := set(wanted.widths) - found:
        hint = f"This model has {', '.join(map(str, sorted(found)))}."
        raise InvalidParams(f"No attention reads contexts of the width {min(missing)}.", hint)
    structure = Structure(
        tuple(wanted.layers), wanted.activation, wanted.layer_norm, wanted.activates_output, tuple(wanted.dropout)
    )
    if wanted.dropout and len(wanted.dropout) != len(wanted.layers):
        raise InvalidParams("There must be as many numbers for dropout as layers.", "Write 0 where none is wanted.")
    with torch.random.fork_rng([]):
        torch.manual_seed(params.seed)
        try:
            modules = {
                width: (HypernetworkModule(width, structure), HypernetworkModule(width, structure))
                for width in sorted(wanted.widths or found)
            }
        except (ValueError, TypeError) as error:
            raise InvalidParams(f"The hypernetwork cannot be built: {error}.", "Change its layers.") from None
        for pair in modules.values():
            for module in pair:
                initialise(module, wanted.initialisation, wanted.activation)
    return Hypernetwork(
        params.name, structure, modules, 0, wanted.initialisation, checkpoint.short_hash, checkpoint.name
    )


def _train(
    checkpoint: Checkpoint,
    given: TrainingPictures,
    params: Any,
    build: Callable[[Lesson], Trainee],
    progress: Progress,
) -> Path:
    pictures = given_pictures(given.images or [], given.captions)
    if params.folder.path:
        folder = Path(params.folder.path)
        pictures += folder_pictures(folder, params.folder.words_pattern, params.folder.words_joint)
    if not pictures:
        raise InvalidParams("There are no pictures to learn from.", "Wire some, or name a folder with some.")
    progress(0, params.steps, "Reading the pictures")
    lesson = _prepare_lesson(checkpoint, pictures, params)
    trainee = build(lesson)
    facts = params.model_dump(mode="json", exclude=NOT_LEARNT_FROM) | {"checkpoint_hash": checkpoint.short_hash}
    shown = [f"{picture.size}{picture.mode}{words}".encode() + picture.tobytes() for picture, words in pictures]
    run = RunFolder(params.name, run_key(facts, shown))
    if params.install:
        run.check_name(trainee.kind, trainee.suffix)
    run.write_settings(params.model_dump(mode="json"))
    loop = TrainingLoop(_plan(params, lesson), trainee, run)
    loop.run(progress)
    trainee.write(run.result(trainee.suffix), loop.done)
    return run.install(trainee.kind, trainee.suffix) if params.install else run.result(trainee.suffix)


def _prepare_lesson(checkpoint: Any, pictures: Pictures, params: TrainingParams) -> Lesson:
    native = checkpoint.native_size
    size = None if params.own_size else (params.width or native, params.height or native)
    try:
        encoded = [encode_picture(checkpoint, picture, size, words) for picture, words in pictures]
    except ValueError as error:
        raise InvalidParams(f"{error}.", "Leave it out, or let all pictures be resized.") from None
    if not params.learning.alpha_as_weight:
        encoded = [picture.without_weight() for picture in encoded]
    words = params.words
    return Lesson(
        pictures=encoded,
        order=ShowingOrder([picture.mean.shape for picture in encoded], params.learning.batch_size, params.seed),
        templates=read_templates(words.templates) or {"subject": SUBJECT, "style": STYLE}[words.about],
        name=params.name,
        tags=TagRules(words.shuffle_tags, words.tag_dropout),
        latent_sampling=params.learning.latent_sampling,
        seed=params.seed,
        noise_from=params.learning.noise_from,
        preview_prompt=params.on_the_way.preview_prompt,
        preview_seed=params.on_the_way.preview_seed,
        makes_cards=params.on_the_way.cards,
    )


def _plan(params: Any, lesson: Lesson) -> LoopPlan:
    learning = params.learning
    return LoopPlan(
        name=params.name,
        steps=params.steps,
        rates=_read_rates(params.learn_rate, params.steps),
        accumulated=learning.accumulate,
        clips=learning.clip,
        clip_rates=_read_rates(learning.clip_at, params.steps) if learning.clip != "none" else (),
        weight_decay=params.weight_decay,
        saves_every=params.on_the_way.save_every,
        draws_every=params.on_the_way.preview_every,
        steps_per_epoch=max(1, lesson.order.batches_per_epoch // learning.accumulate),
    )


def _read_rates(text: str, steps: int) -> Rates:
    try:
        return read_learn_rates(text, steps)
    except ValueError as error:
        raise InvalidParams(f"{error}.", "A number, or a list such as 0.005:200, 1e-3:500, 1e-4.") from None
