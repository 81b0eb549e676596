"""What a Swift file declares and names, read without a compiler: enough of the language's grammar for the rules of the house."""

import dataclasses
import pathlib
import re

TOKEN = re.compile(r"`?[A-Za-z_][A-Za-z0-9_]*`?|->|[0-9][0-9A-Za-z_.]*|[#@]?[^\sA-Za-z0-9_`]")
TYPE_KINDS = {"struct", "class", "enum", "actor", "protocol", "typealias", "associatedtype"}
# After `class`, these make a member of a class and no type.
CLASS_MEMBER = {"func", "var", "let", "subscript", "override", "final"}
STARTS = {"case", "func", "init", "deinit", "subscript", "static", "class", "struct", "enum", "extension", "protocol", "actor",
          "private", "fileprivate", "package", "public", "internal", "var", "let", "lazy", "weak", "unowned", "nonisolated",
          "final", "override", "mutating", "typealias", "indirect", "associatedtype"}
OPEN, CLOSE = set("([{"), set(")]}")


@dataclasses.dataclass(frozen=True)
class Token:
    text: str
    line: int


@dataclasses.dataclass
class TypeDeclaration:
    """A type, at `path` within its file: ("Session", "State") is State inside of Session."""
    path: tuple
    kind: str
    file: "SwiftFile"
    is_file_only: bool


@dataclasses.dataclass
class Block:
    """The lines of a type's body or of an extension of it."""
    path: tuple
    kind: str
    lines: int
    stored: list
    # Of an extension, what it says before its members: "private", "fileprivate", or anything else.
    access: str = ""


@dataclasses.dataclass
class Use:
    """An identifier, what stands before and behind it, and the types around it."""
    name: str
    line: int
    before: str
    after: str
    chain: tuple
    scope: tuple


@dataclasses.dataclass
class Member:
    """A function or property that other files can name: `owner` is the path of the type or extension around it, () at the top
    of a file."""
    name: str
    owner: tuple
    is_in_extension: bool


@dataclasses.dataclass
class SwiftFile:
    path: pathlib.Path
    module: str
    folder: str
    imports: set
    lines: int
    types: list
    blocks: list
    members: list
    uses: list

    @property
    def name(self):
        return self.path.name


def without_comments(text):
    """The code alone. Comments and the words of string literals become blanks; code that a literal interpolates stays."""
    out, at, end = [], 0, len(text)

    def blank(piece):
        out.append(re.sub(r"[^\n]", " ", piece))

    def literal(at):
        begin = at
        hashes = 0
        while text[at] == "#":
            hashes, at = hashes + 1, at + 1
        quote = '"""' if text.startswith('"""', at) else '"'
        close, escape = quote + "#" * hashes, "\\" + "#" * hashes
        at += len(quote)
        blank(text[begin:at])
        while at < end:
            if text.startswith(close, at):
                blank(close)
                return at + len(close)
            if text.startswith(escape + "(", at):
                blank(escape)
                at = code(at + len(escape), inside=True)
            elif text.startswith(escape, at):
                blank(text[at:at + len(escape) + 1])
                at += len(escape) + 1
            else:
                blank(text[at])
                at += 1
        return at

    def code(at, inside=False):
        depth = 0
        while at < end:
            if text.startswith("//", at):
                stop = text.find("\n", at)
                stop = end if stop < 0 else stop
                blank(text[at:stop])
                at = stop
            elif text.startswith("/*", at):
                stop, nested = at + 2, 1
                while stop < end and nested:
                    if text.startswith("/*", stop):
                        nested, stop = nested + 1, stop + 2
                    elif text.startswith("*/", stop):
                        nested, stop = nested - 1, stop + 2
                    else:
                        stop += 1
                blank(text[at:stop])
                at = stop
            elif re.match(r'#*"', text[at:at + 8]):
                at = literal(at)
            else:
                out.append(text[at])
                depth += (text[at] == "(") - (text[at] == ")")
                at += 1
                if inside and depth == 0:
                    return at
        return at

    code(0)
    return "".join(out)


def tokens_of(text):
    return [Token(match[0].strip("`"), number) for number, line in enumerate(without_comments(text).split("\n"), 1)
            for match in TOKEN.finditer(line)]


