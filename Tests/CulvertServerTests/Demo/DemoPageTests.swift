import CulvertDemo
import Testing

@Suite("Demo page")
struct DemoPageTests {
    @Test(
        "A token cannot leave its script",
        arguments: ["</script><script>alert(1)//", "<!--", "\"; alert(1); \"", "\\", "\n", "\u{2028}", "${1}", "'"]
    )
    func tokenIsQuoted(token: String) {
        let page = DemoPage.html(token: token)
        #expect(page.utf8.count > 5_000)
        let literal = DemoPage.scriptString(token)
        #expect(page.contains("const token = \(literal);"))
        #expect(literal.dropFirst().dropLast().utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "<") })
        #expect(!literal.dropFirst().dropLast().contains("\""))
        #expect(page.split(separator: "<script>", omittingEmptySubsequences: false).count == 2)
        #expect(page.split(separator: "</script>", omittingEmptySubsequences: false).count == 2)
    }

    @Test(
        "A script string says the same in UTF-16",
        arguments: [
            ("abc-._~9", #""abc-._~9""#), ("é", #""\u00e9""#), ("😀", #""\ud83d\ude00""#), ("\\\"", #""\u005c\u0022""#),
        ]
    )
    func scriptStrings(text: String, expected: String) {
        #expect(DemoPage.scriptString(text) == expected)
    }

    @Test("The page asks nobody for anything")
    func nothingExternal() {
        let page = DemoPage.html(token: "t")
        #expect(!page.contains("http://"))
        #expect(!page.contains("https://"))
        #expect(!page.contains("src="))
        #expect(page.contains("default-src 'none'"))
    }

    @Test(
        "Both sides can be driven by their ids",
        arguments: [
            "ws-state", "ws-log", "ws-input", "ws-send", "poll-state", "poll-log", "poll-input", "poll-send",
        ]
    )
    func ids(id: String) {
        #expect(DemoPage.html(token: "t").split(separator: "id=\"\(id)\"", omittingEmptySubsequences: false).count == 2)
    }
}
