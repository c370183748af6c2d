"""A real S3 server (moto) on the loopback, and a proxy in front of it that fails on purpose."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
from s3fs import S3FileSystem

from infra.files.s3 import s3_options

BUCKET = "bench"
CANARIES = ("AKIACANARYCANARY0001", "canary/secret+0123456789abcdefghijklmnop")
ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{0}</Code><Message>told {0}</Message></Error>"
STATUSES = {"SlowDown": 503, "InternalError": 500, "AccessDenied": 403, "NotImplemented": 501}
SLOW_S = 0.6


def forget_connections() -> None:
    """Let the next file system read its environment anew: endpoint, credentials."""
    S3FileSystem.clear_instance_cache()
    s3_options.cache_clear()


@dataclass(frozen=True)
class S3:
    """A running server.

    Attributes:
        url: of its bucket, as the pipelines take it.
        endpoint: `http://host:port`.
    """

    url: str
    endpoint: str

    def client(self):
        """Return a plain client, independent of the code under test."""
        return boto3.client("s3", endpoint_url=self.endpoint)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Return every object below a prefix, by key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        client = self.client()
        return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def upload(self, folder: Path | str, prefix: str) -> str:
        """Copy a local folder to the bucket and return its URL."""
        client = self.client()
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder)}"
                client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        return f"{self.url}/{prefix}"


@contextmanager
def running() -> Iterator[S3]:
    """Run a server and point this process and its children at it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    key, secret = CANARIES
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    s3 = S3(f"s3://{BUCKET}", endpoint)
    s3.client().create_bucket(Bucket=BUCKET)
    try:
        yield s3
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
        server.stop()


@dataclass
class Proxy:
    """Forwards requests, or fails.

    Attributes:
        fault: called with method and path of each request; returns None to forward it, an S3 error code of
            `STATUSES` to answer, or `reset`, `slow`, `cut` (half the body), `lost` (done, but no answer).
        requests: method and path of all so far.
    """

    fault: Callable[[str, str], str | None] = lambda method, path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    endpoint: str = ""


@contextmanager
def proxy_before(s3: S3) -> Iterator[Proxy]:
    """Run a proxy in front of a server."""
    proxy = Proxy()

    class Handler(_Handler):
        settings = proxy
        upstream = s3.endpoint.removeprefix("http://")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # uploads wait for "100 Continue"
    settings: Proxy
    upstream: str

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.settings.requests.append((self.command, self.path))
        fault = self.settings.fault(self.command, self.path)
        self.close_connection = fault is not None
        if fault in STATUSES:
            self._answer(STATUSES[fault], [], ERROR.format(fault).encode())
            return
        if fault == "reset":
            self._reset()
            return
        if fault == "slow":
            time.sleep(SLOW_S)
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault == "lost":
            self._reset()
        else:
            self._answer(answer.status, answer.getheaders(), content, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False) -> None:
        self.send_response(status)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                self.send_header(name, value)
        length = lengths[0] if self.command == "HEAD" and lengths else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)

    def _reset(self) -> None:
        linger_for_0_s = struct.pack("ii", 1, 0)  # makes closing a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_0_s)
        self.connection.close()

    def handle(self) -> None:
        """Serve until the connection ends in whatever way."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def finish(self) -> None:
        """Close what may be closed already."""
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
