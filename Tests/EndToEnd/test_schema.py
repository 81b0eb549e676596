"""docs/proxy.schema.json, for editors: it knows the keys that the parser knows, and agrees with it on what is right."""

import json
import pathlib
import re

import jsonschema
import yaml

from kit.edge import digest, make_certificate
from kit.jwt import Key
from kit.process import culvert

ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/proxy.schema.json").read_text())
BOGUS = "zzz"


class Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors have it: a date is text, and so is yes."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool", ":int", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
for tag, pattern, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789")):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


def parse(text):
    return yaml.load(text, Loader)


def faults(document):
    return [f"{error.json_path}: {error.message}" for error in
            jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def check(folder, text):
    path = folder / "proxy.yaml"
    path.write_text(text)
    return culvert("check", "--config", path)


# --- keys ------------------------------------------------------------------------------------------------------------

def resolved(node):
    return {**SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")], **node} if "$ref" in node else node


def sections(node, path=""):
    """(path, node) of every mapping, with [] for a list's items and * for names of the operator's own."""
    node = resolved(node)
    if "properties" in node:
        yield path, node
        for key, child in node["properties"].items():
            yield from sections(child, f"{path}.{key}" if path else key)
    elif "items" in node:
        yield from sections(node["items"], f"{path}[]")
    elif "additionalProperties" in node:
        yield from sections(node["additionalProperties"], f"{path}.*")
    for choice in node.get("anyOf", ()):
        yield from sections(choice, path)


def probe(node):
    """A document with each section, each with a key that nobody knows; nil for what holds no section."""
    node = resolved(node)
    if "properties" in node:
        made = {key: probe(child) for key, child in node["properties"].items()}
        needed = {key for group in [node, *node.get("oneOf", [])[:1]] for key in group.get("required", ())}
        for key in needed:
            if made.get(key) is None and "examples" in (child := resolved(node["properties"][key])):
                made[key] = child["examples"][0]
        return {key: value for key, value in made.items() if value is not None} | {BOGUS: 1}
    if "items" in node:
        item = probe(node["items"])
        return None if item is None else [item]
    if isinstance(more := node.get("additionalProperties"), dict):
        item = probe(more)
        return None if item is None else {"app": item}
    return next(filter(None, map(probe, node.get("anyOf", ()))), None)


def test_the_schema_and_the_parser_know_the_same_keys(tmp_path):
    found = {}
    for line in check(tmp_path, json.dumps(probe(SCHEMA))).stderr.splitlines():
        if match := re.search(rf":\d+: (\S*?)\.?{BOGUS}: unknown key, expected one of (.*?)(?: \(did you|$)", line):
            path = re.sub(r"\[\d+\]", "[]", match[1]).replace("upstreams.app", "upstreams.*")
            found[path] = set(match[2].split(", "))
    named = {path: set(node["properties"]) for path, node in sections(SCHEMA)}

    def keys(tables):
        return {f"{path}.{key}".lstrip(".") for path, names in tables.items() for key in names}

    missing, unknown = (sorted(a - b) for a, b in ((keys(found), keys(named)), (keys(named), keys(found))))
    assert not missing, f"docs/proxy.schema.json lacks {missing}"
    assert not unknown, f"the parser does not know, or was not asked for, {unknown}"


def test_every_key_is_described():
    text = re.sub("```.*?```", "", (ROOT / "docs/configuration.md").read_text(), flags=re.DOTALL)
    words = {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", code)}
    for path, node in sections(SCHEMA):
        assert node["additionalProperties"] is False, path
        for key, child in node["properties"].items():
            assert child.get("description"), f"{path}.{key} has no description"
            assert key in words, f"{path}.{key} is not in docs/configuration.md"


def quantity(value):
    """Durations in seconds, sizes in bytes."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9.]+)([A-Za-z]+)", value)):
        return float(match[1]) * units[match[2]]
    return value


def defaults(node, value, path=""):
    """(path, default, what is in effect) of what a document has."""
    node = resolved(node)
    if "default" in node:
        yield path, node["default"], value
    if isinstance(value, list):
        for item in value if "items" in node else ():
            yield from defaults(node["items"], item, f"{path}[]")
    elif isinstance(value, dict):
        for key, child in value.items():
            below = node.get("properties", {}).get(key, node.get("additionalProperties"))
            if isinstance(below, dict):
                yield from defaults(below, child, f"{path}.{key}")


def test_what_the_schema_calls_a_default_is_one(tmp_path):
    make_certificate(tmp_path)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [Key("ES256", "k").jwk]}))
    done = check(tmp_path, json.dumps({
        **MINIMAL, "listen": [{"address": "127.0.0.1:8443", "tls": {"certificates": [PAIR]}}],
        "authentication": {"jwt": {"jwks": [{"file": str(jwks)}]}},
        **upstream(health={"type": "websocket"}, queue={}),
        "limits": {"session": {"from_client": {"messages": 1}}}}))
    assert done.returncode == 0, done.stderr
    # Lists that are given are no defaults, and neither is what stands beside them.
    given = {".listen", ".routes", ".authentication.jwt.jwks"}
    compared = [row for row in defaults(SCHEMA, parse(done.stdout)) if row[0] not in given]
    assert len(compared) > 55, len(compared)
    for path, default, effective in compared:
        if path in (".state", ".admin.token_file"):
            effective = pathlib.Path(effective).name
        assert quantity(effective) == quantity(default), path


# --- documents -------------------------------------------------------------------------------------------------------

PAIR = {"certificate": "localhost.pem", "key": "localhost.key"}
TLS = {"certificates": [PAIR]}
MINIMAL = {
    "listen": [{"address": "127.0.0.1:8443"}], "routes": [{"path": "/", "upstream": "app"}],
    "upstreams": {"app": {"servers": [{"url": "ws://127.0.0.1:9000"}]}}}
TOKEN = {"id": "a", "sha256": digest("secret"), "subject": "s", "routes": ["/"]}


def listen(**more):
    return {"listen": [{"address": "127.0.0.1:8443", **more}]}


def route(**more):
    return {"routes": [{"path": "/", "upstream": "app", **more}]}


def upstream(**more):
    return {"upstreams": {"app": {"servers": [{"url": "ws://127.0.0.1:9000"}], **more}}}


def limits(**more):
    return {"limits": more}


def health(**more):
    return upstream(health=more)


def server(**more):
    return {"upstreams": {"app": {"servers": [{"url": "ws://127.0.0.1:9000", **more}]}}}


def token(**more):
    return {"authentication": {"tokens": [{**TOKEN, **more}]}}


def jwt(**more):
    return {"authentication": {"jwt": more}}


SECRET = "0123456789abcdef0123456789abcdef"
GOOD = [
    {}, listen(address="[::]:0"), listen(address="localhost:65535"), listen(tls=TLS),
    listen(tls={**TLS, "minimum_version": "1.3"}), listen(tls={**TLS, "minimum_version": 1.3}),
    listen(tls={**TLS, "hsts": {"max_age": "0s"}}), listen(tls={**TLS, "hsts": {"max_age": "1h", "preload": False}}),
    listen(tls={**TLS, "hsts": {"max_age": "8760h", "include_subdomains": True, "preload": "yes"}}),
    {**listen(proxy_protocol=True), "trusted_proxies": ["10.0.0.0/8", "::1", "127.0.0.1"]},
    listen(proxy_protocol=False),
    listen(proxy_protocol="no"), route(path="/chat/%20a.b"), route(path="/.well-known/..."), route(host="a.example"),
    route(host="[::1]"), route(origins={"allow": ["https://a.example", "https://*.b.example:8443", "null", None]}),
    route(origins={"allow": ["file://", "http://localhost:*", "https://*.a.example:*", "moz-extension://*", "http://[::1]:*"]}),
    route(origins={"missing": "reject"}), route(origins={}), route(authentication="none", validate_text="yes"),
    route(transports=["long-poll"]), token(), token(expires="2027-01-01T00:00:00Z"), token(id=5, subject=7),
    token(expires="2027-01-01T00:00:00+01:00"), {"authentication": {"close_code": 4000}},
    {"authentication": {"authorization": False, "query_parameter": "none", "cookie": "none", "subprotocol": "no"},
     **route(authentication="none")}, route(carriers={}), route(carriers={"authorization": "no", "cookie": "a", "subprotocol": False}),
    route(carriers={"query_parameter": False, "cookie": "off"}), {"authentication": {"cookie": False, "query_parameter": "no"}},
    route(carriers={"cookie": "none"}, origins={"allow": ["*"]}), route(authentication="none", origins={"allow": ["*"]}),
    {"authentication": {"cookie": "none"}, **route(origins={"allow": ["*", "null"]})},
    {"authentication": {"expiry_grace": "0s", "cookie": "a", "identity_header": "X-Us_er"}}, jwt(),
    jwt(issuer="i", audience=["a", "b"], leeway="0s", routes=[], claims={"routes": "r"}),
    jwt(keys=[{"id": "k", "algorithm": "HS256", "secret": SECRET, "until": "2027-01-01T00:00:00Z"}]),
    jwt(keys=[{"jwk": {"kty": "oct", "kid": "k", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}}]),
    jwt(jwks=[{"url": "https://id.example.com/jwks", "refresh": "1m"}, {"url": "http://127.0.0.1:1/jwks"}]),
    server(url="wss://a"), server(url="WS://[::1]:9/a/b/"), server(weight=1000, max_sessions=1),
    upstream(balance="consistent_hash", hash_by="header:X-Room"), upstream(balance="consistent_hash"),
    upstream(retries=0, connect_timeout="500ms", proxy_protocol="v1"),
    upstream(eject={"failures": 0, "time": "1.5m", "longest": "1h", "slow_start": "0s"}),
    {"session": {"hold": "0.5s", "buffer": "64kB"}}, {"limits": {"message": "1.5MiB", "header": "512B"}},
    limits(message="none"), limits(message={}), limits(message={"from_client": "1MiB", "from_upstream": "none"}),
    route(limits={"message": "64MiB", "sessions": 1}), route(limits={"message": {"from_upstream": "512MiB"}}),
    {"limits": {"connections": 1, "handshake": ".5m"}}, {"admin": {"address": "none"}, "state": "none"},
    {"admin": {"address": "unix:run/culvert.sock", "hosts": ["a"], "token_file": "t"}},
    {"admin": {"tls": TLS, "client_ca": "localhost.pem"}}, {"state": "var/culvert.db"}, {"trusted_proxies": []},
    {"log": {"format": "json", "level": "trace"}},
    route(limits={"sessions": 1, "rate": 5, "burst": 10, "handshakes": 3}), route(limits={}),
    {**route(limits={"burst": 10}), **limits(route={"rate": 5})},
    upstream(handshake_timeout="3s", idle_timeout="1h", sni="a_b.example", client_certificate=PAIR, queue={}),
    upstream(queue={"size": 1_000_000, "timeout": "10m"}), health(type="tcp", interval="10ms", timeout="1ms"),
    health(type="http", path="/a?b=%20", host="a.example:80", status=426, rise=1, fall=1000),
    health(type="websocket", path="/", host="[::1]:9000", ping="yes"),
    {"session": {"stall": "none"}}, {"session": {"stall": "0s"}}, {"session": {"stall": "90s"}},
    limits(process={"rate": 1000, "burst": 1, "handshakes": 5000}, address={}, token={"sessions": 10_000_000}),
    limits(http={"first_byte": "5s", "body_rate": "1B", "requests": 1, "idle": "1s", "parked": 1}),
    limits(session={"from_client": {"messages": 1, "message_burst": 5}, "to_client": {"bytes": "1MB"}}),
    limits(session={"to_client": {"messages": 1, "bytes": "1kB", "byte_burst": "1024GiB", "excess": "close"}}),
    limits(session={"fragments": 1, "idle": "1h", "lifetime": "24h"}), limits(session={}),
    limits(memory="64KiB"), limits(memory="16384GiB"),
    {"reload": {"close_code": 1012, "watch": "0s"}}, {"reload": {"close_code": 3000}}, {"reload": {}},
    {"drain": {"delay": "5s", "spread": "30s", "deadline": "1m", "code": 4999}}, {"drain": {"spread": "10m"}},
    {"drain": {"deadline": "0s", "code": 1001}}, {"takeover": "run/takeover.sock"},
    {"client": "/culvert.js"}, {"client": "/~a/.well-known/_polls/b.min.js"}, {"client": "/a/..js"},
    {"client": "${CLIENT:-/culvert.js}"},
    # A variable stands for any value.
    health(type="${T:-http}", status="${S:-204}"), {"drain": {"code": "${C:-1012}"}}, limits(memory="${M:-1}GiB"),
    listen(address="${HOST:-127.0.0.1}:8443", proxy_protocol="${ON:-false}"), route(transports=["${T:-websocket}"]),
    server(weight="${WEIGHT:-3}", url="${URL:-ws://a}"),
    {"session": {"hold": "${HOLD:-5s}", "buffer": "${SIZE:-1}MiB"}},
    {"log": {"level": "${LEVEL:-info}"}, "limits": {"connections": "${MANY:-10}"}},
    token(sha256="${D:-" + "0" * 64 + "}"),
    upstream(balance="${B:-consistent_hash}", hash_by="subject"), {"trusted_proxies": ["${P:-10.0.0.0/8}"]},
]

BAD = [
    {"listen": []}, {"listen": None}, {"routes": []}, {"upstreams": {}}, {"sesion": {}}, listen(address="8443"),
    listen(address="127.0.0.1"), listen(address=":8443"), listen(address="*:8443"),
    listen(address="::1:8443"), listen(adress="a:1"), listen(tls={}),
    listen(tls={"certificates": []}), listen(tls={"certificates": [{"certificate": "a"}]}),
    listen(tls={**TLS, "hsts": {}}), listen(tls={**TLS, "hsts": "8760h"}),
    listen(tls={**TLS, "hsts": {"max_age": 31536000}}),
    listen(tls={**TLS, "hsts": {"max_age": "1h", "includeSubDomains": True}}),
    listen(tls={**TLS, "minimum_version": "1.1"}), listen(proxy_protocol=True), listen(proxy_protocol="v2"),
    {**listen(proxy_protocol="yes"), "trusted_proxies": []}, {"routes": [{"path": "/"}]}, route(path="chat"),
    route(path="/a/../b"), route(path="/a//b"), route(path="/.."), route(path="/a\\b"), route(path="/a b"),
    route(host="https://a"), route(host="a:80"), route(host=""), route(origins={"allow": "https://a.example"}),
    route(origins={"allow": ["https://a.example/"]}), route(origins={"allow": ["a.example"]}), route(origins={"allow": ["https://*"]}),
    route(origins={"allow": ["http://a:80:*"]}), route(origins={"allow": ["moz-extension://*:*"]}),
    route(origins={"allow": ["file://*"]}), route(origins={"allow": ["*.example"]}),
    route(origins={"missing": "deny"}), route(origins=None), route(authentication="maybe"), route(transports=[]),
    route(transports=["longpoll"]), route(validate_text="perhaps"),
    route(carriers={"cookie": True}), route(carriers={"query_parameter": "on"}), route(carriers={"cookie": "~"}),
    {"authentication": {"identity_header": False}}, {"authentication": {"identity_header": "none"}}, {"state": "off"},
    {"state": False}, {"takeover": "none"}, {"takeover": False},
    route(carriers={"cookie": "a b"}), route(carriers={"header": True}), route(carriers={"subprotocol": "bearer."}), route(carriers=None), token(sha256="abc"), token(sha256="(redacted)"),
    token(subject=""), token(subject="ä"), token(routes=["a"]), token(routes=[]), token(routes="/"), token(expires="tomorrow"),
    token(expires="2027-01-01"), {"authentication": {"tokens": [{"id": "a"}]}},
    {"authentication": {"close_code": 1008}},
    {"authentication": {"close_code": "4000s"}}, {"authentication": {"cookie": "a b"}}, jwt(issuer=[]), jwt(leeway=5),
    jwt(keys=[{"id": "k", "algorithm": "HS256"}]), jwt(keys=[{"algorithm": "HS256", "secret": SECRET}]),
    jwt(keys=[{"id": "k", "algorithm": "none", "secret": SECRET}]), jwt(jwks=[{}]),
    jwt(jwks=[{"url": "http://a/jwks"}]),
    jwt(keys=[{"id": "k", "algorithm": "HS256", "secret": SECRET, "pem": "x"}]), jwt(claims={"sub": "x"}),
    jwt(jwks=[{"file": "a", "url": "https://a"}]), jwt(jwks=[{"file": "localhost.pem", "ca": "localhost.pem"}]),
    server(url="http://a"), server(url="ws://me:secret@a"), server(url="ws://a?b"), server(url="ws://"),
    server(weight=0),
    server(weight=1001), server(max_sessions=0), server(port=1), upstream(servers=[]), upstream(balance="least"),
    upstream(hash_by="subject"), upstream(balance="consistent_hash", hash_by="cookie"), upstream(retries=11),
    upstream(connect_timeout="0s"), upstream(connect_timeout=5), upstream(eject={"failures": -1}),
    upstream(eject={"tim": "1s"}), upstream(proxy_protocol="v3"), upstream(proxy_protocol=True),
    {"session": {"hold": 25}}, {"session": {"hold": "25"}}, {"session": {"hold": "25 s"}}, {"session": {"hold": "1d"}},
    {"session": {"hold": ["25s"]}}, {"session": ["hold"]}, {"session": {"buffer": "1mib"}},
    {"limits": {"message": 1048576}}, limits(message="all"), limits(message={"from_client": 1}), limits(message=[]),
    limits(message={"from": "1MiB"}), route(limits={"message": 5}), route(limits={"message": {"from_client": "0B"}}),
    {"limits": {"message": "0B"}}, {"limits": {"connections": 0}}, {"limits": {"connections": 1.5}},
    {"admin": {"address": "unix:"}}, {"admin": {"address": "9901"}}, {"admin": {"client_ca": "localhost.pem"}},
    {"state": "none"}, {"state": ""}, {"trusted_proxies": ["host"]}, {"trusted_proxies": "10.0.0.0/8"},
    {"trusted_proxies": ["10.0.0.0/8/8"]}, {"log": {"format": "xml"}}, {"log": {"level": "loud"}},
    route(limits={"sessions": 0}), route(limits={"burst": 10}), route(limits={"connections": 1}), route(limits=5),
    {**route(limits={"burst": 10}), **limits(route={"sessions": 5})},
    upstream(handshake_timeout="0s"), upstream(idle_timeout="none"), upstream(sni="10.0.0.1"), upstream(sni="a:443"),
    upstream(sni=""), upstream(client_certificate="localhost.pem"),
    upstream(client_certificate={"certificate": "localhost.pem"}), upstream(queue=100), upstream(queue={"size": 0}),
    upstream(queue={"size": 1_000_001}), upstream(queue={"timeout": "0s"}), health(), health(interval="1s"),
    health(type="icmp"), health(type="tcp", path="/"), health(type="tcp", host="a"), health(type="http", ping=False),
    health(type="tcp", ping=True), health(type="websocket", status=101), health(type="http", path="a"),
    health(type="http", path="/a b"), health(type="http", path="/a#b"), health(type="http", host="https://a"),
    health(type="http", host=""), health(type="http", status=199), health(type="http", status="2xx"),
    health(type="tcp", rise=0), health(type="tcp", fall=1001), health(type="tcp", interval="0s"),
    {"session": {"stall": "never"}}, {"session": {"stall": 60}}, limits(process={"sessions": 5}),
    limits(process={"rate": 0}), limits(process={"burst": 5}), limits(address={"burst": 5}), limits(token={"burst": 5}),
    limits(route={"burst": 5}), limits(address={"rate": 1_000_001}), limits(token={"handshakes": "5s"}),
    limits(http={"first_byte": 5}), limits(http={"body_rate": 1024}), limits(http={"requests": 0}),
    limits(http={"parked": 0}), limits(http={"idle": "none"}), limits(session={"from_client": {}}),
    limits(session={"from_client": {"excess": "close"}}), limits(session={"from_client": {"messages": "1/s"}}),
    limits(session={"to_client": {"bytes": 1024}}), limits(session={"to_client": {"bytes": "1kB", "message_burst": 5}}),
    limits(session={"to_client": {"messages": 1, "byte_burst": "1kB"}}),
    limits(session={"to_client": {"messages": 1, "excess": "drop"}}), limits(session={"fragments": 0}),
    limits(session={"idle": "0s"}), limits(session={"lifetime": 24}), limits(memory="0B"), limits(memory=1 << 30),
    {"reload": {"close_code": 1006}}, {"reload": {"close_code": 2000}}, {"reload": {"close_code": 5000}},
    {"reload": {"watch": 10}}, {"reload": {"watch": "never"}}, {"reload": "10s"}, {"drain": {"code": 1011}},
    {"drain": {"spread": 30}}, {"drain": {"timeout": "30s"}}, {"takeover": ""}, {"takeover": ["a"]},
    {"takeover": "a" * 108},
    {"client": "culvert.js"}, {"client": "/culvert"}, {"client": "/.js"}, {"client": "/a//b.js"}, {"client": True},
    {"client": "/_poll/a.js"}, {"client": "/a/../b.js"}, {"client": "/./b.js"}, {"client": "/a b.js"},
    {"client": "/a?b.js"}, {"client": "/%61.js"}, {"client": ["/a.js"]}, {"client": "/ä.js"}, {"client": ""},
]


def test_the_schema_and_the_parser_agree(tmp_path):
    make_certificate(tmp_path)
    # Of sockets and the database; without them nothing would start.
    for folder in ("run", "var"):
        (tmp_path / folder).mkdir()
    disagreements = []
    for change, is_good in [(c, True) for c in GOOD] + [(c, False) for c in BAD]:
        written = json.dumps({**MINIMAL, **change})
        done = check(tmp_path, written)
        assert done.returncode in (0, 1), done
        found = faults(parse(written))
        if ((done.returncode == 0), not found) != (is_good, is_good):
            disagreements.append((change, is_good, done.stderr.strip(), found))
    assert not disagreements


def test_the_sample_and_what_is_in_effect_for_it_are_right(tmp_path):
    sample = (ROOT / "proxy.yaml").read_text()
    assert sample.startswith("# yaml-language-server: $schema=docs/proxy.schema.json\n")
    assert faults(parse(sample)) == []
    (tmp_path / "certs").mkdir()
    cert, key = make_certificate(tmp_path / "certs", "edge")
    assert {cert.name, key.name} == {"edge.pem", "edge.key"}
    done = check(tmp_path, sample)
    assert done.returncode == 0, done.stderr
    assert faults(parse(done.stdout.replace("(redacted)", digest("change-me")))) == []


def test_what_the_sample_has_as_comments_is_right_too(tmp_path):
    sample = (ROOT / "proxy.yaml").read_text()
    (tmp_path / "certs").mkdir()
    for name in ("edge", "client", "upstream-ca"):
        make_certificate(tmp_path / "certs", name)
    everything = re.sub(r"(?m)^( *)# (?= *(?:- )?[a-z_]+:(?: |$))", r"\1", sample)
    assert faults(parse(everything)) == []
    done = check(tmp_path, everything)
    assert done.returncode == 0, done.stderr
    known = parse(done.stdout)
    assert {"takeover", "trusted_proxies", "client"} <= set(known)
    assert {"health", "queue"} <= set(known["upstreams"]["echo"])
    assert {"address", "token", "session", "memory"} <= set(known["limits"])


def test_the_command_prints_the_schema_of_its_version():
    done = culvert("manual", "--schema")
    assert (done.returncode, done.stdout) == (0, (ROOT / "docs/proxy.schema.json").read_text())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
