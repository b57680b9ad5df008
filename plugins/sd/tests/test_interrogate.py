"""The job interrogate: tiny BLIP and CLIP, read by the real loader, and lists of phrases in folders."""

from __future__ import annotations

import pickle
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import graphs
import tiny_interrogation as tiny
from runs import Recorded, noisy
from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core.sdk.params import check_params
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.interrogation import pretrained
from stable_core_sd.interrogation.blip_file import pretrained_name
from stable_core_sd.interrogation.caption import open_captioner
from stable_core_sd.interrogation.categories import read_categories
from stable_core_sd.interrogation.matching import BATCH, Matcher, best_matches, open_matcher
from stable_core_sd.interrogation.pixels import middle_square
from stable_core_sd.interrogation_jobs import interrogate
from stable_core_sd.params_interrogation import InterrogateParams
from stable_core_sd.params_scripts import LoopbackParams
from stable_core_sd.picture_scripts import loopback
from stable_core_sd.token_count import tokenizer

CPU = Format(torch.device("cpu"), torch.float32)
OURS = ["mediums", "movements"]
"""The lists that come along."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a models folder, `webui/models`, with nothing in it."""
    folder = tmp_path / "webui" / "models"
    (folder / "interrogate").mkdir(parents=True)
    monkeypatch.setenv("STABLE_CORE_MODELS", str(folder))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    pretrained.unload()
    return folder


def write_list(root: Path, name: str, *phrases: str) -> None:
    (root / "interrogate" / f"{name}.txt").write_text("\n".join(phrases) + "\n")


def ask(image: Image.Image, progress: Progress | None = None, **knobs: Any) -> str:
    params = InterrogateParams(**{"skip_categories": OURS, "min_length": 6, "max_length": 12, **knobs})
    return str(interrogate(image, params, progress or Progress()))


def meaning(root: Path, phrase: str) -> torch.Tensor:
    return Matcher(root / "CLIP" / "small", CPU).phrase_features((phrase,), lambda: None)[0]


def test_a_caption_and_the_best_phrases_of_each_list(root: Path) -> None:
    tiny.write_blip(root / "BLIP" / "small", tiny.say_one_word(tiny.make_blip(), "cat"))
    tiny.make_clip().save_pretrained(root / "CLIP" / "small")
    seen = meaning(root, "a tall ship") + 0.99 * meaning(root, "rust")
    tiny.see_one_thing(tiny.make_clip(), seen).save_pretrained(root / "CLIP" / "small")
    write_list(root, "flavors.top2", "fog", "a tall ship", "", "rust", "gold leaf")
    write_list(root, "artists", "  Jan Porcellis ", "Hokusai")
    picture = Image.new("RGB", (60, 40), "teal")
    found = ask(picture, skip_categories=OURS)
    caption, artist, *flavors = found.split(", ")
    assert caption == "cat cat"  # six tokens: a start, "a picture of", two words
    assert artist in ("Jan Porcellis", "Hokusai")
    assert flavors == ["a tall ship", "rust"]
    ranked = ask(picture, include_ranks=True, skip_categories=[*OURS, "artists"])
    shares = re.findall(r", \(([^:]+):(\d\.\d{3})\)", ranked)
    assert [phrase for phrase, _ in shares] == flavors
    assert 1 > float(shares[0][1]) > float(shares[1][1]) > 0
    assert "gold" not in ask(picture, dict_limit=1) + ask(picture, dict_limit=1, include_ranks=True)
    assert ask(picture, min_length=9).startswith("cat cat cat cat cat, ")
    assert ask(picture, skip_categories=["artists", "flavors", *OURS]) == "cat cat"
    assert len(ask(picture, skip_categories=[]).split(", ")) == 6


def test_probabilities_are_those_of_the_cosines() -> None:
    phrases = torch.eye(3)
    picture = torch.tensor([0.6, 0.59, 0.0])
    expected = (100 * picture).softmax(0)
    (first, second) = best_matches(picture, phrases, 2)
    assert (first[0], second[0]) == (0, 1)
    assert first[1] == pytest.approx(float(expected[0]))
    assert second[1] == pytest.approx(1 / (1 + 2.718281828), rel=1e-4)
    assert len(best_matches(picture, phrases, 7)) == 3


def test_what_a_phrase_means_does_not_depend_on_its_neighbours(root: Path) -> None:
    tiny.make_clip().save_pretrained(root / "CLIP" / "small")
    matcher = Matcher(root / "CLIP" / "small", CPU)
    long = "a very detailed matte painting " * 30
    together = matcher.phrase_features(("fog", long, "rust"), lambda: None)
    assert together.norm(dim=-1).tolist() == pytest.approx([1, 1, 1])
    for phrase, vector in zip(("fog", long), together, strict=False):
        assert torch.allclose(matcher.phrase_features((phrase,), lambda: None)[0], vector, atol=1e-6)
    with torch.inference_mode():
        row = torch.tensor([[49406, *tokenizer()(long)[:75], 49407]])
        whole = matcher.model.get_text_features(row).pooler_output[0]
    assert torch.allclose(torch.nn.functional.normalize(whole, dim=-1), together[1], atol=1e-6)


