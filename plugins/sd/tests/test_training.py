"""Training: what each step learns is fixed by the seed, a killed run goes on, and every option does what it says."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from PIL import Image

from stable_core.sdk import InvalidInput, InvalidParams, JobCancelled, Progress
from stable_core_sd.checkpoint_store import open_checkpoint
from stable_core_sd.networks.embedding_file import read_embedding
from stable_core_sd.networks.hypernetwork_file import read_hypernetwork
from stable_core_sd.networks.training.jobs import new_hypernetwork, train_embedding, train_hypernetwork
from stable_core_sd.networks.training.loop import rate_at
from stable_core_sd.networks.training.pictures import ShowingOrder, encode_picture
from stable_core_sd.networks.training.sources import folder_pictures, given_pictures
from stable_core_sd.networks.training.texts import STYLE, SUBJECT, TagRules, file_words, fill_template, read_templates
from stable_core_sd.params_training import TrainEmbeddingParams, TrainHypernetworkParams, TrainingPictures
from stable_core_sd.settings import SdSettings


@pytest.fixture
def root(tiny_models: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a models folder of this test's own, before the one with the tiny model."""
    monkeypatch.setenv("STABLE_CORE_MODELS", os.pathsep.join([str(tiny_models), str(models_folder)]))
    return tiny_models


@pytest.fixture
def checkpoint(root: Path) -> Any:
    return open_checkpoint("tiny", "Automatic", SdSettings())


def pictures(count: int = 3) -> TrainingPictures:
    images = [Image.new("RGB", (70, 50), colour) for colour in ["red", "green", "blue", "white", "black"][:count]]
    return TrainingPictures(images, [f"word{index}, tag" for index in range(count)])


def knobs(**more: Any) -> dict[str, Any]:
    quiet = {"save_every": 0, "preview_every": 0}
    return {"name": "thing", "checkpoint": "tiny", "steps": 4, "on_the_way": quiet, **more}


def learn(progress: Progress | None = None, **more: Any) -> torch.Tensor:
    params = TrainEmbeddingParams(**knobs(**more))
    embedding = read_embedding(train_embedding(pictures(), params, progress or Progress()))
    assert embedding is not None
    return embedding.vectors[32]


class StopsAt(Progress):
    """Cancels after a step."""

    def __init__(self, step: int) -> None:
        super().__init__(preview_seconds=0)
        self.last, self.seen, self.previews = step, [], []

    def report(self, step: int, total: int, message: str, preview: Image.Image | None) -> None:
        self.seen.append(step)
        self.previews += [preview] if preview else []
        if step == self.last:
            self.cancel()


def test_vectors_begin_with_words_and_move(checkpoint: Any) -> None:
    table = checkpoint.text_encoder.embeddings["token_embedding"].weight
    ids = checkpoint.tokenizer("red circle")
    still = learn(name="still", first_words="red circle", vectors=4, learn_rate="0.0")
    assert torch.equal(still, table[[ids[0], ids[0], ids[1], ids[1]]])
    moved = learn(name="moved", first_words="red circle", vectors=4)
    assert (moved - still).abs().max() > 0.01
    assert not learn(name="zero", first_words="", learn_rate="0.0").any()


def test_the_checkpoint_stays_as_it_is(checkpoint: Any) -> None:
    before = {name: value.clone() for name, value in checkpoint.unet.state_dict().items()}
    learn()
    train_hypernetwork(pictures(), TrainHypernetworkParams(**knobs(learn_rate="0.1")), Progress())
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.unet.state_dict().items())
    assert not any(parameter.requires_grad for parameter in checkpoint.unet.parameters())


@pytest.mark.parametrize("train", [train_embedding, train_hypernetwork])
def test_a_training_that_was_stopped_goes_on_as_if_nothing_had_happened(
    root: Path, checkpoint: Any, train: Any
) -> None:
    kind = TrainEmbeddingParams if train is train_embedding else TrainHypernetworkParams
    more = {"learn_rate": "0.01", "learning": {"batch_size": 2, "accumulate": 2}, "words": {"tag_dropout": 0.3}}
    read = (lambda path: read_embedding(path).vectors[32]) if train is train_embedding else hypernetwork_weights  # type: ignore[union-attr]
    straight = read(train(pictures(), kind(**knobs(**more)), Progress()))
    for run in (root / "training").iterdir():
        (run / "state.pt").unlink()
    with pytest.raises(JobCancelled):
        train(pictures(), kind(**knobs(**more)), StopsAt(2))
    second = StopsAt(-1)
    resumed = read(train(pictures(), kind(**knobs(**more)), second))
    assert [step for step in second.seen if step] == [3, 4]  # the step under way was finished
    assert torch.equal(straight, resumed)


