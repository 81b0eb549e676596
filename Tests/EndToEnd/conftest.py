import pytest

from kit.backend import Backend
from kit.edge import Edge


@pytest.fixture(scope="session")
def backend():
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture
def fresh_backend():
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def edge(backend, tmp_path_factory):
    edge = Edge(tmp_path_factory.mktemp("edge"), backend.port)
    yield edge
    edge.stop()
    assert "Fatal error" not in edge.text


@pytest.fixture
def make_edge(tmp_path):
    edges = []

    def make(port, **options):
        folder = tmp_path / str(len(edges))
        folder.mkdir()
        edges.append(Edge(folder, port, **options))
        return edges[-1]

    yield make
    for edge in edges:
        edge.stop()
        assert "Fatal error" not in edge.text
