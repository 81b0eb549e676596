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
    "CulvertServer/Config/", "CulvertServer/Gate/JWT/JWTConfig", "CulvertServer/Admin/HTTP/AdminToken",
    "CulvertServer/Browser/BrowserClient", "CulvertServer/Listener/ListeningSocket", "CulvertServer/Listener/Takeover",
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
