"""REFER's files: a pickle of references and COCO-style instances (rec_scoring spec section 2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, TypeAdapter, ValidationError

from operators.datasets.formats.annotations import (
    AnnotatedRef,
    AnnotationError,
    FileRecord,
    Gold,
    GoldAnnotation,
    ImageRecord,
    RefRecord,
    decode_text,
    first_problem,
    image_file_name,
    parse_json,
)
from operators.datasets.formats.folder import Folder, Found, Layout, SplitReader
from operators.datasets.formats.restricted_pickle import PickleRefused, load_plain_pickle


class _Instances(FileRecord):
    annotations: list[GoldAnnotation]
    images: list[ImageRecord] = Field(default_factory=list)


class _Ref(RefRecord):
    split: str


_REFS = TypeAdapter(list[_Ref])
NOTHING = Gold()
INSTANCES = "instances.json"


def layout(pickle: str, flat: bool) -> Layout:
    """Return how a dataset is read from REFER's folders: `<dataset>/instances.json` and `<dataset>/<pickle>`.

    Args:
        pickle: name of the file of references.
        flat: whether files that lie in the folder itself may be this dataset's.
    """

    def open_folder(folder: Folder, dataset: str) -> SplitReader:
        own = folder.below(dataset)
        places = [own, folder] if flat else [own]
        home = next((place for place in places if {INSTANCES, pickle} <= place.names()), None)
        gold: dict[str, Gold] = {}

        def read(split: str) -> Found | None:
            if home is None:
                return None
            if not gold:
                gold.update(read_instances(home.read(INSTANCES), home.place(INSTANCES)))
            name = home.place(pickle)
            return Found(list(read_split(home.read(pickle), name, gold, dataset, split)), name)

        return read

    return open_folder


def read_instances(data: bytes, name: str) -> dict[str, Gold]:
    """Return the annotated objects by image id, in file order.

    Raises:
        AnnotationError: naming the file and the entry.
    """
    try:
        instances = _Instances.model_validate(parse_json(decode_text(data, name), name))
    except ValidationError as problem:
        raise AnnotationError(f"{name}: {first_problem(problem)}") from problem
    found: dict[str, list[GoldAnnotation]] = {}
    for annotation in instances.annotations:
        if annotation.image_id is None:
            raise AnnotationError(f"{name}: annotation {annotation.id} has no image_id")
        found.setdefault(str(annotation.image_id), []).append(annotation)
    sizes = {str(image.id): image.size_wh() for image in instances.images}
    return {image_id: Gold.of(annotations, sizes.get(image_id)) for image_id, annotations in found.items()}


def read_split(
    data: bytes, name: str, gold: Mapping[str, Gold], dataset: str, split: str
) -> Iterator[AnnotatedRef]:
    """Read the references of one split from a REFER pickle.

    Args:
        data: the pickle's bytes; nothing in it is executed.
        name: the file's name, for messages.
        gold: result of `read_instances`.
        dataset: the dataset the file belongs to.
        split: the split, in the published spelling.

    Raises:
        AnnotationError: for a pickle that is not plain data, or a malformed reference.
    """
    try:
        refs = _REFS.validate_python(load_plain_pickle(data))
    except PickleRefused as problem:
        raise AnnotationError(f"{name}: refused: {problem}") from problem
    except ValidationError as problem:
        raise AnnotationError(f"{name}: {first_problem(problem)}") from problem
    for index, ref in enumerate(refs):
        if belongs_to_split(ref.split, split):
            objects = gold.get(str(ref.image_id), NOTHING)
            yield AnnotatedRef(
                dataset=dataset,
                split=split,
                ref_id=f"{split}-{index}" if ref.ref_id is None else str(ref.ref_id),
                image_file=image_file_name(ref.file_name),
                image_id=str(ref.image_id),
                gold=objects.boxes,
                target_ids=ref.target_ids(),
                sentences=tuple(sentence.sentence() for sentence in ref.sentences),
                place=f"{name}[{index}]",
                segmentations=objects.segmentations,
                written_name=ref.file_name,
                image_size_wh=objects.size_wh,
            )


def belongs_to_split(ref_split: str, split: str) -> bool:
    """Apply REFER's split rule to the split string of a reference.

    testA and testB match when their last letter occurs in it, `test` when it contains "test", others when
    equal (rec_scoring spec section 2.2).
    """
    if split in ("testA", "testB"):
        return split[-1] in ref_split
    if split == "test":
        return "test" in ref_split
    return ref_split == split
