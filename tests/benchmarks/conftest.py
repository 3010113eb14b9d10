"""The benchmarks are scripts, not a package: their folder joins the module path, as it does when one is run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