def test_captions_follow_the_picture_and_the_models_own_generation(root: Path) -> None:
    model = tiny.make_blip()
    tiny.write_blip(root / "BLIP" / "small", model)
    captioner = open_captioner("small", CPU)
    captions = {captioner(noisy(50, 30, seed=seed), 1, 8, 12, lambda length: None) for seed in range(6)}
    assert len(captions) > 1
    assert all(
        set(re.findall(r"\w+", caption))
        <= {"a", "picture", "of", "cat", "cats", "dog", "dogs"}
        | {"house", "houses", "tree", "trees", "red", "reds", "as", "pictures", "ofs"}
        for caption in captions
    )
    counted: list[int] = []
    assert captioner(noisy(), 3, 8, 12, counted.append)
    assert counted == sorted(counted)
    assert counted[-1] <= 12


def original_names(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a BLIP as its authors call them."""
    swaps = {
        "vision_model.encoder.layers.": "visual_encoder.blocks.",
        "vision_model.embeddings.class_embedding": "visual_encoder.cls_token",
        "vision_model.embeddings.position_embedding": "visual_encoder.pos_embed",
        "vision_model.embeddings.patch_embedding": "visual_encoder.patch_embed.proj",
        "vision_model.post_layernorm": "visual_encoder.norm",
        "self_attn.projection": "attn.proj",
        "self_attn.qkv": "attn.qkv",
        "layer_norm": "norm",
    }
    named = {}
    for name, value in model.state_dict().items():
        for new, old in swaps.items() if name.startswith("vision") else ():
            name = name.replace(new, old)
        named[name] = value
    named["text_decoder.bert.embeddings.position_ids"] = torch.arange(64)[None]
    return named


def test_the_file_of_the_authors_makes_the_same_caption_as_a_folder(root: Path) -> None:
    model = tiny.make_blip()
    folder = tiny.write_blip(root / "BLIP" / "small", model)
    file = root / "BLIP" / "model_base_caption_capfilt_large.pth"
    torch.save({"model": original_names(model), "epoch": 4}, file)
    shutil.copy(folder / "vocab.txt", root / "BLIP")
    assert pretrained_name("visual_encoder.blocks.3.attn.proj.bias") == (
        "vision_model.encoder.layers.3.self_attn.projection.bias"
    )
    for seed in range(3):
        first, second = (
            open_captioner(name, CPU)(noisy(seed=seed), 1, 8, 14, lambda length: None) for name in ("small", file.stem)
        )
        assert first == second != ""


def write_openai_clip(path: Path, model: Any) -> None:
    """Write a CLIP as its authors do: a TorchScript file with weights under their names."""
    swaps = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
        "vision_model.encoder.layers": "visual.transformer.resblocks",
        "text_model.encoder.layers": "transformer.resblocks",
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "vision_model.embeddings.patch_embedding": "visual.conv1",
        "vision_model.pre_layrnorm": "visual.ln_pre",
        "vision_model.post_layernorm": "visual.ln_post",
        "text_model.embeddings.token_embedding": "token_embedding",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm": "ln_final",
    }
    weights = model.state_dict()
    named = {"visual.proj": weights.pop("visual_projection.weight").T}
    named["text_projection"] = weights.pop("text_projection.weight").T
    for name in list(weights):
        if ".q_proj." in name:
            fused = [weights.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
            start, _, kind = name.partition(".self_attn.q_proj.")
            weights[f"{start}.attn.in_proj_{kind}"] = torch.cat(fused)
    for name, value in weights.items():
        for new, old in swaps.items():
            name = name.replace(new, old)
        named[name] = value
    for fact in ("input_resolution", "context_length", "vocab_size"):
        named[fact] = torch.tensor(1)
    root = torch.nn.Module()
    for name, value in named.items():
        *folders, last = name.split(".")
        place = root
        for folder in folders:
            if not hasattr(place, folder):
                place.add_module(folder, torch.nn.Module())
            place = getattr(place, folder)
        place.register_buffer(last, value.half().contiguous())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(root).save(str(path))


def test_openais_file_of_clip_sees_the_same_as_a_folder(root: Path) -> None:
    model = tiny.make_clip().half().float()  # OpenAI's is stored in 16 bits
    model.save_pretrained(root / "CLIP" / "small")
    write_openai_clip(root / "CLIP" / "ViT-L-14.pt", model)
    folder, file = (open_matcher(name, CPU) for name in ("small", "ViT-L-14"))
    for seed in range(2):
        assert torch.allclose(
            folder.picture_features(noisy(seed=seed)), file.picture_features(noisy(seed=seed)), atol=1e-5
        )
    phrases = ("a tall ship", "fog")
    first, second = (one.phrase_features(phrases, lambda: None) for one in (folder, file))
    assert torch.allclose(first, second, atol=1e-5)
    torch.save({"visual.conv1.weight": torch.ones(1)}, root / "CLIP" / "other.pt")
    with pytest.raises(InvalidParams, match=r"other\.pt is no CLIP of OpenAI"):
        open_matcher("other", CPU)


def test_lists_of_a_person_replace_ours_and_a1111s(root: Path) -> None:
    write_list(root, "mediums", "a fresco")
    beside = root.parent / "interrogate"
    beside.mkdir()
    (beside / "mediums.txt").write_text("not this one")
    (beside / "flavors.top3.txt").write_text("\ufefffog\n\nrust\n", "utf-8")
    found = {category.name: category for category in read_categories()}
    assert sorted(found) == ["flavors", "mediums", "movements"]
    assert (found["mediums"].phrases, found["mediums"].count) == (("a fresco",), 1)
    assert (found["flavors"].phrases, found["flavors"].count) == (("fog", "rust"), 3)
    assert len(read_categories(limit=1)[2].phrases) == 1
    (beside / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(InvalidParams, match=r"latin\.txt"):
        read_categories()


@pytest.mark.parametrize("size", [(60, 40), (40, 61), (32, 32), (7, 500)])
def test_clip_sees_the_middle(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white")
    assert middle_square(image, 32).size == (32, 32)
    assert middle_square(image, 32).getextrema() == ((255, 255),) * 3


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(InvalidParams, match="models/BLIP/") as missing:
        ask(noisy())
    assert "model_base_caption_capfilt_large.pth" in str(missing.value.hint)
    folder = tiny.write_blip(root / "BLIP" / "small", tiny.make_blip())
    with pytest.raises(InvalidParams, match="models/CLIP/"):
        ask(noisy())
    with pytest.raises(InvalidParams, match="'large'"):
        ask(noisy(), captioner="large")
    (folder / "vocab.txt").unlink()
    with pytest.raises(InvalidParams, match=r"vocab\.txt"):
        ask(noisy())
    torch.save({"model": {"other": torch.ones(2)}}, root / "BLIP" / "other.pth")
    tiny.write_vocabulary(root / "BLIP")
    with pytest.raises(InvalidParams, match=r"other\.pth.*pos_embed"):
        ask(noisy(), captioner="other")
    with pytest.raises(InvalidParams, match="min_length"):
        check_params(InterrogateParams, {"min_length": 20, "max_length": 10})


def test_a_folder_without_all_weights_is_refused(root: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = tiny.write_blip(root / "BLIP" / "small", tiny.make_blip()) / "model.safetensors"
    tensors = load_file(weights)
    del tensors["vision_model.post_layernorm.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InvalidParams, match=r"small.*post_layernorm"):
        open_captioner("", CPU)
    weights.write_bytes(b"cut off")
    with pytest.raises(InvalidParams, match="small"):
        open_captioner("", CPU)


def test_a_file_cannot_run_code(root: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    tiny.write_vocabulary(root / "BLIP")
    torch.save({"model": Bomb()}, root / "BLIP" / "bomb.pth")
    (root / "BLIP" / "bomb2.pth").write_bytes(pickle.dumps(Bomb()))
    folder = tiny.write_blip(root / "BLIP" / "folder", tiny.make_blip())
    (folder / "model.safetensors").unlink()
    torch.save(Bomb(), folder / "pytorch_model.bin")
    for name in ("bomb", "bomb2", "folder"):
        with pytest.raises(InvalidParams):
            ask(noisy(), captioner=name)
    assert not (tmp_path / "touched").exists()


def test_it_can_be_cancelled_while_the_caption_is_written(root: Path) -> None:
    tiny.write_blip(root / "BLIP" / "small", tiny.say_one_word(tiny.make_blip(), "dog"))
    tiny.make_clip().save_pretrained(root / "CLIP" / "small")
    with pytest.raises(JobCancelled):
        ask(noisy(), Recorded(cancel_after=6), min_length=20, max_length=20)
    progress = Recorded()
    ask(noisy(), progress, skip_categories=[])
    assert progress.steps == sorted(progress.steps)
    batches = sum(-(-len(category.phrases) // BATCH) for category in read_categories())
    assert progress.steps[-1] == (12 + batches, 12 + batches)


def test_each_pass_of_a_loop_adds_what_its_picture_shows(root: Path) -> None:
    tiny.write_danbooru(root, ["one_ship", "fog"], torch.tensor([0.9, 0.2]))
    tiny.write_blip(root / "BLIP" / "small", tiny.say_one_word(tiny.make_blip(), "dog"))
    tiny.make_clip().save_pretrained(root / "CLIP" / "small")
    knobs = {"steps": 2, "denoising_strength": 0.5, "loops": 2, "grid": False, "seed": 7}
    tagged = graphs.run(
        loopback(noisy(), "a red circle", None, LoopbackParams(append_interrogation="DeepBooru", **knobs))
    )
    assert [made.info["parameters"].splitlines()[0] for made in tagged] == ["a red circle, one ship"] * 2
    described = loopback(noisy(), "", None, LoopbackParams(append_interrogation="CLIP", **knobs))
    prompts = [graphs.run(job.inputs["prompt"])[0] for job in described]
    assert all(prompt.startswith("dog dog") and prompt.count(", ") == 2 for prompt in prompts)
    assert described[1].inputs["prompt"].inputs["image"] is described[0]
