"""Checkpoints that their makers publish, known by SHA-256.

OpenAI's addresses carry the hash. Those of SAM are quoted by several independent projects; the digits in
SAM's file names belong to another hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from operators.rows.fingerprint import Value

OPENAI = "https://openaipublic.azureedge.net/clip/models"
META = "https://dl.fbaipublicfiles.com/segment_anything"


class Published(Value):
    """A published checkpoint.

    Attributes:
        name: of the file.
        architecture: open_clip's name, or SAM's (`vit_h`).
        storage: `torchscript` archives are programs and are converted before use.
    """

    name: str
    url: str
    sha256: str
    architecture: str
    quick_gelu: bool
    storage: Literal["torchscript", "torch"]
    label: Literal["real"] = "real"

    @property
    def told_by(self) -> str:
        """Return what says how the weights were trained, for people."""
        return "published by its maker"


def _clip(architecture: str, sha256: str, name: str = "") -> Published:
    name = name or f"{architecture}.pt"
    return Published(
        name=name,
        url=f"{OPENAI}/{sha256}/{name}",
        sha256=sha256,
        architecture=architecture,
        quick_gelu=True,
        storage="torchscript",
    )


def _sam(architecture: str, name: str, sha256: str) -> Published:
    return Published(
        name=name,
        url=f"{META}/{name}",
        sha256=sha256,
        architecture=architecture,
        quick_gelu=False,
        storage="torch",
    )


PUBLISHED = (
    _clip("RN50", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"),
    _clip("RN101", "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
    _clip("RN50x4", "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"),
    _clip("RN50x16", "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"),
    _clip("RN50x64", "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"),
    _clip("ViT-B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    _clip("ViT-B-16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    _clip("ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    _clip(
        "ViT-L-14-336",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        name="ViT-L-14-336px.pt",
    ),
    _sam("vit_b", "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    _sam("vit_l", "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    _sam("vit_h", "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
)


def with_hash(sha256: str, table: Sequence[Published] = PUBLISHED) -> Published | None:
    """Return the published checkpoint with this content, if there is one."""
    return next((entry for entry in table if entry.sha256 == sha256), None)


def at_url(url: str) -> Published | None:
    """Return the checkpoint that is published at this address, if there is one."""
    return next((entry for entry in PUBLISHED if entry.url == url), None)


def segmenter_weights(architecture: str) -> Published:
    """Return the checkpoint published for an architecture of SAM."""
    return next(entry for entry in PUBLISHED if entry.architecture == architecture)
