import Testing

@testable import CulvertCore

@Suite("Names of fields as upstreams fold them")
struct FieldNamesTests {
    @Test("Finds a name in each spelling, in lists of any length", arguments: [0, 1, 14, 15, 16, 200])
    func spellings(others: Int) {
        let names = FieldNames((0..<others).map { "x-other-\($0)" } + ["X-Forwarded_User", "b"])
        for found in ["x-forwarded-user", "X.Forwarded.User", "x_forwarded_user", "X-FORWARDED-USER", "B"] {
            #expect(names.includes(found), "\(found)")
        }
        for other in ["", "x-forwarded-use", "x-forwarded-users", "xforwardeduser", "a", "x-forwarded-us\u{E9}r"] {
            #expect(!names.includes(other), "\(other)")
        }
        #expect(names.includes("x-other-0") == (others > 0))
    }

    @Test("A list without names has none")
    func empty() {
        #expect(!FieldNames([]).includes(""))
        #expect(!FieldNames([]).includes("a"))
    }
}