def is_stored(tokens, at):
    """Whether the property whose name stands at `at` is stored: it has a value or observers, or no body."""
    depth, line = 0, tokens[at].line
    for index in range(at + 1, len(tokens)):
        text = tokens[index].text
        if depth == 0:
            if text == "=":
                return True
            if text == "{":
                return tokens[index + 1].text in ("willSet", "didSet")
            if text in ("}", ";") or tokens[index].line > line and (text in STARTS or text.startswith(("@", "#"))):
                return True
        depth += (text in "([<") - (text in ")]>")
        line = tokens[index].line
    return True


def read(path, module, folder):
    text = path.read_text()
    tokens = tokens_of(text)
    file = SwiftFile(path, module, folder, set(), len(text.splitlines()), [], [], [], [])
    scopes = []          # (path or None, Block or None, parentheses open outside of it) of each open brace
    pending = None       # what the next brace at `parens` opens
    parens = 0
    skip = -1

    def around():
        return next((path for path, *_ in reversed(scopes) if path is not None), ())

    for at, token in enumerate(tokens):
        word = token.text
        before = tokens[at - 1].text if at else ""
        after = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if at <= skip:
            continue
        if word == "import" and before != ".":
            first = at + 2 if after in ("struct", "class", "enum", "func", "protocol", "typealias") else at + 1
            file.imports.add(tokens[first].text)
            skip = first
            continue
        is_type = word in TYPE_KINDS and before != "." and re.match(r"[A-Z]", after)
        if is_type and not (word == "class" and (after in CLASS_MEMBER or before == ":")):
            path = around() + (after,)
            modifiers = {tokens[index].text for index in range(max(0, at - 4), at) if tokens[index].line == token.line}
            file.types.append(TypeDeclaration(path, word, file, bool(modifiers & {"private", "fileprivate"})))
            if word not in ("typealias", "associatedtype"):
                pending = (parens, path, Block(path, word, token.line, []))
            skip = at + 1
            continue
        if word == "extension" and before != "." and re.match(r"[A-Z]", after):
            path, index = [after], at + 2
            while index + 1 < len(tokens) and tokens[index].text == ".":
                path.append(tokens[index + 1].text)
                index += 2
            pending = (parens, tuple(path), Block(tuple(path), word, token.line, [], before))
        elif word in ("func", "var", "let") and before != "." and (word == "func" or re.match(r"[a-z_(]", after)):
            inner = scopes[-1] if scopes else ((), None, 0)
            if inner[0] is not None and parens == 0:
                block = inner[1]
                modifiers = {tokens[index].text for index in range(max(0, at - 4), at) if tokens[index].line == token.line}
                if not (modifiers | {block.access if block else ""}) & {"private", "fileprivate"} or "set" in modifiers:
                    file.members.append(Member(after, around(), block is not None and block.kind == "extension"))
                if word != "func" and block and block.kind != "protocol" and "static" not in modifiers and is_stored(tokens, at + 1):
                    block.stored.append(after)
            if word == "func":
                pending = (parens, None, None)
        if word == "{":
            if pending and pending[0] == parens:
                scopes.append((pending[1], pending[2], parens))
                pending = None
            else:
                scopes.append((None, None, parens))
            parens = 0
        elif word == "}" and scopes:
            path, block, parens = scopes.pop()
            pending = None
            if block:
                block.lines = token.line - block.lines + 1
                file.blocks.append(block)
        elif word in "([":
            parens += 1
        elif word in ")]":
            parens -= 1
        elif re.match(r"[A-Za-z_]", word):
            chain, index = (), at + 1
            while index + 1 < len(tokens) and tokens[index].text == "." and re.match(r"[A-Z]", tokens[index + 1].text):
                chain += (tokens[index + 1].text,)
                index += 2
            file.uses.append(Use(word, token.line, before, after, chain, around()))
    return file


def modules(sources):
    """The files of each module below `sources`. A file's folder is its path within its module, "." at the top of it."""
    found = {}
    for path in sorted(pathlib.Path(sources).rglob("*.swift")):
        module, *inner = path.relative_to(sources).parts[:-1]
        found.setdefault(module, []).append(read(path, module, "/".join(inner) or "."))
    return found
