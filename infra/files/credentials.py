"""Addresses never carry credentials: they are printed, logged and written to `run.json`."""

from __future__ import annotations

import re

# A bucket's name has no colon, except in the long names of access points; a secret may hold slashes.
_IN_BUCKET = r"\bs3a?://(?!arn:)[^/\s]*:\S*"
_USER_AND_PASSWORD = r"\b[a-z][a-z0-9+.-]*://[^/?#\s]*:[^/?#\s]*@"
_TOKEN = r"\bhttps?://[^/?#\s]*@"
_QUERY = (
    r"[?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|awsaccesskeyid|"
    r"(?:access_)?token|key|secret|password)=[^&#\s'\")]*"
)
_CREDENTIALS = re.compile("|".join((_IN_BUCKET, _USER_AND_PASSWORD, _TOKEN, _QUERY)), re.IGNORECASE)


def holds_credentials(text: str) -> bool:
    """Say whether a text has an address with a key, a password or a signature in it."""
    return _CREDENTIALS.search(text) is not None


def without_credentials(text: str) -> str:
    """Return a text with the credentials in its addresses blotted out."""
    return _CREDENTIALS.sub(lambda found: f"{re.split('(?<=://)|(?<==)', found.group())[0]}***", text)
