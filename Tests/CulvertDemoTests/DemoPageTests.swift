import CulvertDemo
import Testing

@Suite("Demo page")
struct DemoPageTests {
    @Test(
        "A token cannot leave its attribute",
        arguments: ["\"><script>alert(1)</script>", "<!--", "&quot;", "%SCRIPT%", "%STYLE%", "'", "a&b"]
    )
    func tokenIsQuoted(token: String) throws {
        let page = DemoPage.html(token: token)
        let value = try #require(page.split(separator: "<meta name=\"culvert-token\" content=\"").last)
        let rest = value.dropFirst(DemoPage.attribute(token).count)
        #expect(value.hasPrefix(DemoPage.attribute(token)) && rest.hasPrefix("\">\n"))
        #expect(!DemoPage.attribute(token).contains(where: { "\"<%".contains($0) }))
        #expect(page.utf8.count - DemoPage.html(token: "").utf8.count == DemoPage.attribute(token).utf8.count)
    }

    @Test("There is one script and one style, which end where they should, and a policy that knows both")
    func oneDocument() {
        let page = DemoPage.html(token: "t")
        for tag in ["<script", "</script", "<style", "</style"] {
            #expect(page.split(separator: tag, omittingEmptySubsequences: false).count == 2, "\(tag)")
        }
        #expect(page.split(separator: "'sha256-").count == 3)
        #expect(!page.contains("unsafe-"))
        for placeholder in ["%POLICY%", "%TOKEN%", "%STYLE%", "%SCRIPT%"] { #expect(!page.contains(placeholder)) }
    }

    @Test("The page asks nobody but its own edge for anything")
    func nothingExternal() {
        let page = DemoPage.html(token: "t").replacing("http://www.w3.org/2000/svg", with: "")
        #expect(!page.contains("http://") && !page.contains("https://") && !page.contains("src="))
        #expect(page.contains("from \"/culvert.js\""))
        #expect(page.contains("default-src 'none'"))
    }

    @Test("What the page does on an event, and how it looks, is not in its attributes")
    func noInlineHandlers() {
        #expect(DemoPage.html(token: "t").firstMatch(of: /<[a-z][^>]*\s(on[a-z]+|style)=/) == nil)
    }
}
