"""The parts of face restoration: anchors, decoding, overlaps, alignment, masks and the networks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from face_files import SMALL, all_skin, dot_detector, planted, randomized, smooth, write
from runs import difference
from stable_core.sdk import InvalidParams
from stable_core_sd.faces import loading
from stable_core_sd.faces.alignment import SIDE, TEMPLATE, Similarity, align, fit_similarity, paste
from stable_core_sd.faces.codeformer import CodeFormer, Sizes, with_statistics
from stable_core_sd.faces.detection import anchors_of, boxes_of, find_faces, landmarks_of, without_overlaps
from stable_core_sd.faces.masks import parsed_mask, square_mask
from stable_core_sd.faces.parsing import ParseNet
from stable_core_sd.faces.retinaface import RetinaFace

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")


def test_anchors_come_level_by_level_and_row_by_row() -> None:
    anchors = anchors_of((40, 24))
    assert len(anchors) == 2 * (5 * 3 + 3 * 2 + 2 * 1)
    assert anchors[:4].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32]]
    assert anchors[10].tolist() == [4, 12, 16]
    assert anchors[30].tolist() == [8, 8, 64]
    assert anchors[-1].tolist() == [48, 16, 512]


def test_offsets_are_shares_of_the_anchor() -> None:
    anchor = torch.tensor([[100.0, 50.0, 32.0]])
    assert boxes_of(torch.zeros(1, 4), anchor).tolist() == [[84, 34, 116, 66]]
    moved = boxes_of(torch.tensor([[10.0, -5.0, 5 * np.log(2), 0]]), anchor)[0]
    assert moved.tolist() == pytest.approx([132 - 32, 34 - 16, 132 + 32, 34 + 16])
    points = landmarks_of(torch.arange(10.0)[None], anchor)[0]
    assert points[0].tolist() == pytest.approx([100, 53.2])
    assert points[4].tolist() == pytest.approx([125.6, 78.8])


def test_of_two_boxes_that_overlap_much_the_surer_is_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 3.9], [50, 50, 60, 60], [51, 51, 61, 61]])
    assert without_overlaps(boxes) == [0, 2, 3]
    assert without_overlaps(torch.zeros(0, 4)) == []


@pytest.mark.parametrize("size", [(300, 200), (1500, 1000), (120, 700)])
def test_planted_faces_are_found_where_they_are(size: tuple[int, int]) -> None:
    scale = min(size) / 1200
    faces = [
        Similarity(scale * 0.9, 0.02 * size[0] + 0.05j * size[1]),
        Similarity(scale * 0.5j, size[0] * (0.9 + 0.5j)),
    ]
    found = find_faces(planted(size, faces), smooth(*size), CPU)
    assert len(found) == 2
    for face in faces:
        expected = face.apply(TEMPLATE)
        assert min(float(np.abs(one.landmarks - expected).max()) for one in found) < 0.01
    for one in found:
        assert one.score > 0.97
        assert one.box[0] < one.landmarks[:, 0].min()
        assert one.box[3] > one.landmarks[:, 1].max()


@pytest.mark.parametrize(("row", "column"), [(3, 5), (7, 2), (9, 14)])
def test_a_detector_from_a_file_finds_what_its_weights_look_for(tmp_path: Path, row: int, column: int) -> None:
    detector = loading.read_detector(write(tmp_path, "detection.pth", dot_detector(), prefix="module."))
    picture = Image.new("RGB", (480, 320))
    x, y = 16 * column, 16 * row
    picture.paste("white", (x - 3, y - 3, x + 4, y + 4))
    (face,) = find_faces(detector, picture, CPU)
    assert face.box == pytest.approx((x + 8 - 64, y + 8 - 64, x + 8 + 64, y + 8 + 64), abs=0.01)
    assert np.abs(face.landmarks - (TEMPLATE / 4 + (x + 8 - 64, y + 8 - 64))).max() < 0.01


def test_faces_that_are_too_small_are_left() -> None:
    size = (400, 400)
    eyes = {factor: factor * 0.01 * np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) for factor in (3, 5)}
    assert eyes[3] < 5 < eyes[5]
    assert not find_faces(planted(size, [Similarity(0.03, 100 + 100j)]), smooth(*size), CPU)
    assert find_faces(planted(size, [Similarity(0.05, 100 + 100j)]), smooth(*size), CPU)


@pytest.mark.parametrize("placed", [Similarity(1, 0), Similarity(0.3 + 0.2j, 40 - 7j), Similarity(-2j, 900)])
def test_a_similarity_is_found_again(placed: Similarity) -> None:
    found = fit_similarity(placed.apply(TEMPLATE))
    assert found.turn == pytest.approx(placed.inverse().turn)
    assert found.move == pytest.approx(placed.inverse().move)


def test_one_wrong_landmark_changes_nothing_and_small_errors_are_shared() -> None:
    landmarks = Similarity(0.5, 60 + 20j).apply(TEMPLATE)
    landmarks[2] += 70
    assert fit_similarity(landmarks).turn == pytest.approx(2)
    landmarks = TEMPLATE + np.random.default_rng(0).normal(0, 2, TEMPLATE.shape)
    fitted = fit_similarity(landmarks)
    assert abs(fitted.turn - 1) < 0.02
    assert np.abs(fitted.apply(landmarks) - TEMPLATE).mean() < 3


def test_aligned_landmarks_lie_on_the_template() -> None:
    face = Similarity(0.4 + 0.3j, 200 + 30j)
    picture = Image.new("RGB", (500, 500))
    for x, y in face.apply(TEMPLATE):
        picture.paste("white", (round(x) - 2, round(y) - 2, round(x) + 3, round(y) + 3))
    aligned = np.asarray(align(picture, fit_similarity(face.apply(TEMPLATE))).convert("L"))
    for x, y in TEMPLATE:
        assert aligned[round(y), round(x)] > 200
    assert np.count_nonzero(aligned > 200) < 5 * 16**2


@pytest.mark.parametrize("turn", [0.9, 0.5 + 0.4j, -1.1])
def test_a_face_that_was_not_changed_is_laid_back_unseen(turn: complex) -> None:
    picture = smooth(700, 600)
    placed = Similarity(turn, 350 + 300j - turn * (256 + 256j)).inverse()
    back = paste(picture, align(picture, placed), np.ones((SIDE, SIDE)) * square_mask(), placed)
    assert difference(picture, back) <= 2
    assert paste(picture, Image.new("RGB", (SIDE, SIDE)), np.zeros((SIDE, SIDE)), placed).tobytes() == picture.tobytes()


@pytest.mark.parametrize("move", [-300 - 200j, 500 + 450j])
def test_a_face_at_the_edge_is_laid_back_too(move: complex) -> None:
    picture, placed = smooth(600, 500), Similarity(1, move).inverse()
    aligned = align(picture, placed)
    assert difference(paste(picture, aligned, square_mask(), placed), picture) <= 1
    assert (132, 133, 135) in {aligned.getpixel((1, 1)), aligned.getpixel((510, 510))}


def test_nothing_is_changed_by_a_face_outside_of_the_picture() -> None:
    picture, placed = smooth(60, 50), Similarity(1, 300).inverse()
    assert paste(picture, Image.new("RGB", (SIDE, SIDE)), np.ones((SIDE, SIDE)), placed) is picture


def test_masks_are_full_in_the_middle_and_soft_at_the_edge() -> None:
    skin = all_skin()
    parsed = parsed_mask(skin, torch.zeros(1, 3, SIDE, SIDE))
    for mask, margin in ((parsed, 10), (square_mask(), 5)):
        assert mask.shape == (SIDE, SIDE)
        assert mask[256, 256] == pytest.approx(1)
        assert mask[margin - 1].max() < 0.01
        assert mask.min() >= 0
    hair = torch.zeros(1, 19, SIDE, SIDE)
    hair[:, 1, :, :256] = 1
    hair[:, 17, :, 256:] = 1
    half = parsed_mask(lambda face: hair, torch.zeros(1, 3, SIDE, SIDE))[256]
    assert half[200] > 0.99
    assert half[255] == pytest.approx(0.5, abs=0.03)
    assert half[330] < 0.01
    assert (np.diff(half[150:400]) <= 1e-6).all()


LAYERS = {
    "retinaface": (RetinaFace, 383, "e1bb93fe2d08dd84"),
    "parsenet": (ParseNet, 202, "d552f1af3c7b7097"),
    "codeformer": (lambda: CodeFormer(Sizes()), 515, "69b082da5ee863e9"),
}
"""How many tensors the files of facexlib and of CodeFormer's authors hold, and a hash of their names and shapes."""


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_names_and_shapes_of_the_files_that_people_have(name: str) -> None:
    make, count, digest = LAYERS[name]
    with torch.device("meta"):
        network = make()
    lines = sorted(f"{key} {list(tensor.shape)}" for key, tensor in network.state_dict().items())
    assert len(lines) == count
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


