"""Text from peers is split, compared and searched by bytes: reads the sources for uses of Swift's Characters.

A Character is a grapheme. In `6.6.6.6:` U+0600 `, 192.0.2.4` there is no Character that is a comma, though every proxy
sees one. `lowercased` folds U+212A to `k`, and two Strings are equal when Unicode calls them equivalent. What is needed
instead is in Sources/CulvertCore/Text. Needs no edge."""

import pathlib
import re

import pytest

SOURCES = pathlib.Path(__file__).parents[2] / "Sources"
# Text in there is not a peer's: the operator's files and arguments, the client's own script, names of own sockets.
EXEMPT = (
    "CulvertAdmin/Check/", "CulvertConfig/", "CulvertCore/Gate/JWTConfig", "CulvertTokens/Store/AdminToken",
    "CulvertEdge/Browser/BrowserClient", "CulvertEdge/Listener/ListeningSocket", "CulvertEdge/Listener/Takeover",
    "culvert/", "CulvertDemo/",
)
# A line, or the line before, says with one of these why it is right there.
MARK = "// By Characters:"
MARKS = (MARK, "// Checked by bytes:")

LITERAL = r'"(?:[^"\\]|\\.)*"'
RULES = {
    "works by Characters": re.compile(
        r"\.((lowercased|uppercased)\(|ranges?\(of:|(hasPrefix|hasSuffix|capitalized|trimmingCharacters|trimmingPrefix"
        r"|components|replacing|replacingOccurrences|wholeMatch|firstMatch|prefixMatch|removingPercentEncoding|addingPercentEncoding|caseInsensitiveCompare|localized\w+|folding|isLetter|isNumber"
        r"|isWhitespace|isNewline|isPunctuation|isHexDigit|hexDigitValue|wholeNumberValue|asciiValue)\b)"),
    "splits at a Character": re.compile(r"\.split\((separator: " + LITERAL + r"|maxSplits: \d+\)|.*\$0 == " + LITERAL + ")"),
    "looks for a Character": re.compile(
        r"\.(firstIndex|lastIndex|contains|prefix|suffix|drop|trimPrefix|first|last|allSatisfy|filter|count|split)"
        r"\s*(\((of: |while: |upTo: |through: |where: )?(\{ *)?(\$0 [=!]= )?" + LITERAL + r"|\{ *\$0 [=!]= " + LITERAL + ")"),
    "compares a Character": re.compile(r"\.(first|last)\??\s*[=!]=\s*" + LITERAL),
    "counts Characters": re.compile(r"\.(dropFirst|dropLast|prefix|suffix|removeFirst|removeLast)\((?!.*utf8)[^)]*\b\w+\.count\b"),
    "makes Characters": re.compile(r"\bCharacter(\(|\.self|>|\])|\bRegex\b|#/|/#|NSRegularExpression|CharacterSet|\.whitespaces"),
    "reads a number by Characters": re.compile(
        r"\blet \w+ = (U?Int(8|16|32|64)?|Double|Float)\((text|digits|value|port|name|number|String\([^)]*\))\)\s*(,|else|\{|\?\?|$)"
        r"|\b(U?Int(8|16|32|64)?|Double|Float)\(\w+\) \?\?"),
}
# By their names these take a part of a String, which is one of bytes where the line works on `utf8`, `unicodeScalars` or
# a literal that is a byte.
BYTES = re.compile(r"utf8|unicodeScalars|UInt8\(ascii:|bytes|Bytes")


def code(line):
    """Without comments, and with strings that hold no quotation mark of their own."""
    return "" if line.lstrip().startswith("//") else re.sub(r"\s//\s.*", "", line)


def findings(name, text):
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        before = text.splitlines()[number - 2] if number > 1 else ""
        if any(mark in line or mark in before for mark in MARKS):
            continue
        for what, rule in RULES.items():
            part = code(line)
            if rule.search(part) and not (what not in ("works by Characters", "makes Characters") and BYTES.search(part)):
                found.append(f"{name}:{number}: {what}: {line.strip()}")
                break
    return found


# Where text of peers goes through. Two Strings are compared, and hashed, as Unicode has it: marks are sorted first, in a
# time that grows with the square of their number. What compares bytes is in Sources/CulvertCore/Text.
PEERS = (
    "CulvertCore/Gate/", "CulvertCore/HTTP/", "CulvertCore/Lane/", "CulvertCore/Wire/", "CulvertCore/LongPoll/",
    "CulvertCore/Text/", "CulvertCore/Upstream/",
    "CulvertAdmin/HTTP/", "CulvertAdmin/Request/", "CulvertAdmin/Resources/",
    "CulvertCore/Fields/", "CulvertEdge/Browser/ClientFiles", "CulvertEdge/HTTP/",
    "CulvertEdge/Requests/", "CulvertEdge/Session/", "CulvertEdge/TLS/PeerName", "CulvertEdge/Transport/",
    "CulvertEdge/Upstream/", "CulvertEdge/WebSocket/", "CulvertTokens/JWT/",
)
NAME = (r"(?i:\w*(name|text|host|path|value|scheme|word|member|subject|query|field|line|authority|protocol|essence|version"
        r"|segment|secret|uri|parameter|mediaType|jti|kid))\b(?!\()")
