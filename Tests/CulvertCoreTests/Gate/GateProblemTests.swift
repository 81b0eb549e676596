import CulvertCore
import Foundation
import Testing

@Suite struct GateProblemTests {
    /// Clients read it: the shape does not change.
    @Test func theShapeIsConstant() {
        #expect(Problem.mediaType == "application/problem+json")
        let plain = Problem.json(status: 404, code: "no_route", title: "Not Found", detail: "Nothing is served here.")
        #expect(
            plain == #"{"type":"urn:culvert:problem:no_route","title":"Not Found","status":404,"#
                + #""detail":"Nothing is served here."}"# + "\n")
        let extended = Problem.json(
            status: 409, code: "gap", title: "Conflict", detail: "", extra: [("expected", "7"), ("x", "\"y\"")])
        #expect(
            extended == #"{"type":"urn:culvert:problem:gap","title":"Conflict","status":409,"detail":"","#
                + #""expected":7,"x":"y"}"# + "\n")
    }

    @Test(arguments: [
        "", "plain", "\"", "\\", "\\\"", "\n\r\t", "\0", "\u{1}\u{1F}\u{7F}", "\u{2028}\u{2029}", "é", "😀", "\r\n",
        "\"\u{301}", "\\\u{301}", "</script>", #"","status":200,"x":""#,
    ])
    func anyTextComesBackAsItWas(_ text: String) throws {
        let json = Problem.json(status: 400, code: "x", title: text, detail: text, extra: [(text + "!", "true")])
        let parsed = try JSONSerialization.jsonObject(with: Data(json.utf8))
        let object = try #require(parsed as? [String: Any])
        #expect((object["title"] as? String)?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
        #expect((object["detail"] as? String)?.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
        #expect(object["status"] as? Int == 400)
        #expect(object[text + "!"] as? Bool == true)
        #expect(object.count == 5)
        #expect(Problem.quote(text).utf8.allSatisfy { $0 >= 0x20 })
    }
}
