"""An S3 server in memory, in a process of its own, whose every answer takes a given time.

What it holds can be given as folders times names, so that half a million parts are there at once.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

BUCKET = "bench"
PAGE = 1000
START_S = 30.0
ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>20000</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


class Server:
    """The server's side."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._files: dict[str, bytes] = {}
        self._folders: dict[str, list[str]] = {}
        self._calls: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.Response:
        """Do what is asked, late."""
        key = urllib.parse.unquote(request.path).removeprefix(f"/{BUCKET}").lstrip("/")
        if request.path == "/fill":
            for folder, names in (await request.json()).items():
                self._folders[folder] = sorted(names)
            return web.Response()
        if request.path == "/calls":
            calls, self._calls = self._calls, Counter()
            return web.json_response(calls)
        await asyncio.sleep(self._latency_s)
        listing = "list-type" in request.query
        self._calls["LIST" if listing else request.method] += 1
        if listing:
            return self._list(request.query)
        if request.method == "PUT":
            self._files[key] = await request.read()
            folder, _, name = key.rpartition("/")
            names = self._folders.setdefault(folder, [])
            if name not in names:
                names.insert(bisect_right(names, name), name)
            return web.Response(headers={"ETag": '"x"'})
        if key not in self._files:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        body = self._files[key] if request.method == "GET" else None
        return web.Response(body=body, headers={"ETag": '"x"'})

    def _list(self, query: Any) -> web.Response:
        folder = query.get("prefix", "").rstrip("/")
        names = self._folders.get(folder, [])
        start = int(query.get("continuation-token", 0))
        page, end = names[start : start + PAGE], start + PAGE
        more = end < len(names)
        parts = [f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"]
        parts += [f"<NextContinuationToken>{end}</NextContinuationToken>"] if more else []
        parts += [ENTRY.format(f"{folder}/{name}") for name in page]
        return web.Response(text=f"<ListBucketResult>{''.join(parts)}</ListBucketResult>")


@dataclass(frozen=True)
class SlowS3:
    """A running server, from the client's side."""

    endpoint: str

    def fill(self, folders: dict[str, Sequence[str]]) -> None:
        """Let folders of the bucket hold files of these names, without content."""
        self._ask("fill", json.dumps(folders).encode())

    def calls(self) -> dict[str, int]:
        """Return the calls since the last time this was asked, by kind."""
        return json.loads(self._ask("calls"))

    def _ask(self, what: str, data: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.endpoint}/{what}", data) as answer:
            return answer.read()


@contextmanager
def running(latency_s: float) -> Iterator[SlowS3]:
    """Start a server, and end it with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, str(port), str(latency_s)])
    try:
        until = time.monotonic() + START_S
        while not _answers(port):
            assert time.monotonic() < until and process.poll() is None, "the server did not start"
            time.sleep(0.1)
        yield SlowS3(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{key:.*}", Server(float(sys.argv[2])).answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
