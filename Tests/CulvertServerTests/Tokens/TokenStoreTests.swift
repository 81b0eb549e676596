import Foundation
import Testing

@testable import CulvertServer

@Suite("Token store")
struct TokenStoreTests {
    @Test("What is asked of a store that is closed fails, and does not end the process")
    func closed() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let store = try TokenStore(path: folder.appendingPathComponent("culvert.db").path)
        #expect(try store.all().isEmpty)
        store.close()
        store.close()
        #expect(throws: StoreError.self) { try store.all() }
        #expect(throws: StoreError.self) { try store.dataVersion() }
    }
}
