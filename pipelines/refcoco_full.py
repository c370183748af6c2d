"""Score visual prompting methods on RefCOCO, RefCOCO+ and RefCOCOg and print the table.

Example: python pipelines/refcoco_full.py --data shards --out out --methods P --encoders ViT-B-32:openai
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.benchmark import benchmark
from infra.options import BenchmarkOptions, main

if __name__ == "__main__":
    sys.exit(main(BenchmarkOptions, benchmark))
