"""Faults of stores: which of them pass, and what to tell the user about those that do not.

Libraries' exceptions are known by name: they are imported only by those who use such a store.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from infra.files.credentials import without_credentials

T = TypeVar("T")
ATTEMPTS = 8
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
LASTING_NUMBERS = {errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOSPC, errno.EDQUOT, errno.EROFS}
PASSING_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504}
# Answered with status 400, but about this one transfer.
PASSING_CODES = {"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"}
PASSING_KINDS = {
    "HTTPClientError",  # botocore: time-outs, closed connections
    "ConnectionError",  # botocore: endpoint not reached
    "IncompleteReadError",
    "FlexibleChecksumError",
    "ResponseParserError",
    "ClientPayloadError",  # aiohttp: a body that ends early
    "ClientConnectionError",
    "IncompleteRead",  # http.client
    "TransportError",  # httpx, below the hub's files; google-auth
    "ServiceRequestError",  # azure-core: no answer at all
    "ServiceResponseError",
}
CREDENTIAL_KINDS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "ProfileNotFound",
    "DefaultCredentialsError",  # google-auth
    "RefreshError",
    "ClientAuthenticationError",  # azure-core
    "LocalTokenNotFoundError",  # the hub
}
PRECONDITION_FAILED = 412
NOT_IMPLEMENTED = 501
VARIABLES = {
    "s3": "AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "HF_TOKEN",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class StorageError(OSError):
    """A place cannot be used as it is; the message names it and the fix. Ends a job with exit 2."""


class StorageOutage(ConnectionError):
    """A store kept failing; the message names the place. The same command goes on later."""


def persist(url: str, action: Callable[[], T], attempts: int = ATTEMPTS) -> T:
    """Do something with a file, again and again with back-off while its faults are of the passing kind.

    Raises:
        StorageError: if the store refuses (no such bucket, access denied); this is not tried again.
        StorageOutage: if the faults did not pass.
        OSError: FileNotFoundError and the like, as they are.
    """
    trying = Retrying(
        retry=retry_if_exception(is_passing),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.2, max=10),
        reraise=True,
    )
    try:
        return trying(action)
    except Exception as problem:
        if is_passing(problem):
            said = without_credentials(repr(problem))
            raise StorageOutage(f"{url}: still failing after {attempts} attempts: {said}") from problem
        found = explained(problem, url)
        if found is problem:
            raise
        raise found from problem


def give_credentials(url: str) -> str:
    """Say how a job gets at a private store."""
    protocol = url.partition("://")[0].rpartition("::")[2]
    variables = VARIABLES.get("az" if protocol.startswith("abfs") else protocol, VARIABLES["s3"])
    return f"give this machine an instance role or workload identity, or set {variables} in its environment"


def answer(problem: BaseException | None) -> tuple[int, str]:
    """Return the HTTP status and the error code that a store answered with; 0 and "" if it did not."""
    for link in (problem, getattr(problem, "__cause__", None)):
        response = getattr(link, "response", None)
        if isinstance(response, dict):  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return int(status), str(response.get("Error", {}).get("Code", ""))
        statuses = (
            getattr(link, "status", None),  # aiohttp
            getattr(response, "status_code", None),  # httpx, below the hub's files
            getattr(link, "status_code", None),  # azure-core
            getattr(link, "code", None) if type(link).__name__ == "HttpError" else None,  # gcsfs
        )
        status = next((int(text) for text in map(str, statuses) if text.isdigit()), 0)
        if status:
            return status, ""
    return 0, ""


def is_passing(problem: BaseException) -> bool:
    """Say whether trying again may help."""
    status, code = answer(problem)
    if status:
        return status in PASSING_STATUSES or code in PASSING_CODES
    if isinstance(problem, OSError) and (isinstance(problem, LASTING) or problem.errno in LASTING_NUMBERS):
        return False
    return isinstance(problem, OSError) or bool(_kinds(problem) & PASSING_KINDS)


def explained(problem: Exception, url: str) -> Exception:
    """Return what to raise for a lasting fault: what to do about it, or the fault itself if that says it."""
    status, code = answer(problem)
    said = without_credentials(str(problem))
    if code == "NoSuchBucket":
        return StorageError(f"{url}: there is no such bucket; create it, or correct the address")
    if status in (401, 403):
        return StorageError(
            f"{url}: access denied ({code or status}: {said}); absent files are also answered like this "
            f"where listing is not allowed. Allow reading, listing and writing, or {give_credentials(url)}"
        )
    if _kinds(problem) & CREDENTIAL_KINDS:
        return StorageError(f"{url}: {said}; {give_credentials(url)}")
    if status == PRECONDITION_FAILED:
        return FileExistsError(f"{url} exists")
    if status >= 300 and not isinstance(problem, LASTING):
        return StorageError(f"{url}: the store refuses this address or request ({code or status}: {said})")
    if "BotoCoreError" in _kinds(problem):
        return StorageError(f"{url}: {said}; correct the address or the settings of the store")
    return problem


def _kinds(problem: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(problem).__mro__}
