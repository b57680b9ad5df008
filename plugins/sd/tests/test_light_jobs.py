"""Jobs that run beside the others in a worker of their own: they start no PyTorch, which would take memory twice."""

from __future__ import annotations

import subprocess
import sys

from stable_core_sd.announcement import plugin

LIGHT = {name for name, signature in plugin.signatures.items() if signature.light}
SCRIPT = """
import os, sys, tempfile
from pathlib import Path
from PIL import Image
from stable_core.sdk import Data, File, Progress
from stable_core_sd.announcement import plugin
folder = Path(tempfile.mkdtemp())
os.environ["STABLE_CORE_MODELS"] = str(folder)
Image.new("RGB", (8, 8)).save(folder / "picture.png")
values = {"text": "a cat (1girl:1.2)", "data": Data({"cat": 0.9}), "file": File(folder / "picture.png")}
given = {"save_style": {"name": "x", "prompt": "y"}, "delete_style": {"name": "x"}}
names = ["save_style", *(name for name in sys.argv[1:] if name != "save_style")]
for name in names:
    signature = plugin.signatures[name]
    inputs = {port.name: values[port.type] for port in signature.inputs}
    list(signature.outputs_of(signature.call(inputs, signature.params(**given.get(name, {})), Progress())))
assert "torch" not in sys.modules
"""


def test_what_a_person_waits_for_while_typing_is_light() -> None:
    assert {"tokenize", "styles", "checkpoints", "read_parameters"} <= LIGHT


def test_light_jobs_start_no_pytorch() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *sorted(LIGHT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
