"""Make the peers' environments anew."""

import argparse
import sys

from benchmarks.peers.environments import EnvironmentFailure, make
from benchmarks.peers.services import FOLDERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    folders = sorted(set(FOLDERS.values()))
    parser.add_argument("--only", choices=folders, nargs="+", default=folders)
    failed = 0
    for folder in parser.parse_args().only:
        print(f"making the environment of {folder}", file=sys.stderr)
        try:
            make(folder)
        except EnvironmentFailure as failure:
            print(failure, file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
