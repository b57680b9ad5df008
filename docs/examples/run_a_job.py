"""Run a job without any server: a core in this program, on the home folder that the command line uses too."""

import asyncio
import io

import PIL.Image

from stable_core.config import home_folder
from stable_core.core import Core


async def picture():
    """Yield the bytes of a picture; an upload would come in many chunks."""
    file = io.BytesIO()
    PIL.Image.radial_gradient("L").save(file, "PNG")
    yield file.getvalue()


async def main() -> None:
    """Store a picture, invert it, and say where the result is."""
    async with Core(home_folder()) as core:
        image = await core.store_artifact(picture(), filename="gradient.png")
        request = {"job": "invert.invert", "inputs": {"image": {"artifact": image["id"]}}, "params": {"amount": 0.8}}
        job = await core.submit(request)
        job = await core.wait(job["id"])
        print(job["state"], job["outputs"]["image"][0]["path"])


if __name__ == "__main__":
    asyncio.run(main())
