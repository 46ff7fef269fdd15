"""`personal-agent slack manifest`: the app manifest, generated from what the code uses."""

from __future__ import annotations

import argparse
import sys

import yaml

from handlers.manifest import manifest


def run(options: argparse.Namespace) -> int:
    """Print the manifest as YAML."""
    yaml.safe_dump(manifest(options.profile), sys.stdout, sort_keys=False, allow_unicode=True)
    return 0
