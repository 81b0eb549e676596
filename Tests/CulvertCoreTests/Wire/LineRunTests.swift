import Testing

@testable import CulvertCore

@Suite("Runs of lines")
struct LineRunTests {
    @Test(
        "No more lines are taken than there is room for, and bytes without an end of a line take no room",
        arguments: [
            ("", 2, 0, 2), ("a", 2, 1, 2), ("a\n", 2, 2, 1), ("a\nb\n", 2, 4, 0), ("a\nb\nc", 2, 4, 0),
            ("\n\n\n\n", 2, 2, 0), ("a\r\nb", 2, 4, 1), ("a\nb", 0, 0, 0),
        ])
    func length(text: String, most: Int, taken: Int, left: Int) {
        var room = most
        let count = Array(text.utf8).withUnsafeBytes { LineRun.length($0, room: &room) }
        #expect(count == taken)
        #expect(room == left)
    }
}
