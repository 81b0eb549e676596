"""What the gate promises of memory. How long it takes is for docs/benchmarks.md: a busy machine is no defect."""

import pathlib
import re
import subprocess

from kit.edge import BIN


def test_a_decision_on_a_token_in_a_header_allocates_nothing():
    benchmark = pathlib.Path(BIN).with_name("gate-benchmark")
    done = subprocess.run([benchmark, "2000"], capture_output=True, text=True, timeout=300, check=True)
    rows = dict(re.findall(r"^gate: (.*): \d+ ns .*, ([0-9.]+) allocations", done.stdout, re.MULTILINE))
    assert len(rows) == 4, done.stdout
    # To cut a token out of a query takes a query without it.
    cut = rows.pop("opaque, native, query")
    assert set(rows.values()) == {"0.000"} and float(cut) > 0
