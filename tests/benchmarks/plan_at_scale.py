"""Plans a run of so many shards and 50 predictions, and prints what that took as a line of JSON.

python plan_at_scale.py ARTIFACTS SHARDS [--folders]
"""

from __future__ import annotations

import json
import pickle
import resource
import sys
import time
from itertools import product

started_s = time.perf_counter()

from infra.dataset.shards import Shard, Split
from infra.run.artifacts import ArtifactStore
from infra.run.make_missing import _images
from infra.run.plan import Plan, describe
from operators.methods.method import baseline
from operators.methods.models import Encoder, Segmenter, Weights
from operators.methods.products import Predictions

# 6 drawings alone, and in threes, with and without subtraction, on two sources of boxes: 50 predictions.
DRAWINGS = ("P", "D1", "D2", "D3", "D4", "I")
METHODS = [*DRAWINGS, *(f"P|{d}" for d in DRAWINGS[1:]), *(f"{d},S" for d in DRAWINGS[:4])]
METHODS += [f"P|D{n}|D4,S" for n in (1, 2, 3)] + ["D1|D2|D3,S", "P|D1|D3|D4,S", "P|D1|D3|D4,RS"]
METHODS += ["P,R", "D1,R", "D4,R", "P|D4,R"]
SPLIT = Split(
    dataset="refcoco",
    split="val",
    images=1,
    refs=1,
    expressions=9,
    bank="bank.parquet",
    bank_digest="0" * 12,
)


def plan(root: str, shards: int) -> Plan:
    """Return the plan of the run."""
    weights = Weights(source="/nowhere", sha256="0" * 64, label="random")
    encoder = Encoder(name="ViT-B-32", architecture="ViT-B-32", weights=weights, quick_gelu=True)
    segmenter = Segmenter(name="sam", architecture="vit_h", weights=weights)
    predictions = []
    for notation, proposals in product(METHODS, ("gold", "detections")):
        method = baseline(notation)
        masked = any(v.mask_source == "box" for v in method.variants)
        predictions.append(
            Predictions(
                method=method,
                encoders=(encoder,),
                proposals=proposals,
                segmenter=segmenter if masked else None,
                splits=((SPLIT.dataset, SPLIT.split, SPLIT.bank_digest),),
            )
        )
    covered = tuple(
        Shard(
            index=number,
            name=f"shard-{number:05d}-{number:012x}.parquet",
            image_digest=f"{number:012x}",
            row_digest=f"{number:012x}",
            images=32,
            regions=256,
            quarantined_images=0,
            expressions={SPLIT.name: 160},
        )
        for number in range(shards)
    )
    return Plan(root, ArtifactStore(root), covered, (SPLIT,), tuple(predictions))


def main(root: str, shards: int) -> None:
    """Print the folders of the predictions, or plan and print what that took."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    made = plan(root, shards)
    if "--folders" in sys.argv:
        names = [made.address(made.predictions[0], shard).name for shard in made.shards]
        print(json.dumps({"folders": [p.folder for p in made.predictions], "names": names}))
        return
    describe(made, "nowhere")
    pending = _images(made).items
    took_s = time.perf_counter() - began_s
    found = {
        "products": len(made.predictions),
        "pending": len(pending),
        "seconds": took_s,
        "cpu_s": time.process_time() - cpu_s,
        "imports_s": began_s - started_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "plan_mib": len(pickle.dumps(made)) / 2**20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
