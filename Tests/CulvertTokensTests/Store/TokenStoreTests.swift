import Foundation
import Glibc
import Testing

@testable import CulvertTokens

@Suite("Token store")
struct TokenStoreTests {
    private static func inFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "culvert-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private static func mode(_ path: String) -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber)?.intValue
    }

    @Test("A file that is no database keeps its mode, and one that is a database is its owner's alone")
    func modes() throws {
        try Self.inFolder { folder in
            let wrong = folder + "/ca.pem"
            let text = String(repeating: "-----BEGIN CERTIFICATE-----\n", count: 100)
            try Data(text.utf8).write(to: URL(filePath: wrong))
            chmod(wrong, 0o644)
            let error = #expect(throws: StoreError.self) { try TokenStore(path: wrong) }
            #expect(error?.description.contains("file is not a database") == true)
            #expect(Self.mode(wrong) == 0o644)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["ca.pem"])

            let right = folder + "/culvert.db"
            try TokenStore(path: right).close()
            chmod(right, 0o644)
            #expect(StoreLook.modeChanges(right).map(\.file) == [right])
            try TokenStore(path: right).close()
            #expect(Self.mode(right) == 0o600 && StoreLook.modeChanges(right).isEmpty)
        }
    }

    @Test(
        "The files beside a database that root alone could write are their owner's to write",
        .enabled(if: geteuid() == 0))
    func readOnlyDatabase() throws {
        try Self.inFolder { folder in
            let path = folder + "/culvert.db"
            try TokenStore(path: path).close()
            for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
            chmod(path, 0o400)
            let store = try TokenStore(path: path)
            defer { store.close() }
            for suffix in ["-wal", "-shm"] { #expect(Self.mode(path + suffix) == 0o600) }
        }
    }

    @Test(
        "An admin token that no client can send is refused, in the file and in the environment",
        arguments: [
            "a token with blanks", "two lines of\none token", "a-token-with-an-ü-in-it",
            "-----BEGIN CERTIFICATE-----\nMIIB", String(repeating: "x", count: 8193),
        ])
    func adminTokens(text: String) throws {
        try Self.inFolder { folder in
            let path = folder + "/token"
            try Data(text.utf8).write(to: URL(filePath: path))
            chmod(path, 0o644)
            #expect(throws: AdminToken.Unusable.self) { try AdminToken.look(file: path, environment: nil) }
            #expect(throws: AdminToken.Unusable.self) { try AdminToken.load(file: path, environment: nil) }
            #expect(throws: AdminToken.Unusable.self) { try AdminToken.load(file: path, environment: text) }
            #expect(Self.mode(path) == 0o644)
        }
    }

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
