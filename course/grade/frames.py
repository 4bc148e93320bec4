"""Messages between the grader and a sandbox: four bytes of length, then JSON. What comes out of a sandbox is checked by its reader."""

from __future__ import annotations

import json
import os
import select
import time

LARGEST = 8 << 20  # bytes of one message


class Broken(Exception):
    """The other end is gone, or what it says is no message."""


def send(outlet: int, message: dict) -> None:
    """Raises: Broken."""
    body = json.dumps(message).encode()
    data = len(body).to_bytes(4, "big") + body
    try:
        while data:
            data = data[os.write(outlet, data) :]
    except OSError as problem:
        raise Broken(str(problem)) from None


def receive(inlet: int, seconds: float | None = None) -> dict:
    """The next message; raises Broken at the end, after ``seconds``, and for anything that is no JSON object."""
    end = None if seconds is None else time.monotonic() + seconds
    length = int.from_bytes(_exactly(inlet, 4, end), "big")
    if length > LARGEST:
        raise Broken("a message of unbelievable length")
    try:
        message = json.loads(_exactly(inlet, length, end))
    except (ValueError, RecursionError):
        raise Broken("no JSON") from None
    if not isinstance(message, dict):
        raise Broken("no object")
    return message


def _exactly(inlet: int, count: int, end: float | None) -> bytes:
    data = b""
    while len(data) < count:
        if end is not None and not select.select([inlet], [], [], max(end - time.monotonic(), 0))[0]:
            raise Broken("no answer in time")
        if not (chunk := os.read(inlet, count - len(data))):
            raise Broken("the end")
        data += chunk
    return data
