"""Uploads: content from a client becomes a checked file in the artifacts folder, or leaves nothing. No rows here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from stable_core.errors import InvalidInput, StorageFull, TooLarge
from stable_core.protocol import artifact_path, new_file
from stable_core.sdk.artifacts import media_type_of, type_of
from stable_core.sdk.codecs import describe, head_of

UNKNOWN = "application/octet-stream"


async def receive(
    chunks: AsyncIterator[bytes],
    folder: Path,
    limit_bytes: int,
    media_type: str | None = None,
    filename: str | None = None,
    sha256: str | None = None,
) -> dict[str, Any]:
    """Write chunks to the artifact they make and return its id, size, type, media type and details.

    Args:
        media_type: what the client says it is; it must not contradict the content.
        sha256: the hash in hexadecimal that the content must have.

    Raises:
        TooLarge: it is over the limit.
        InvalidInput: it is empty, not readable, or not what the client said.
        StorageFull: it could not be written.
    """
    known = hashlib.sha256()
    size = 0
    try:
        with new_file(folder / "uploads") as new:
            with new.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit_bytes:
                        hint = "Raise upload_limit_mb in the settings."
                        raise TooLarge(f"The upload is over {limit_bytes // 2**20} MB", hint)
                    known.update(chunk)
                    file.write(chunk)
            if not size:
                raise InvalidInput("The upload is empty", "Send the content as the body of the request.")
            if sha256 is not None and sha256.lower() != known.hexdigest():
                raise InvalidInput("The content does not have the hash that was sent with it", "Upload it again.")
            facts = await asyncio.to_thread(_examine, new, media_type or UNKNOWN, filename or "")
            path = artifact_path(folder, known.hexdigest())
            path.parent.mkdir(exist_ok=True)
            new.replace(path)
    except OSError as error:
        hint = "Free some space, then upload it again."
        raise StorageFull(f"The upload could not be stored: {error.strerror}", hint) from None
    return {"id": known.hexdigest(), "size": size, **facts}


def _examine(path: Path, media_type: str, filename: str) -> dict[str, Any]:
    found = media_type_of(head_of(path), filename)
    declared = media_type.partition(";")[0].strip().lower()
    if type_of(declared) not in ("file", type_of(found)):
        raise InvalidInput(f"The content is {found}, not {declared}", "Send the Content-Type that it has, or none.")
    facts = {"type": type_of(found), "media_type": found, **describe(path, found)}
    return {**facts, "filename": Path(filename).name} if filename else facts
