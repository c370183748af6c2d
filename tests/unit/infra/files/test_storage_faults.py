"""Faults of stores whose drivers are not installed here, told by the names and fields their libraries use."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from infra.files.storage_retries import StorageError, StorageOutage, persist


def kind(name: str, *, base: str = "", **fields: object) -> Exception:
    """Return an exception of a class of this name, below one named `base`, with these attributes."""
    parent = type(base, (Exception,), {}) if base else Exception
    problem = type(name, (parent,), {})("said so")
    for field, value in fields.items():
        setattr(problem, field, value)
    return problem


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.mark.parametrize(
    "problem",
    [
        kind("ConnectError", base="TransportError"),  # httpx
        kind("HttpError", code=503),  # gcsfs
        kind("ServiceRequestError"),  # azure-core
        kind("HttpResponseError", status_code=500),
        kind("HfHubHTTPError", response=SimpleNamespace(status_code=429)),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_outages_are_tried_again_and_end_as_one(problem: Exception) -> None:
    tried = []

    def fail() -> None:
        tried.append(1)
        raise problem

    with pytest.raises(StorageOutage, match=r"x://y: still failing after 3 attempts"):
        persist("x://y", fail, attempts=3)
    assert len(tried) == 3


@pytest.mark.parametrize(
    ("url", "problem", "variable"),
    [
        ("gs://b/x", kind("HttpError", code="403"), "GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs://b/x", kind("DefaultCredentialsError"), "GOOGLE_APPLICATION_CREDENTIALS"),
        ("hf://datasets/a/b", kind("GatedRepoError", response=SimpleNamespace(status_code=403)), "HF_TOKEN"),
        ("abfs://c/x", kind("ClientAuthenticationError", status_code=401), "AZURE_STORAGE_ACCOUNT_KEY"),
        ("s3://b/x", kind("NoCredentialsError"), "AWS_ACCESS_KEY_ID"),
    ],
    ids=lambda value: str(value)[:9],
)
def test_a_store_that_asks_who_one_is_names_its_own_variables(url, problem, variable) -> None:
    tried = []

    def fail() -> None:
        tried.append(1)
        raise problem

    with pytest.raises(StorageError, match=variable):
        persist(url, fail)
    assert len(tried) == 1
