"""Weights made by tests go into a folder of their own."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("ONDEE_CACHE", tempfile.mkdtemp(prefix="ondee-cache-"))
