"""Show what drawings look like on one image, and which of its regions each text is assigned to.

Example: python pipelines/preview.py --image dog.jpg --texts dog bowl --variants P D4 --out preview
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.options import main
from infra.preview import PreviewOptions, preview

if __name__ == "__main__":
    sys.exit(main(PreviewOptions, preview))