EQUALITY = {
    "compares with a literal": re.compile(r"[=!]=\s*\[?" + LITERAL + "|" + LITERAL + r"\]?\s*[=!]="),
    "switches over text": re.compile(r"^\s*case\b[^=]*" + LITERAL + r"[^=]*:|^\s*case [\w.]*\.(mediaType|protocol|authProtocol)\b"),
    "looks for an equal text": re.compile(
        r"(?<!FieldValue)\.contains\((?!where|byte|name: |\.|\{)(" + LITERAL + "|" + NAME + r"|\w+\.(protocol|rawValue)\b)"),
    "hashes text": re.compile(r"\bSet<(String|Substring)>|\[(String|Substring): (?!\])|\bDictionary<(String|Substring)"
                              r"|\bSet\((?!.*(FieldName|port|\.id|Case))|\bDictionary\("),
    "compares texts": re.compile(r"(?<![\w.])(\w+[?!]?\.)*" + NAME + r"[?!]?\s[=!]=\s(?!\.|nil\b|[-\d])|\s[=!]=\s(\w+[?!]?\.)*" + NAME),
}
# (file, part of the line): why the texts there are short, or ASCII, or the operator's.
TOKEN = "the request has the admin token, and its names are the operator's"
CLAIMS = "signed by an issuer; JSONValue bounds the names"
KNOWN = "HTTP's parser knows the method, and no other comes here"
OWN = "the operator's, or the program's own"
CHECKED = "ASCII: the gate has checked the path, and identifiers and subjects are such in tokens and in claims"
ALLOWED = {
    ("Gate/Gate.swift", "request.method"): KNOWN, ("Wire/Handshake.swift", "method =="): KNOWN,
    ("Gate/JWTClaimRules.swift", "[String: JSONValue]"): CLAIMS, ("Gate/UnverifiedJWT.swift", "[String: JSONValue]"): CLAIMS,
    ("Gate/PollOpening.swift", "[String: JSONValue]"): "4 KiB; JSONValue bounds the names",
    ("Text/JSONValue.swift", "[String: JSONValue]"): "names that are not ASCII have at most 128 bytes",
    ("Gate/Token.swift", "self.token.id == other.token.id"): CHECKED, ("Gate/TokenKeyring.swift", ""): CHECKED,
    ("Upstream/NameLookups.swift", "[String: "): OWN, ("JWT/", "jwk: [String: JSONValue]"): "of a key, and the operator's",
    ("Gate/JWTKeyMaker.swift", "[String: JSONValue]"): "of a key, and the operator's",
    ("JWT/KeyMaterial+Reading.swift", "case ("): "of a key, and the operator's",
    ("JWT/JWTAuthority.swift", "token.id == jwt.name"): "verified; identifiers are ASCII", ("JWT/JWTAuthority.swift", "ends"): OWN,
    ("JWT/JWTAuthority.swift", "Dictionary("): OWN, ("JWT/JWTAuthority.swift", "ended: [String: Int64]"): "of keys",
    ("JWT/JWTAuthority.swift", "var seen: Set<String>"): "of keys",
    ("Session/Caller.swift", "route.name"): OWN, ("Session/Caller.swift", "error.code"): OWN,
    ("Upstream/ForwardedHeaders.swift", "ofProxies.contains(name)"): "a FieldName, which is bytes",
    ("CulvertAdmin/Request/", ""): TOKEN, ("CulvertAdmin/Resources/", ""): TOKEN,
    ("HTTP/AdminAPI.swift", "case "): TOKEN, ("Session/EdgeContext.swift", "pages"): OWN,
    ("Upstream/WaitingLine.swift", "number.value"): "numbers", ("Session/Session.swift", "self.laneHeld != oldValue"): "numbers",
    ("Session/EdgeContext.swift", "Stage"): OWN, ("HTTP/AdminServer.swift", ""): OWN, ("Gate/JWTConfig.swift", ""): OWN,
    ("Session/EdgeRules.swift", "connectors"): OWN, ("Session/ChangedTokens.swift", "Set<String>"): CHECKED,
    ("Session/Session+Credential.swift", "token.id"): CHECKED, ("Session/Admissions.swift", ""): "of addresses and tokens",
    ("Requests/PolledOpening.swift", 'base == "/"'): CHECKED, ("Requests/RequestDelivery.swift", "subject == "): CHECKED,
    ("Requests/RequestDelivery.swift", "request.basePath == basePath"): CHECKED,
    ("Requests/RequestDelivery.swift", "== request.route"): OWN, ("Requests/ServedFiles.swift", "pages"): OWN,
    ("Session/", "subject"): CHECKED, ("Session/", "basePath"): CHECKED,
}


