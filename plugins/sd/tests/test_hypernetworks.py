"""Hypernetworks: the modules, the files and what they do to attention."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_core.sdk import InvalidParams
from stable_core_sd.networks.hypernetwork import (
    HypernetworkModule,
    Structure,
    attached,
    dropout_structure,
    initialise,
)
from stable_core_sd.networks.hypernetwork_file import (
    Hypernetwork,
    find_hypernetwork,
    read_hypernetwork,
    write_hypernetwork,
)

WIDTH = 32


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(seed: int = 0, **structure: Any) -> Hypernetwork:
    torch.manual_seed(seed)
    built = Structure(**structure)
    return Hypernetwork(
        "cat", built, {WIDTH: (HypernetworkModule(WIDTH, built), HypernetworkModule(WIDTH, built))}, step=7
    )


@pytest.fixture
def unet() -> Any:
    import tiny

    return tiny.make_models()["unet"]


def run(unet: Any) -> Tensor:
    with torch.no_grad():
        return unet(random(1, 4, 8, 8), torch.tensor([5]), random(1, 77, 32)).sample


def test_k_and_v_of_each_attention_see_the_changed_context(unet: Any) -> None:
    modules = make(activation="relu").modules
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    x, context = random(1, 6, 32, seed=1), random(1, 77, 32, seed=2)
    keys, values = (module(context, 0.5) for module in modules[WIDTH])
    with attached(unet, [(modules, 0.5)]) as count, torch.no_grad():
        found = attention.to_k(context), attention.to_v(context), attention.to_q(x)
    with torch.no_grad():
        assert torch.allclose(found[0], attention.to_k(keys), atol=1e-6)
        assert torch.allclose(found[1], attention.to_v(values), atol=1e-6)
        assert torch.equal(found[2], attention.to_q(x))
    attentions = [one for name, one in unet.named_modules() if name.endswith((".attn1", ".attn2"))]
    assert count == 2 * sum(one.to_k.in_features == WIDTH for one in attentions)


def test_afterwards_nothing_is_left(unet: Any) -> None:
    before = run(unet)
    with attached(unet, [(make().modules, 1.0)]):
        assert not torch.allclose(run(unet), before, atol=1e-4)
    assert torch.equal(run(unet), before)


def test_a_multiplier_of_0_and_another_width_change_nothing(unet: Any) -> None:
    before = run(unet)
    with attached(unet, [(make().modules, 0.0)]):
        assert torch.equal(run(unet), before)
    with attached(unet, [({768: make().modules[WIDTH]}, 1.0)]) as count:
        assert count == 0


def test_several_work_in_order(unet: Any) -> None:
    first, second = make(seed=1, activation="tanh").modules, make(seed=2, activation="tanh").modules
    layer = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_k
    context = random(1, 3, 32)
    with torch.no_grad(), attached(unet, [(first, 0.3), (second, 2.0)]):
        found = layer(context)
    with torch.no_grad():
        assert torch.allclose(found, layer(second[WIDTH][0](first[WIDTH][0](context, 0.3), 2.0)), atol=1e-5)


@pytest.mark.parametrize(
    "structure",
    [
        {},
        {"layers": (1, 2, 2, 1), "activation": "swish", "has_layer_norm": True, "activates_output": False},
        {"layers": (1, 1.5, 1.5, 1), "activation": "leakyrelu", "dropout": (0, 0.3, 0.05, 0)},
    ],
)
def test_a_file_holds_all_of_it(tmp_path: Path, structure: dict[str, Any]) -> None:
    network = make(**structure)
    write_hypernetwork(network, tmp_path / "cat.pt")
    read = read_hypernetwork(tmp_path / "cat.pt")
    assert (read.name, read.step, read.structure.activation) == ("cat", 7, network.structure.activation)
    assert read.structure.layers == network.structure.layers
    x = random(1, 2, WIDTH)
    for before, after in zip(network.modules[WIDTH], read.modules[WIDTH], strict=True):
        assert torch.equal(before.eval()(x), after(x))


def test_a_file_of_2022_has_two_layers_and_no_facts(tmp_path: Path) -> None:
    weights = {
        "linear1.weight": random(64, 32),
        "linear1.bias": random(64),
        "linear2.weight": random(32, 64),
        "linear2.bias": random(32),
    }
    torch.save({32: (weights, weights)}, tmp_path / "old.pt")
    network = read_hypernetwork(tmp_path / "old.pt")
    x = random(1, 2, 32)
    expected = x + (x @ weights["linear1.weight"].T + weights["linear1.bias"]) @ weights["linear2.weight"].T
    assert torch.allclose(network.modules[32][1](x), expected + weights["linear2.bias"], atol=1e-4)
    assert network.name == "old"


@pytest.mark.parametrize("content", [{}, {32: ({"x": torch.zeros(1)}, {})}, {32: 3}, [1], {"step": 4}, "text"])
def test_other_files_are_refused_in_words(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InvalidParams, match="hypernetwork"):
        read_hypernetwork(tmp_path / "other.pt")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({32: Path("x")}, tmp_path / "evil.pt")
    with pytest.raises(InvalidParams, match=r"evil\.pt"):
        read_hypernetwork(tmp_path / "evil.pt")


def test_they_are_found_by_name_in_folders_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    (tmp_path / "hypernetworks" / "mine").mkdir(parents=True)
    for name in ("mine/cat", "None"):
        write_hypernetwork(make(), tmp_path / "hypernetworks" / f"{name}.pt")
    assert find_hypernetwork("cat") == tmp_path / "hypernetworks" / "mine" / "cat.pt"
    assert find_hypernetwork("None") is None
    assert find_hypernetwork("dog") is None


@pytest.mark.parametrize("layers", [(1, 2), (2, 1), (1,), ()])
def test_a_structure_ends_as_wide_as_it_begins(layers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="begin and end with 1"):
        HypernetworkModule(8, Structure(layers=layers))


def test_an_unknown_activation_is_an_error() -> None:
    with pytest.raises(ValueError, match="sigmoidal"):
        HypernetworkModule(8, Structure(activation="sigmoidal"))


def test_dropout_is_there_in_training_only() -> None:
    module = HypernetworkModule(8, Structure((1, 2, 2, 1), dropout=tuple(dropout_structure([1, 2, 2, 1], True, True))))
    x = random(1, 50, 8)
    assert [layer.p for layer in module.linear if isinstance(layer, torch.nn.Dropout)] == [0.3, 0.3]
    assert not torch.equal(module(x), module(x))
    assert torch.equal(module.eval()(x), copy.deepcopy(module)(x))


@pytest.mark.parametrize("how", ["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"])
def test_a_new_network_has_random_weights_and_no_bias(how: str) -> None:
    module = HypernetworkModule(WIDTH, Structure())
    torch.manual_seed(0)
    initialise(module, how, "relu")
    first = module.linear[0]
    assert first.weight.std() > 0
    assert not first.bias.any()
    if how == "Normal":
        assert first.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_an_unknown_initialisation_is_an_error() -> None:
    with pytest.raises(ValueError, match="XavierNormal"):
        initialise(HypernetworkModule(8, Structure()), "Zeros", "relu")
