"""Documents name the tests that prove them: every bound and wait, and every threat, has one, and it exists."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ARCHITECTURE = ROOT / "docs/architecture.md"
SECURITY = ROOT / "docs/security.md"
# The last words of a table's head, by which it is found.
LAST_COLUMN = {ARCHITECTURE: "Attacked by", SECURITY: "Proved by"}
# A function of a file, or of the file that was named before, or a file, or a suite in Swift; between backticks only.
NAMES = re.compile(r"`(?:(test_\w+\.py)?(?:::(test_\w+))?|(\w+Tests))`")


def known():
    """The functions by file, and the suites, of the repository."""
    functions = {file.name: set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.M))
                 for file in (ROOT / "Tests/EndToEnd").glob("test_*.py")}
    suites = {name for file in (ROOT / "Tests").rglob("*.swift")
              for name in re.findall(r"^(?:@\S+ )*(?:final )?(?:struct|class|enum|extension) (\w+Tests)\b", file.read_text(), re.M)}
    return functions, suites


FUNCTIONS, SUITES = known()


def named(text):
    """(file, function) and (None, suite) of all that the text names."""
    file = None
    for match in NAMES.finditer(text):
        if match[3]:
            yield None, match[3]
        elif match[1] or match[2]:
            file = match[1] or file
            yield file, match[2]


def missing(text):
    """Names in the text that do not exist."""
    for file, name in named(text):
        if file is None and (name not in SUITES):
            yield name
        elif file is not None and (file not in FUNCTIONS or name and name not in FUNCTIONS[file]):
            yield f"{file}::{name}" if name else file


def rows(document):
    """(table, cells) of each row of the document's tables whose last column names tests."""
    found, table = [], None
    for line in document.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            table = None
        elif table is None:
            table = cells
        elif cells[0].strip("-:"):
            if table[-1] == LAST_COLUMN[document]:
                found.append((table[0], cells))
    return found


@pytest.mark.parametrize("document, tables", [(ARCHITECTURE, {"What": 40, "Wait": 25}), (SECURITY, {"Threat": 20})],
                         ids=["architecture", "security"])
def test_every_line_names_a_test(document, tables):
    found = rows(document)
    for name, least in tables.items():
        assert sum(table == name for table, _ in found) >= least, f"where is the table of {name!r} in {document.name}?"
    for table, cells in found:
        # A file by itself does not tell which of its tests it is.
        assert any(name for _, name in named(cells[-1])), f"{document.name}: no test attacks {cells[0]!r}"


@pytest.mark.parametrize("document", [ARCHITECTURE, SECURITY], ids=lambda document: document.name)
def test_every_test_that_is_named_exists(document):
    text = document.read_text()
    assert list(named(text)), "nothing is named"
    assert list(missing(text)) == []


@pytest.mark.parametrize("text, gone", [
    ("`test_docs_bounds.py::test_the_check_finds_what_is_not_there`, `::test_every_line_names_a_test`", []),
    ("`test_docs_bounds.py::test_nothing`", ["test_docs_bounds.py::test_nothing"]),
    ("`test_docs_bounds.py`, `::test_nothing`", ["test_docs_bounds.py::test_nothing"]),
    ("`test_nothing.py`", ["test_nothing.py"]),
    ("`PeerControlTests`, `NothingTests`", ["NothingTests"]),
])
def test_the_check_finds_what_is_not_there(text, gone):
    assert list(missing(text)) == gone
