"""Draw a contact sheet: one graph, in which a sweep makes five pictures and a grid takes all of them."""

import os
import sys

from stable_core_client import Client, check_job

AMOUNTS = [0, 0.25, 0.5, 0.75, 1]


def contact_sheet(image: dict) -> dict:
    """Return the graph document for an uploaded picture; saved as a file, `stable-core graph run` takes it too."""
    labels = "\n".join(f"amount {amount}" for amount in AMOUNTS)
    return {
        "version": 1,
        "jobs": {
            "small": {
                "job": "image.resize",
                "inputs": {"image": {"artifact": image["id"]}},
                "params": {"width": 128},
            },
            "steps": {
                "job": "invert.invert",
                "inputs": {"image": {"job": "small"}},
                "params": {"amount": {"each": AMOUNTS}},
            },
            "sheet": {
                "job": "image.grid",
                "inputs": {"images": {"job": "steps"}},
                "params": {"columns": len(AMOUNTS), "labels": labels},
            },
        },
    }


def main(path: str, target: str) -> None:
    """Upload a picture, run the graph and save the sheet."""
    client = Client(os.environ.get("STABLE_CORE_URL", "http://127.0.0.1:7860"))
    graph = client.graph(contact_sheet(client.upload(path)))
    sheet = check_job(client.wait(graph["jobs"]["sheet"]["id"]))
    client.download(sheet["outputs"]["image"][0], target)
    print(f"{target}: {len(AMOUNTS)} pictures")


if __name__ == "__main__":
    main(*sys.argv[1:3])
