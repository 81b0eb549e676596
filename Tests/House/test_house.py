"""The house holds: folders and modules without circles, files and types of bounded size. house.toml has the rules."""


import pytest

import graph
import rules


@pytest.fixture(scope="module")
def house():
    return rules.House.ours()


def test_every_folder_has_its_place_in_the_order(house):
    assert not house.unplaced()


def test_nothing_breaks_the_rules_but_what_is_excepted(house):
    new, _ = rules.compare(house.broken(), rules.exceptions())
    assert not new, "\n".join(new)


def test_exceptions_only_shrink(house):
    _, spare = rules.compare(house.broken(), rules.exceptions())
    assert not spare, "run Tests/House/house.py --shrink:\n" + "\n".join(spare)


def test_modules_and_folders_have_no_circle_but_what_is_excepted(house):
    excepted = {(module, line) for module, lines in rules.exceptions().get("upward", {}).items() for line in lines}
    for module, _, steps in house.circles():
        assert any((module, f"{it.file} names {it.name} of {it.declared_in}") in excepted
                   for _, _, references in steps for it in references), steps


# --- the checker finds what is planted -----------------------------------------------------------------------------------

ORDER = {"Sample": ["Low", "High"]}
SIZES = {"lines-of-a-file": 20, "lines-of-a-type": 12, "stored-properties": 3}
LOW = "/// The ground.\nstruct Ground {\n    var height = 1\n}\n"
HIGH = "struct Tower {\n    var ground: Ground\n}\n"


def sample(folder, **files):
    """A house whose module Sample has a file of each name, below Low or High."""
    for name, text in files.items():
        path = folder / "Sample" / name.split("_")[0] / f"{name.split('_')[1]}.swift"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return rules.House(folder, ORDER, SIZES)


def names(house):
    return [f"{it.file} names {it.name}" for it in sorted(house.upward("Sample"))]


def test_a_house_in_order_has_no_circle(tmp_path):
    house = sample(tmp_path, Low_Ground=LOW, High_Tower=HIGH)
    assert not list(house.circles()) and not names(house)
    assert not any(house.beyond().values())


@pytest.mark.parametrize("text", [
    "extension Ground {\n    func built() -> Tower? { nil }\n}\n",
    "struct Cellar {\n    var above: [String: Tower.Floor?] = [:]\n}\n",
    'let name = "\\(Tower.self)"\n',
    "enum Cellar {\n    static func dig(_ body: () -> Void) { body() }\n    case one\n    var it: Any { Tower() }\n}\n",
])
def test_a_planted_circle_is_found_and_shown(tmp_path, text):
    house = sample(tmp_path, Low_Ground=LOW, High_Tower=HIGH, Low_Planted=text)
    [(module, knot, steps)] = house.circles()
    assert (module, knot) == ("Sample", {"Low", "High"})
    assert {(begin, end) for begin, end, _ in steps} == {("Low", "High"), ("High", "Low")}
    shown = [str(it) for _, _, references in steps for it in references]
    assert any(line.startswith("Low/Planted.swift:") and "names Tower of High/Tower.swift" in line for line in shown), shown
    assert names(house) == ["Low/Planted.swift names Tower"]


def test_a_function_that_another_folder_adds_to_a_type_counts(tmp_path):
    house = sample(tmp_path, Low_Ground=LOW, High_Tower=HIGH + "extension Ground {\n    func carryTower() {}\n}\n",
                   Low_Planted="func stand(on ground: Ground) { ground.carryTower() }\n")
    assert names(house) == ["Low/Planted.swift names Ground.carryTower"]


def test_a_circle_over_three_folders_is_shown_whole(tmp_path):
    edges = {("A", "B"), ("B", "C"), ("C", "A"), ("A", "D")}
    assert graph.circle(edges) == ["A", "B", "C", "A"]
    assert graph.knots(edges) == [{"A", "B", "C"}]


def test_words_of_comments_and_texts_and_types_of_the_same_name_inside_do_not_count(tmp_path):
    house = sample(tmp_path, Low_Ground=LOW, High_Tower=HIGH, Low_Planted='''
// A Tower stands here.
/* Tower /* Tower */ Tower */
let text = "Tower"
let long = #"""
    Tower \\(Tower)
    """#
struct Own {
    struct Tower {}
    var tower: Tower
    func other() { _ = Name.Tower() }
}
''')
    assert not names(house)


def test_a_circle_between_modules_is_found(tmp_path):
    for module, other in (("One", "Two"), ("Two", "One")):
        (tmp_path / module).mkdir()
        (tmp_path / module / "File.swift").write_text(f"package import {other}\n")
    [(kind, knot, steps)] = rules.House(tmp_path, {"One": ["."], "Two": ["."]}, SIZES).circles()
    assert (kind, knot) == ("modules", {"One", "Two"})
    assert "File.swift imports Two" in str(steps)


def test_sizes_are_those_of_all_extensions(tmp_path):
    body = "".join(f"    func verb{number}() {{}}\n" for number in range(6))
    house = sample(tmp_path, Low_Ground="struct Ground {\n" + body + "}\n", High_Tower="extension Ground {\n" + body + "}\n",
                   Low_Long="\n" * 21)
    assert house.beyond() == {"lines-of-a-file": {"Sample/Low/Long.swift": 21}, "lines-of-a-type": {"Sample.Ground": 16},
                              "stored-properties": {}}


def test_stored_properties_are_told_from_computed_ones(tmp_path):
    house = sample(tmp_path, High_Tower="", Low_Ground='''
struct Ground {
    static let none = 0
    let one: Int
    private(set) var two: [String: (Int) -> Void] = [:]
    var three = { 3 }()
    var four: Int { 4 }
    var five: Int {
        get { 5 }
    }
    var six = 6 {
        didSet { let seven = 7; print(seven) }
    }
    @Wrapped var eight: Int?
    init() {
        let nine = 9
    }
}
''')
    assert house.beyond()["stored-properties"] == {"Sample.Ground": 5}


def test_an_exception_that_is_not_needed_or_grows_is_told():
    broken = {"upward": {"M": ["a names b of c"]}, "lines-of-a-file": {"F": 510, "G": 600}}
    allowed = {"upward": {"M": ["x names y of z"]}, "lines-of-a-file": {"F": 509, "G": 700, "H": 501}}
    assert rules.compare(broken, allowed) == (["M: a names b of c", "lines-of-a-file: F has 510"],
                                              ["M: x names y of z", "lines-of-a-file: H"])
    assert rules.shrunk(broken, allowed) == {"upward": {}, "lines-of-a-file": {"F": 509, "G": 600}}