def test_a_detector_is_read_with_or_without_the_prefix_of_its_training(tmp_path: Path) -> None:
    network, x = randomized(RetinaFace(4, 8)), torch.randn(1, 3, 72, 100)
    expected = network(x)
    assert len(expected.logits) == len(anchors_of((100, 72)))
    for prefix in ("", "module."):
        found = loading.read_detector(write(tmp_path, "detection.pth", network, prefix=prefix))(x)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_parser_is_read(tmp_path: Path) -> None:
    network, x = randomized(ParseNet(4)), torch.randn(1, 3, 32, 48)
    save_file(network.state_dict(), tmp_path / "parsing.safetensors")
    assert torch.equal(loading.read_parser(tmp_path / "parsing.safetensors")(x), network(x))
    assert network(x).shape == (1, 19, 32, 48)


def test_codeformer_is_read_in_any_size_and_its_weight_counts(tmp_path: Path) -> None:
    sizes = Sizes(width=8, code=16, codes=32, places=4, embedding=16, layers=2, fused=(32, 128))
    network = randomized(CodeFormer(sizes))
    read = loading.read_codeformer(write(tmp_path, "codeformer.pth", network, "params_ema"))
    assert read.side == 64
    x = torch.randn(1, 3, 64, 64)
    none, half, whole = (read(x, weight) for weight in (0.0, 0.5, 1.0))
    assert torch.equal(half, network(x))
    assert none.shape == x.shape
    assert not torch.allclose(none, whole)
    assert not torch.allclose(none, half)


def test_the_book_is_looked_up_and_takes_over_the_statistics(tmp_path: Path) -> None:
    network = randomized(CodeFormer(SMALL))
    seen = torch.randn(1, 16, 16, 16)
    entries = network.looked_up(seen)[0].flatten(1).T
    book = {tuple(entry) for entry in network.quantize.embedding.weight.tolist()}
    assert {tuple(entry) for entry in entries.tolist()} <= book
    adapted = with_statistics(entries.T.reshape(1, 16, 16, 16) + torch.randn(1, 16, 16, 16) / 9, seen)
    assert torch.allclose(adapted.mean(dim=(2, 3)), seen.mean(dim=(2, 3)), atol=1e-5)
    assert torch.allclose(adapted.std(dim=(2, 3)), seen.std(dim=(2, 3)), rtol=1e-3)


@pytest.mark.parametrize("read", [loading.read_detector, loading.read_parser, loading.read_codeformer])
def test_other_files_are_refused(tmp_path: Path, read: Any) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut off")
    for name in ("other", "cut"):
        with pytest.raises(InvalidParams, match=name):
            read(tmp_path / f"{name}.pth")
