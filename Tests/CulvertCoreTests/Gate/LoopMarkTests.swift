import Testing

@testable import CulvertCore

@Suite("Requests that come back")
struct LoopMarkTests {
    private static let mark = LoopMark(random: (0x1234, .max))

    @Test("A member is a token, of one length, and random")
    func member() {
        #expect(Self.mark.member == "culvert-0000000000001234ffffffffffffffff")
        #expect(LoopMark(random: (0, 0)).member.utf8.count == Self.mark.member.utf8.count)
    }

    @Test(
        "A process finds its own member wherever it stands, whatever stands in front",
        arguments: [
            ("", ""), ("a, ", ""), ("", ", b"), ("a;x=\", ", ""), ("a;x=\"\\\", ", ";v=1"), ("a,b,", ",c"),
            (String(repeating: "a,", count: 1000), ""), ("\u{600}", "\u{301}"),
        ])
    func returned(before: String, after: String) {
        let line = before + Self.mark.member + after
        #expect(Self.mark.finding(in: [line]) == .returned)
        #expect(Self.mark.finding(in: ["a;x=\"", line, "d"]) == .returned)
    }

    @Test("Other processes and other proxies pass, up to a number of them")
    func others() {
        let other = LoopMark(random: (1, 2)).member
        #expect(Self.mark.finding(in: []) == .passes)
        #expect(Self.mark.finding(in: ["cdn.example;v=1, \(other)", other]) == .passes)
        for count in 1..<LoopMark.most {
            #expect(Self.mark.finding(in: Array(repeating: other, count: count)) == .passes)
            #expect(Self.mark.finding(in: [Array(repeating: other, count: count).joined(separator: ",")]) == .passes)
        }
        for count in [LoopMark.most, 1000] {
            #expect(Self.mark.finding(in: Array(repeating: other, count: count)) == .tooMany)
            #expect(Self.mark.finding(in: [Array(repeating: other, count: count).joined(separator: ", ")]) == .tooMany)
        }
    }
}
