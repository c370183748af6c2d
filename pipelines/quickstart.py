"""See the whole job work in a minute, without a download: synthetic scenes, small bundled models, a report.

Example: python pipelines/quickstart.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from infra.options import main
from infra.quickstart import QuickstartOptions, quickstart

if __name__ == "__main__":
    sys.exit(main(QuickstartOptions, quickstart))
