"""The short way to import diffusers: what it leaves out, and that all of it still works afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
HEAVY = (
    "transformers",
    "accelerate",
    "sympy",
    "torch._dynamo",
    "torch.distributed.tensor",
    "diffusers.models.transformers.transformer_flux",
    "matplotlib",
    "scipy",
)


def run(code: str) -> str:
    """Run Python code in a new process and return what it printed."""
    source = f"import sys; sys.path[:0] = {[str(PROJECT), str(PROJECT.parents[1] / 'src')]!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=80, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_announcing_imports_no_torch() -> None:
    assert run("import stable_core_sd.plugin; print({'torch', 'numpy', 'diffusers'} & set(sys.modules))") == "set()\n"


def test_the_engine_imports_nothing_heavy() -> None:
    assert run(f"import stable_core_sd.engine; print([name for name in {HEAVY!r} if sys.modules.get(name)])") == "[]\n"


def test_peft_beside_the_plugin_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "peft-0.21.0.dist-info").mkdir()
    (tmp_path / "peft-0.21.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.21.0\n")
    (tmp_path / "peft.py").write_text("import transformers")
    code = f"sys.path.insert(0, {str(tmp_path)!r}); import stable_core_sd.model_classes; print('peft' in sys.modules)"
    assert run(code) == "False\n"


def test_what_was_left_out_can_be_imported_and_the_unet_compiled_afterwards() -> None:
    code = """
import stable_core_sd.model_classes as classes, torch
blocks = dict(block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
unet = classes.UNet2DConditionModel(
    sample_size=4, layers_per_block=1, norm_num_groups=2, cross_attention_dim=8, attention_head_dim=2, **blocks)
x, text = torch.randn(1, 4, 4, 4), torch.randn(1, 77, 8)
plain = unet(x, 5, text).sample
compiled = torch.compile(unet, backend="eager")(x, 5, text).sample
import diffusers.models.transformers, torch._dynamo
print(torch.allclose(plain, compiled, atol=1e-5), hasattr(torch._dynamo, "config"))
print(hasattr(diffusers.models.transformers, "FluxTransformer2DModel"))
"""
    assert run(code) == "True True\nTrue\n"
