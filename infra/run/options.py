"""What every job is told: frozen pydantic models, and what its exit status means."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.execution.settings import Settings
from infra.files import storage


class Exit(IntEnum):
    """What the exit status of every job means."""

    COMPLETE = 0
    CRASH = 1
    BAD_INPUT = 2
    QUARANTINE_ABOVE_LIMIT = 3
    INCOMPLETE = 5


class Options(BaseModel):
    """Base of the options of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Options by the name they had in the last release.
    RENAMED: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def about(cls) -> str:
        """Return what `--help` says first."""
        return cls.__doc__ or ""

    @model_validator(mode="after")
    def _hold_no_credentials(self) -> Self:
        """Options are written to `run.json`; StorageError says what to do instead."""
        for _, value in self:
            for text in value if isinstance(value, tuple) else (value,):
                storage.require_no_credentials(str(text))
        return self


class ExecutorOptions(Options):
    """Where a job runs."""

    executor: Literal["ray", "inline"] = "ray"
    """Ray (this machine or the cluster of the job), or this process alone."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Torch threads of one model actor; recorded, since it decides the last bits of sums on CPU."""
    actors: Annotated[int, Field(ge=0)] = 0
    """Model actors of each stage; 0 for as many as there is room for, or work."""
    max_actors: Annotated[int, Field(ge=0)] = 0
    """Most model actors of each stage; 0 for no bound of its own."""
    max_gpus: Annotated[int, Field(ge=0)] | None = None
    """Most GPUs to use, and to ask an autoscaler for; by default what is known of the cluster."""
    shared_filesystem: bool = False
    """Local paths are the same files on every node."""
    wait_for_resources_s: Annotated[float, Field(ge=0)] | None = None
    """How long to wait for nodes to join; by default not at all, or 900 s where there is an autoscaler."""
    gpu_hour_usd: Annotated[float, Field(ge=0)] | None = None
    """Price of a GPU hour; progress lines then tell the cost so far of all GPUs alive."""

    def settings(self, device: str = "auto") -> Settings:
        """Return what executors are told."""
        return Settings(
            device=device,
            threads=self.threads,
            actors=self.actors,
            max_actors=self.max_actors,
            max_gpus=self.max_gpus,
            gpu_hour_usd=self.gpu_hour_usd,
            wait_for_resources_s=self.wait_for_resources_s,
        )
