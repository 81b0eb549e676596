"""Which folders of a module, and which modules, need each other: by the types, functions and extensions that their files name."""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True, order=True)
class Reference:
    """A file names something that a file of another folder declares."""
    file: str
    line: int
    name: str
    declared_in: str

    def __str__(self):
        return f"{self.file}:{self.line} names {self.name} of {self.declared_in}"


class Declarations:
    """Finds the file that declares what another names."""

    def __init__(self, modules):
        self.types = collections.defaultdict(list)        # path within a module -> declarations
        self.functions = collections.defaultdict(list)    # functions and values at the top of a file
        self.extended = {}                                # module -> name -> (file, path) of a member that an extension adds
        for module, files in modules.items():
            for file in files:
                for declared in file.types:
                    self.types[declared.path].append(declared)
                for member in file.members:
                    if member.owner == ():
                        self.functions[member.name].append(file)
            self.extended[module] = self.members_of_extensions(files)

    @staticmethod
    def members_of_extensions(files):
        """Members that the extension of a type of another folder or of a library adds. A name counts only where a single folder
        declares it: nothing but a type checker can tell which of several is meant."""
        folders, home, found = collections.defaultdict(set), {}, {}
        for file in files:
            for declared in file.types:
                home.setdefault(declared.path, file.folder)
            for member in file.members:
                folders[member.name].add(file.folder)
        for file in files:
            for member in file.members:
                foreign = member.is_in_extension and home.get(member.owner) != file.folder
                if foreign and len(folders[member.name]) == 1 and member.name not in COMMON:
                    found[member.name] = (file, member.owner)
        return found

    def type(self, path, file):
        """The declaration that `path` means in `file`, if it is of these modules."""
        seen = [it for it in self.types.get(path, []) if not it.is_file_only or it.file is file]
        for fits in (lambda it: it.file is file, lambda it: it.file.module == file.module,
                     lambda it: it.file.module in file.imports):
            for it in seen:
                if fits(it):
                    return it
        return None

    def used_by(self, file):
        """(file that declares it, name, line) of everything that `file` names."""
        extended = self.extended[file.module]
        for use in file.uses:
            if use.name[0].isupper():
                if use.before == ".":
                    continue
                found = None
                for depth in range(len(use.scope), -1, -1):
                    found = self.type(use.scope[:depth] + (use.name,), file)
                    if found:
                        break
                if not found:
                    if use.chain and use.name in file.imports:
                        found = self.type(use.chain[:1], file)
                    if not found:
                        continue
                yield found.file, found.path[-1], use.line
                path = found.path
                for name in use.chain:
                    path += (name,)
                    nested = self.type(path, file)
                    if not nested:
                        break
                    yield nested.file, ".".join(path), use.line
                continue
            if use.before in ("func", "var", "let", "case") or use.after == ":":
                continue
            if use.name in extended:
                declared, owner = extended[use.name]
                if use.before == "." or use.scope[:len(owner)] == owner:
                    yield declared, ".".join(owner) + "." + use.name, use.line
            elif use.before != "." and use.after == "(" and use.name in self.functions:
                for declared in self.functions[use.name]:
                    if declared.module == file.module or declared.module in file.imports:
                        yield declared, use.name, use.line
                        break


# Names of the standard library and of SwiftNIO that an extension may have as well.
COMMON = {"append", "body", "close", "count", "debugDescription", "description", "encode", "first", "flush", "hash", "id",
          "index", "isEmpty", "last", "read", "run", "value", "write"}


def between_folders(modules, declarations=None):
    """Module -> (folder, folder that it needs) -> references."""
    declarations = declarations or Declarations(modules)
    found = {}
    for module, files in modules.items():
        edges = found[module] = collections.defaultdict(set)
        for file in files:
            for declared, name, line in declarations.used_by(file):
                if declared.module == module and declared.folder != file.folder:
                    edges[file.folder, declared.folder].add(Reference(place(file), line, name, place(declared)))
    return found


def between_modules(modules):
    """(module, module that it imports) -> files."""
    edges = collections.defaultdict(set)
    for module, files in modules.items():
        for file in files:
            for other in file.imports & modules.keys() - {module}:
                edges[module, other].add(place(file))
    return edges


def place(file):
    return file.name if file.folder == "." else f"{file.folder}/{file.name}"


def circle(edges):
    """A shortest circle as a list of nodes, of which the first is the last, or None."""
    nexts = collections.defaultdict(list)
    for begin, end in sorted(edges):
        nexts[begin].append(end)
    shortest = None
    for start in sorted(nexts):
        came, line = {}, collections.deque([start])
        while line:
            node = line.popleft()
            for other in nexts[node]:
                if other == start:
                    path = [node]
                    while path[-1] != start:
                        path.append(came[path[-1]])
                    path = path[::-1] + [start]
                    if shortest is None or len(path) < len(shortest):
                        shortest = path
                    line.clear()
                    break
                if other not in came and other != start:
                    came[other] = node
                    line.append(other)
    return shortest


def knots(edges):
    """The sets of two and more nodes each of which reaches each other: Tarjan's strongly connected components."""
    nexts = collections.defaultdict(list)
    for begin, end in sorted(edges):
        nexts[begin].append(end)
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in nexts[node]:
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            knot = set()
            while node not in knot:
                knot.add(stack.pop())
            if len(knot) > 1:
                found.append(knot)

    for node in sorted(nexts):
        if node not in number:
            visit(node)
    return found