def hypernetwork_weights(path: Path) -> torch.Tensor:
    network = read_hypernetwork(path)
    return torch.cat([one.flatten() for pair in network.modules.values() for part in pair for one in part.parameters()])


class KilledAfter(Progress):
    """Ends at step 3, and leaves the state of step 2, as a kill would."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root, self.state = root, b""

    def report(self, step: int, total: int, message: str, preview: Image.Image | None) -> None:
        if step == 2:
            [path] = (self.root / "training").glob("*/state.pt")
            self.state = path.read_bytes()
        if step == 3:
            raise SystemExit


def test_a_training_that_was_killed_goes_on_from_its_last_state(root: Path, checkpoint: Any) -> None:
    more = {"on_the_way": {"save_every": 2, "preview_every": 0}}
    straight = learn(**more)
    [log] = (root / "training").glob("*/log.csv")
    logged = log.read_text()
    shutil.rmtree(root / "training")
    killed = KilledAfter(root)
    with pytest.raises(SystemExit):
        learn(killed, install=False, **more)
    [path] = (root / "training").glob("*/state.pt")
    path.write_bytes(killed.state)
    second = StopsAt(-1)
    params = TrainEmbeddingParams(**knobs(install=False, **more))
    embedding = read_embedding(train_embedding(pictures(), params, second))
    assert embedding is not None
    assert [step for step in second.seen if step] == [2, 3, 4]
    assert torch.equal(embedding.vectors[32], straight)
    assert log.read_text() == logged


@pytest.mark.parametrize("train", [train_embedding, train_hypernetwork])
def test_the_loss_falls(root: Path, checkpoint: Any, train: Any) -> None:
    kind = TrainEmbeddingParams if train is train_embedding else TrainHypernetworkParams
    losses = []
    for rate in ("0.0", "0.01"):  # the same pictures and noise at each step, with and without learning
        train(
            pictures(), kind(**knobs(steps=24, learn_rate=rate, install=False, learning={"batch_size": 3})), Progress()
        )
        [log] = (root / "training").glob("*/log.csv")
        losses.append(sum(float(row["loss"]) for row in list(csv.DictReader(log.open()))[12:]))
        shutil.rmtree(root / "training")
    assert losses[1] < 0.98 * losses[0]


def test_more_steps_go_on_from_the_end(checkpoint: Any) -> None:
    learn(steps=3)
    progress = StopsAt(-1)
    learn(progress, steps=5)
    assert [step for step in progress.seen if step] == [3, 4, 5]


def test_other_pictures_or_knobs_begin_anew(root: Path, checkpoint: Any) -> None:
    first = learn()
    assert not torch.equal(first, learn(learn_rate="0.02"))
    other = TrainEmbeddingParams(**knobs())
    embedding = read_embedding(train_embedding(pictures(2), other, Progress()))
    assert embedding is not None
    assert not torch.equal(first, embedding.vectors[32])
    assert len(list((root / "training").iterdir())) == 3


def test_a_run_leaves_states_copies_pictures_and_a_log(root: Path, checkpoint: Any) -> None:
    progress = StopsAt(-1)
    learn(progress, on_the_way={"save_every": 2, "preview_every": 3}, learn_rate="0.01:2, 0.001")
    [run] = (root / "training").iterdir()
    assert sorted(path.name for path in (run / "networks").iterdir()) == ["thing-2.safetensors", "thing-4.safetensors"]
    assert [path.name for path in (run / "pictures").iterdir()] == ["thing-3.png"]
    assert [preview.size for preview in progress.previews] == [(64, 64)]
    rows = list(csv.DictReader((run / "log.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["learn_rate"] for row in rows] == ["0.01", "0.01", "0.001", "0.001"]
    assert [(row["epoch"], row["epoch_step"]) for row in rows] == [("0", "0"), ("0", "1"), ("0", "2"), ("1", "0")]
    assert all(0 < float(row["loss"]) < 100 for row in rows)
    assert json.loads((run / "settings.json").read_text())["steps"] == 4
    embedding = read_embedding(run / "networks" / "thing-2.safetensors")
    assert embedding is not None
    assert embedding.step == 2


def test_pictures_on_the_way_can_be_cards(root: Path, checkpoint: Any) -> None:
    learn(on_the_way={"save_every": 2, "preview_every": 2, "cards": True})
    [run] = (root / "training").iterdir()
    card = read_embedding(run / "pictures" / "thing-2.png")
    copy = read_embedding(run / "networks" / "thing-2.safetensors")
    assert card is not None
    assert copy is not None
    assert (card.name, card.step, card.checkpoint_name) == ("thing", 2, "tiny")
    assert torch.equal(card.vectors[32], copy.vectors[32])
    assert Image.open(run / "pictures" / "thing-2.png").width > 64


def test_the_result_is_among_the_embeddings_but_replaces_no_file_from_elsewhere(root: Path, checkpoint: Any) -> None:
    learn()
    installed = root / "embeddings" / "thing.safetensors"
    assert read_embedding(installed) is not None
    learn(learn_rate="0.1")  # replaces the result of another training
    installed.write_bytes(b"precious")
    with pytest.raises(InvalidParams, match="already a file"):
        learn()
    learn(install=False)
    assert installed.read_bytes() == b"precious"


def test_a_hypernetwork_has_the_structure_and_widths_that_were_asked_for(checkpoint: Any) -> None:
    asked = {
        "layers": [1, 2, 2, 1],
        "activation": "relu",
        "widths": [32],
        "dropout": [0, 0.1, 0, 0],
        "layer_norm": True,
    }
    params = TrainHypernetworkParams(**knobs(network=asked))
    network = read_hypernetwork(train_hypernetwork(pictures(), params, Progress()))
    assert (list(network.modules), network.structure.layers, network.step) == ([32], (1, 2, 2, 1), 4)
    assert network.structure.dropout == (0, 0.1, 0, 0)
    assert set(new_hypernetwork(checkpoint, TrainHypernetworkParams(**knobs())).modules) == {32, 64}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"widths": [768]}, "768"),
        ({"layers": [1, 2]}, "begin and end"),
        ({"activation": "nothing"}, "nothing"),
        ({"dropout": [0.1]}, "dropout"),
    ],
)
def test_an_impossible_hypernetwork_is_refused(checkpoint: Any, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidParams, match=why):
        train_hypernetwork(pictures(), TrainHypernetworkParams(**knobs(network=asked)), Progress())


@pytest.mark.parametrize("clip", ["value", "norm"])
def test_clipping_changes_what_is_learnt(checkpoint: Any, clip: str) -> None:
    free = learn(steps=2, name="free")
    held = learn(steps=2, name="held", learning={"clip": clip, "clip_at": "1e-9:1, 1e-8"})
    assert not torch.equal(free, held)


@pytest.mark.parametrize("sampling", ["once", "deterministic", "random"])
def test_latents_are_one_the_likeliest_or_always_others(checkpoint: Any, sampling: Any) -> None:
    from stable_core_sd.networks.training.trainees import Lesson

    encoded = [encode_picture(checkpoint, picture, (64, 64), "") for picture in pictures(1).images or []]
    lesson = Lesson(encoded, ShowingOrder([0], 1, 0), SUBJECT, "thing", TagRules(), sampling, 0)
    first, second = lesson.batch(0).latents[0], lesson.batch(1).latents[0]
    assert torch.equal(first, second) == (sampling != "random")
    assert torch.equal(first, encoded[0].mean) == (sampling == "deterministic")
    assert torch.equal(first, lesson.batch(0).latents[0])


def test_the_lowest_noise_levels_can_be_left_out(checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    forward = checkpoint.unet.forward

    def listen(x: torch.Tensor, timesteps: torch.Tensor, **more: Any) -> Any:
        asked.extend(timesteps.tolist())
        return forward(x, timesteps, **more)

    monkeypatch.setattr(checkpoint.unet, "forward", listen)
    learn(learning={"noise_from": 0.9, "batch_size": 3})
    assert len(asked) == 12
    assert all(900 <= timestep < 1000 for timestep in asked)


def test_opaque_parts_count_more_when_asked_for(checkpoint: Any) -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 55))
    picture.paste((255, 0, 0, 255), (0, 0, 32, 64))
    encoded = encode_picture(checkpoint, picture, None, "")
    assert encoded.weight is not None
    assert encoded.weight.shape == (1, 8, 8)
    assert encoded.weight.mean().item() == pytest.approx(1)
    assert encoded.weight.min() == 0
    assert encoded.weight[0, 4, 0] > 1.9
    flat = encode_picture(checkpoint, Image.new("RGBA", (64, 64), (1, 2, 3, 9)), None, "")
    assert flat.weight is not None
    assert torch.equal(flat.weight, torch.ones(1, 8, 8))
    params = TrainEmbeddingParams(**knobs(learning={"alpha_as_weight": True, "batch_size": 2}))
    assert train_embedding(TrainingPictures([picture, Image.new("RGB", (64, 64))]), params, Progress()).is_file()


def test_pictures_of_several_sizes_are_never_in_one_batch(checkpoint: Any) -> None:
    mixed = TrainingPictures([Image.new("RGB", size) for size in ((64, 64), (80, 64), (64, 70), (31, 64))])
    params = TrainEmbeddingParams(**knobs(own_size=True, learning={"batch_size": 4}))
    assert train_embedding(mixed, params, Progress()).is_file()
    with pytest.raises(InvalidParams, match="too small"):
        train_embedding(TrainingPictures([Image.new("RGB", (7, 64))]), params, Progress())


def test_an_epoch_shows_every_picture_once_in_another_order_each_time() -> None:
    order = ShowingOrder(["a"] * 5 + ["b"] * 2, 2, seed=3)
    epochs = [[order.batch(epoch * 4 + index) for index in range(4)] for epoch in range(2)]
    assert order.batches_per_epoch == 4
    for epoch in epochs:
        assert Counter(index for batch in epoch for index in batch) == Counter(range(7))
        assert all(len({index < 5 for index in batch}) == 1 for batch in epoch)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(("step", "rate"), [(0, 0.1), (9, 0.1), (10, 0.01), (99, 0.01), (500, 0.01)])
def test_a_learn_rate_holds_up_to_its_step(step: int, rate: float) -> None:
    assert rate_at([(0.1, 10), (0.01, 100)], step) == rate


@pytest.mark.parametrize(
    "wrong", [{"learn_rate": "fast"}, {"learn_rate": ""}, {"learning": {"clip": "norm", "clip_at": "x"}}]
)
def test_a_wrong_schedule_is_refused(checkpoint: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        learn(**wrong)


def test_a_loss_that_is_no_number_ends_it(checkpoint: Any) -> None:
    with pytest.raises(FloatingPointError, match="learn rate"):
        learn(learn_rate="1e30", steps=8)


def test_without_pictures_nothing_is_trained(checkpoint: Any) -> None:
    with pytest.raises(InvalidParams, match="no pictures"):
        train_embedding(TrainingPictures(), TrainEmbeddingParams(**knobs()), Progress())


def test_a_folder_gives_pictures_with_their_words(tmp_path: Path, checkpoint: Any) -> None:
    for name, colour in (("01-red cat", "red"), ("2 dog", "green")):
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "2 dog.txt").write_text("a dog, green\n")
    (tmp_path / "3.png").write_bytes(b"no picture")
    assert [words for _, words in folder_pictures(tmp_path)] == ["red cat", "a dog, green"]
    with pytest.raises(InvalidParams, match="no pictures"):
        folder_pictures(tmp_path / "nowhere")
    params = TrainEmbeddingParams(**knobs(folder={"path": str(tmp_path)}))
    assert train_embedding(TrainingPictures(), params, Progress()).is_file()


@pytest.mark.parametrize(
    ("name", "pattern", "joint", "expected"),
    [
        ("00012-a red cat", "", " ", "a red cat"),
        ("--3-cat", "", " ", "cat"),
        ("cat 2", "", " ", "cat 2"),
        ("1 cat_dog", "[a-z]+", ", ", "cat, dog"),
    ],
)
def test_words_of_a_file_name(name: str, pattern: str, joint: str, expected: str) -> None:
    assert file_words(Path(f"{name}.png"), pattern, joint) == expected


def test_captions_belong_to_pictures() -> None:
    image = Image.new("RGB", (8, 8))
    assert given_pictures([image, image], ["a", "b"]) == [(image, "a"), (image, "b")]
    assert given_pictures([image], None) == [(image, "")]
    with pytest.raises(InvalidInput, match="2 captions"):
        given_pictures([image], ["a", "b"])


def test_templates_are_filled() -> None:
    templates = read_templates("a [name] with [filewords]\n\n  [name]  \n")
    assert templates == ("a [name] with [filewords]", "[name]")
    filled = {fill_template(templates, "thing", "a hat", Random(seed)) for seed in range(20)}
    assert filled == {"a thing with a hat", "thing"}
    assert all("[name]" in template for template in (*SUBJECT, *STYLE))


def test_tags_are_shuffled_and_left_out() -> None:
    tags = ",".join(map(str, range(100)))
    assert TagRules().apply(tags, Random(0)) == tags
    shuffled = TagRules(shuffles=True).apply(tags, Random(0)).split(",")
    assert shuffled != tags.split(",")
    assert sorted(shuffled, key=int) == tags.split(",")
    kept = TagRules(dropout=0.25).apply(tags, Random(0)).split(",")
    assert 60 < len(kept) < 90
    assert kept == sorted(kept, key=int)
    assert TagRules(dropout=1).apply(tags, Random(0)) == ""
