import Foundation
import Testing

@testable import CulvertConfig

@Suite("Configuration: the documents that are made from the table of keys")
struct ConfigDocumentTests {
    private static func document(_ name: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: "docs/\(name)"), encoding: .utf8)
    }

    @Test("docs/proxy.schema.json is what `culvert manual --schema` prints")
    func schema() throws {
        #expect(try Self.document("proxy.schema.json") == ConfigSchema.text)
    }

    @Test("The tables of docs/configuration.md are what `culvert manual --keys docs/configuration.md` writes")
    func tables() throws {
        let document = try Self.document("configuration.md")
        #expect(ConfigReference.updated(document) == document)
    }

    @Test("Every key is in a table of docs/configuration.md")
    func complete() throws {
        let document = try Self.document("configuration.md")
        #expect(ConfigReference.faults(document) == [])
        let cut = document.replacing("<!-- keys: proxy.yaml -->", with: "<!-- keys: sesion -->")
        #expect(ConfigReference.faults(cut).prefix(2) == ["sesion is no section", "admin is in no table"])
        let mixed = document.replacing("<!-- keys: session -->", with: "<!-- keys: session drain -->")
        #expect(ConfigReference.faults(mixed) == ["drain has other keys than session"])
    }

    @Test("A request to drain has the keys of the section `drain` in docs/openapi.json")
    func drain() throws {
        let document = try JSONSerialization.jsonObject(with: Data(Self.document("openapi.json").utf8))
        let components = (document as? [String: Any])?["components"] as? [String: Any]
        let schemas = components?["schemas"] as? [String: Any]
        let request = schemas?["DrainRequest"] as? [String: Any]
        let properties = try #require(request?["properties"] as? [String: Any])
        #expect(properties.keys.sorted() == DrainSection.names.sorted())
    }

    @Test("A required key has an example, and a sentence ends as one")
    func entries() {
        for (path, key) in RootSection.paths() {
            #expect(key.summary.hasSuffix("."), "\(path)")
            #expect(key.note.isEmpty || key.note.hasSuffix("."), "\(path)")
            if key.isRequired, key.kind.sections.isEmpty { #expect(key.example != nil, "\(path)") }
        }
    }
}