def equalities(name, text):
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        part = code(line)
        for what, rule in EQUALITY.items():
            if not rule.search(part) or re.search(r"UInt8\(ascii:|\butf8\b|\.count [=!]=|[=!]= nil\b|\.bytes\b|isSame|Bound\b|\.lowercased\b", part):
                continue
            if not any(file in name and piece in line for file, piece in ALLOWED):
                found.append(f"{name}:{number}: {what}: {line.strip()}")
            break
    return found


def test_what_peers_send_is_compared_by_bytes():
    found, count = [], 0
    for path in sorted(SOURCES.rglob("*.swift")):
        name = str(path.relative_to(SOURCES))
        if name.startswith(PEERS):
            count += 1
            found += equalities(name, path.read_text())
    assert count > 60, "the sources are elsewhere"
    assert not found, "\n" + "\n".join(found)


def test_what_peers_send_is_not_taken_apart_by_characters():
    found, count = [], 0
    for path in sorted(SOURCES.rglob("*.swift")):
        name = str(path.relative_to(SOURCES))
        if not name.startswith(EXEMPT):
            count += 1
            found += findings(name, path.read_text())
    assert count > 100, "the sources are elsewhere"
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("line", [
    'let parts = line.split(separator: ",", omittingEmptySubsequences: false)', 'text.split(maxSplits: 1) { $0 == " " }',
    'if name.hasPrefix("bearer.") {', 'let lower = name.lowercased()', 'value.trimmingCharacters(in: .whitespaces)',
    'guard let mark = uri.firstIndex(of: "?") else {', 'host.prefix { $0 != ":" }', 'pair.prefix(while: { $0 != "=" })',
    'if host.contains(where: { $0 == "\\"" }) {', 'if host.contains("@") {', 'parts[0].first == "/"', 'lower.first != "["',
    'pair.dropFirst(name.count + 1)', 'text.removingPercentEncoding', 'text.replacing("+", with: " ")', 'mark.allSatisfy(\\.isHexDigit)',
    'guard let number = UInt64(text) else {', 'let weight = Double(text) ?? 1', 'text.wholeMatch(of: #/a+/#)', 'let c: [Character] = Array(text)',
    'name.replacingOccurrences(of: "_", with: "-")', 'text.components(separatedBy: ",")', 'for c in text where c == Character("a") {',
])
def test_the_check_finds(line):
    assert findings("x.swift", "let a = 1\n" + line), line


@pytest.mark.parametrize("line", [
    'bytes.split(separator: UInt8(ascii: " "))', 'text.split(at: UInt8(ascii: ","))', 'name.begins(with: "bearer.")',
    'text.utf8.first == UInt8(ascii: "/")', '// text.split(separator: ",")', 'let a = text.utf8.prefix { $0 != 0x3D }',
    'servers.contains { $0.hasRoom }', 'list.dropFirst(3)', 'name.asciiLowercased', 'text.decimal(as: UInt64.self)',
    'transports.contains(.webSocket)', 'name.equalsIgnoringCase("upgrade")',
    MARK + ' the most lenient reading is wanted.\nlet a = text.lowercased()',
])
def test_the_check_passes(line):
    assert not findings("x.swift", "let a = 1\n" + line), line


@pytest.mark.parametrize("line", [
    'guard version == ["13"] else { return .version }', 'case PollCodec.binary.mediaType: return .binary',
    'case "text/plain", "application/json": return .json', 'hosts.contains(name)', 'Set(names).isSubset(of: offered)',
    'admission.forwardProtocols.contains(SocketLane.protocol)', 'if type == "a" {', 'var seen: Set<String> = []',
    'var weights: [String: Int] = [:]', 'if host == other.host {', 'names.removeAll { $0 == SocketLane.protocol }',
])
def test_the_check_of_comparisons_finds(line):
    assert equalities("CulvertEdge/Requests/x.swift", line), line


@pytest.mark.parametrize("line", [
    'guard version[0].equals("13") else { return .version }', 'transports.contains(.webSocket)', 'case .text(let name): return name',
    'names.contains(bytesEqualTo: name)', 'if FieldValue.contains(connection, "upgrade") {', 'if path.utf8.first == UInt8(ascii: "/") {',
    'headers.contains(name: "upgrade")', 'guard host == nil else {', 'hosts.contains(where: name.equalsIgnoringCase)',
])
def test_the_check_of_comparisons_passes(line):
    assert not equalities("CulvertEdge/Requests/x.swift", line), line
