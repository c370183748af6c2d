"""RefCOCO, RefCOCO+ and RefCOCOg: expressions about objects of COCO pictures.

Sizes: expressions from rec_scoring spec section 1, images and references from FALIP, Table 7.
"""

from __future__ import annotations

from types import MappingProxyType

from operators.datasets.formats import mirror, reclip, refer
from operators.datasets.registry import DataFile, Dataset, SplitSize, register

LICENCE = "none stated by the publishers of the annotations; COCO's annotations are CC BY 4.0"
IMAGES = "COCO train2014 (82,783 pictures, 13 GB, https://cocodataset.org)"
ORIGIN = (
    "REFER (github.com/lichengunc/refer): its servers are gone, web.archive.org keeps refcoco.zip, "
    "refcoco+.zip and refcocog.zip; as Parquet jxu124/refcoco-benchmark on the Hugging Face hub; ReCLIP's "
    "JSON lines and detections in its data archive (github.com/allenai/reclip), also in "
    "CresCat01/RefCOCO-Triplets on the hub"
)
INSTANCES = DataFile(refer.INSTANCES, "COCO-style boxes and outlines of every annotated object")


def _files(name: str, pickle: str, mirrored: str) -> tuple[DataFile, ...]:
    return (
        INSTANCES,
        DataFile(pickle, "references, pickled plain data"),
        DataFile(reclip.split_file_name(name, "<split>"), "the same as JSON lines, by ReCLIP"),
        DataFile(reclip.detections_file_name(name), "boxes found by MAttNet's detector, by ReCLIP"),
        DataFile(f"{mirrored}<split>-*.parquet", "references and targets, one row a picture, in the mirror"),
    )


def _card(
    name: str,
    title: str,
    paper: str,
    pickle: str,
    mirrored: str,
    splits: dict[str, SplitSize],
    flat: bool = True,
) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        paper=paper,
        licence=LICENCE,
        origin=ORIGIN,
        images=IMAGES,
        files=_files(name, pickle, mirrored),
        splits=MappingProxyType(splits),
        layouts=MappingProxyType(
            {
                "reclip": reclip.open_folder,
                "refer": refer.layout(pickle, flat),
                "mirror": mirror.layout(mirrored),
            }
        ),
    )


register(
    _card(
        "refcoco",
        "RefCOCO, split by UNC",
        "Yu et al., Modeling Context in Referring Expressions, ECCV 2016 (arXiv 1608.00272)",
        "refs(unc).p",
        "refcoco_unc_",
        {
            "val": SplitSize(1500, 3811, 10834),
            "testA": SplitSize(750, 1975, 5657),
            "testB": SplitSize(750, 1810, 5095),
        },
    )
)
register(
    _card(
        "refcoco+",
        "RefCOCO+, split by UNC: no words for places",
        "Yu et al., Modeling Context in Referring Expressions, ECCV 2016 (arXiv 1608.00272)",
        "refs(unc).p",
        "refcoco_plus_unc_",
        {
            "val": SplitSize(1500, 3805, 10758),
            "testA": SplitSize(750, 1975, 5726),
            "testB": SplitSize(750, 1798, 4889),
        },
        flat=False,  # files in no folder of their own are RefCOCO's, whose pickle has the same name
    )
)
register(
    _card(
        "refcocog",
        "RefCOCOg, split by UMD: longer sentences",
        "Mao et al., Generation and Comprehension of Unambiguous Object Descriptions, CVPR 2016 "
        "(arXiv 1511.02283); split of Nagaraja et al., ECCV 2016 (arXiv 1608.00525)",
        "refs(umd).p",
        "refcocog_umd_",
        {"val": SplitSize(1300, 2573, 4896), "test": SplitSize(2600, 5023, 9602)},
    )
)
