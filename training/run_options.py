"""The options that say which run is meant, shared by the commands about runs."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from imitation.data.library import data_file
from training.config import TrainingConfig, from_table, load_config, preset, to_table


def add_run(parser: argparse.ArgumentParser) -> None:
    """--preset or --config, --set and --data."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--preset", help="a shipped config, such as pocket-broad")
    source.add_argument("--config", type=Path, help="a TOML file of one's own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--data", type=data_file, required=True, help="conversations, one a line; or a dataset"
    )


def config_of(args: argparse.Namespace) -> TrainingConfig:
    """The config that the options of `add_run` name.

    Raises:
        UserError: Unknown preset, unreadable file, or wrong values.
    """
    start = preset(args.preset) if args.preset else load_config(args.config)
    changes = {}
    for item in args.set:
        key, _, value = item.partition("=")
        try:
            changes[key.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value
    return from_table({**to_table(start), **changes})
