import CulvertCore
import Testing

@Suite("Text of peers that is shown")
struct ShownTextTests {
    @Test(
        "It is cleaned and cut",
        arguments: [
            ("plain text", 20, "plain text"), ("", 0, ""), ("abc", 3, "abc"), ("abcd", 3, "abc…"),
            ("\u{1B}[31mred\u{7F}", 20, "?[31mred?"), ("a\r\nb\tc", 20, "a??b?c"),
            ("a\u{202E}b\u{2028}c\u{85}d", 20, "a?b?c?d"), ("größe", 20, "größe"), ("größe", 3, "gr…"),
            ("größe", 4, "grö…"), ("👍👍", 7, "👍…"),
            // The disguise of the byte 0xE9, and the characters beside the range of disguises.
            ("caf\u{10FEE9} x", 20, "caf? x"), ("\u{10FE80}\u{10FEFF}\u{10FE80}", 2, "??…"),
            ("\u{10FE7F}\u{10FF00}", 20, "\u{10FE7F}\u{10FF00}"),
        ])
    func clean(text: String, limit: Int, expected: String) {
        #expect(Array(ShownText.clean(text, limit: limit).utf8) == Array(expected.utf8))
    }
}
