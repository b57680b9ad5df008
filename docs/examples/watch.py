"""Watch a job: submit it, follow its events, save each preview, and fetch the result. A lost line is taken up again."""

import base64
import os
import sys
from pathlib import Path

from stable_core_client import Client, check_job, results_of


def main(path: str) -> None:
    """Invert a picture and print what happens to the job."""
    client = Client(os.environ.get("STABLE_CORE_URL", "http://127.0.0.1:7860"))
    job = client.submit(client.request("invert.invert", Path(path), amount=0.5))

    def show(event: dict) -> None:
        print(event["seq"], event["type"], event["data"] if event["type"] == "job.progress" else "")
        if event["type"] == "job.preview":
            Path("preview.jpg").write_bytes(base64.b64decode(event["data"]["data"]))

    for artifact in results_of(check_job(client.follow(job, show))):
        print(f"{artifact['width']} x {artifact['height']} pixels, {len(client.download(artifact))} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
