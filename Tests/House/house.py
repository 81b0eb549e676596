#!/usr/bin/env python3
"""Prints which modules and folders need which, each circle among them with the references that make it, and what breaks the
rules of house.toml. It reads Sources/ alone and needs no build. test_house.py checks the same.

  Tests/House/house.py              all of it
  Tests/House/house.py --shrink     takes exceptions that are no longer needed out of exceptions.toml
"""

import sys

import rules

MOST = 12


def main():
    house = rules.House.ours()
    if sys.argv[1:] == ["--shrink"]:
        left = rules.shrunk(house.broken(), rules.exceptions())
        (rules.HERE / "exceptions.toml").write_text(rules.written(left))
        return
    print("Modules")
    for (begin, end), files in sorted(house.imports.items()):
        print(f"  {begin} -> {end}: {len(files)} files")
    for module, edges in house.folders.items():
        if edges:
            print(f"Folders of {module}")
        for (begin, end), references in sorted(edges.items()):
            print(f"  {begin} -> {end}: {len(references)} references of {len({it.file for it in references})} files")
    for module, knot, steps in house.circles():
        print(f"Circle in {module}, one of those among {', '.join(sorted(knot))}")
        for begin, end, references in steps:
            print(f"  {begin} -> {end}")
            for reference in references[:MOST]:
                print(f"    {reference}")
            if len(references) > MOST:
                print(f"    and {len(references) - MOST} more")
    new, spare = rules.compare(house.broken(), rules.exceptions())
    for line in new:
        print(f"Breaks the rules: {line}")
    for line in spare:
        print(f"An exception that is no longer needed: {line}")
    sys.exit(1 if new or spare else 0)


if __name__ == "__main__":
    main()
