"""The rules of the house, and what is allowed to break them until it is mended."""

import collections
import pathlib
import tomllib

import graph
import swift_source

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]


class House:
    def __init__(self, sources, order, sizes):
        self.order, self.sizes = order, sizes
        self.modules = swift_source.modules(sources)
        self.folders = graph.between_folders(self.modules)
        self.imports = graph.between_modules(self.modules)

    @classmethod
    def ours(cls):
        rules = tomllib.loads((HERE / "house.toml").read_text())
        return cls(ROOT / "Sources", rules["order"], rules["sizes"])

    def room(self, module, folder):
        """The folder that the order has: this one, or else the nearest around it. Itself where it has neither."""
        order, outer = self.order.get(module, []), folder
        while outer not in order and "/" in outer:
            outer = outer.rpartition("/")[0]
        return outer if outer in order else folder

    def rank(self, module, folder):
        """The place in the order; None without one."""
        order, room = self.order.get(module, []), self.room(module, folder)
        return order.index(room) if room in order else None

    def between_rooms(self, module):
        """(room, room that it needs) -> references."""
        found = {}
        for (begin, end), references in self.folders[module].items():
            edge = self.room(module, begin), self.room(module, end)
            if edge[0] != edge[1]:
                found.setdefault(edge, set()).update(references)
        return found

    def unplaced(self):
        """Folders that the order does not have, and folders of the order that are no more."""
        found = {(module, file.folder) for module, files in self.modules.items() for file in files}
        listed = {(module, folder) for module, folders in self.order.items() for folder in folders}
        return {it for it in found if self.rank(*it) is None} | (listed - found)

    def upward(self, module):
        """The references from a folder to one that stands after it in the order."""
        return {reference for (begin, end), references in self.folders[module].items()
                if self.rank(module, begin) < self.rank(module, end) for reference in references}

    def circles(self):
        """Each knot of folders or modules: a shortest circle in it, with the references that make it."""
        for module in self.modules:
            edges = self.between_rooms(module)
            for knot in graph.knots(edges):
                inner = {edge: refs for edge, refs in edges.items() if knot.issuperset(edge)}
                yield module, knot, [(begin, end, sorted(inner[begin, end])) for begin, end in pairs(graph.circle(inner))]
        for knot in graph.knots(self.imports):
            inner = {edge: files for edge, files in self.imports.items() if knot.issuperset(edge)}
            yield "modules", knot, [(begin, end, [f"{file} imports {end}" for file in sorted(inner[begin, end])])
                                    for begin, end in pairs(graph.circle(inner))]

    def beyond(self):
        """What is larger than the rules have it: name -> size, for each rule."""
        lines, stored, files = collections.Counter(), collections.Counter(), {}
        for module, of_module in self.modules.items():
            for file in of_module:
                files[f"{module}/{graph.place(file)}"] = file.lines
                for block in file.blocks:
                    name = f"{module}.{'.'.join(block.path)}"
                    lines[name] += block.lines
                    stored[name] += len(block.stored)
        measured = {"lines-of-a-file": files, "lines-of-a-type": lines, "stored-properties": stored}
        return {rule: {name: size for name, size in measured[rule].items() if size > most}
                for rule, most in self.sizes.items()}

    def broken(self):
        """All that breaks a rule, in the form of exceptions.toml."""
        upward = {module: sorted({f"{it.file} names {it.name} of {it.declared_in}" for it in self.upward(module)})
                  for module in self.modules}
        return {"upward": {module: lines for module, lines in upward.items() if lines}, **self.beyond()}


def pairs(circle):
    return list(zip(circle, circle[1:]))


def exceptions():
    return tomllib.loads((HERE / "exceptions.toml").read_text())


def compare(broken, allowed):
    """What is new, and what is allowed and no longer needed."""
    new, spare = [], []
    for module in sorted(broken["upward"].keys() | allowed.get("upward", {}).keys()):
        now, before = (set(it.get("upward", {}).get(module, ())) for it in (broken, allowed))
        new += [f"{module}: {line}" for line in sorted(now - before)]
        spare += [f"{module}: {line}" for line in sorted(before - now)]
    for rule in sorted(broken.keys() - {"upward"}):
        now, before = broken[rule], allowed.get(rule, {})
        new += [f"{rule}: {name} has {size}" for name, size in sorted(now.items()) if size > before.get(name, 0)]
        spare += [f"{rule}: {name}" for name in sorted(before.keys() - now.keys())]
    return new, spare


def shrunk(broken, allowed):
    """The exceptions that are still needed, each no larger than it is now."""
    left = {"upward": {}}
    for module, before in allowed.get("upward", {}).items():
        kept = sorted(set(before) & set(broken["upward"].get(module, ())))
        if kept:
            left["upward"][module] = kept
    for rule in broken.keys() - {"upward"}:
        left[rule] = {name: min(size, broken[rule][name]) for name, size in allowed.get(rule, {}).items()
                      if name in broken[rule]}
    return left


def written(allowed):
    lines = ["# What breaks the rules of house.toml today. An entry may go, and a number may fall; none may come or grow.",
             "# `Tests/House/house.py --shrink` takes out what is no longer needed."]
    for module, refs in sorted(allowed["upward"].items()):
        if "[upward]" not in lines:
            lines += ["", "[upward]"]
        lines += [f"{module} = [", *(f'    "{ref}",' for ref in refs), "]"]
    for rule in sorted(allowed.keys() - {"upward"}):
        if allowed[rule]:
            lines += ["", f"[{rule}]", *(f'"{name}" = {size}' for name, size in sorted(allowed[rule].items()))]
    return "\n".join(lines) + "\n"
