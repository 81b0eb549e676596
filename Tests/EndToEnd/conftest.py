import pytest

from kit.alone import Plugin
from kit.backend import Backend
from kit.browser import Browser, PageServer, page_routes
from kit.edge import Edge
from kit.heads import Upstream


def pytest_configure(config):
    config.pluginmanager.register(Plugin(config), "culvert-alone")


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
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def edge(request, tmp_path_factory):
    """The edge of a module. A module may set `EDGE` to options of `Edge`, among them `before`: the name of the fixture that the
    edge leads to."""
    options = dict(getattr(request.module, "EDGE", {}))
    server = request.getfixturevalue(options.pop("before", "backend"))
    edge = Edge(tmp_path_factory.mktemp("edge"), server.port, **options)
    yield edge
    edge.end()


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
        edge.end()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    pages = PageServer(tmp_path_factory.mktemp("pages"))
    yield pages
    pages.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def page_edge(backend, pages, tmp_path_factory):
    """An edge that lets the pages of this module in."""
    edge = Edge(tmp_path_factory.mktemp("edge"), backend.port, limits="message: 1MiB", extra_routes=page_routes(pages))
    yield edge
    edge.end()
