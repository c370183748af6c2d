"""How S3 is asked: options of s3fs that suit whole files, written once, in folders of thousands."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any


def parse_time(text: str) -> datetime:
    """Read a time as S3 writes it.

    A listing of 1,000 names holds as many times; botocore's own way takes four fifths of the reading.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # in headers, and of other stores
        from botocore.utils import parse_timestamp

        return parse_timestamp(text)


@cache
def s3_options() -> dict[str, Any]:
    """Return what every file system of S3 is made with.

    Retries are counted by this project alone: botocore and s3fs would each multiply them by five. Listings
    are never remembered, since other processes write; one connection a file spares a request to learn its
    size.
    """
    from aiobotocore.session import AioSession

    session = AioSession()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
    return {
        "session": session,
        "use_listings_cache": False,
        "max_concurrency": 1,
        "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 1}},
    }
