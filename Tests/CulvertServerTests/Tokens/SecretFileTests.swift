import Foundation
import Testing

@testable import CulvertServer

@Suite("Files with secrets")
struct SecretFileTests {
    private static func inFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "culvert-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private static func mode(_ path: String) -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber)?.intValue
    }

    private static func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test("A file is made whole, for its owner alone, and nothing else is left in the folder")
    func making() throws {
        try Self.inFolder { folder in
            try SecretFile.makeIfMissing(folder + "/secret", Array("one".utf8))
            #expect(Self.mode(folder + "/secret") == 0o600)
            #expect(try Self.text(folder + "/secret") == "one")
            try SecretFile.makeIfMissing(folder + "/secret", Array("two".utf8))
            #expect(try Self.text(folder + "/secret") == "one")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["secret"])
        }
    }

    @Test("Where it cannot be made, the reason is said")
    func unmakable() {
        #expect(throws: SecretFile.Failure.self) { try SecretFile.makeIfMissing("/nonexistent/folder/secret") }
    }

    @Test(
        "What others may do with a file that is there is taken from them",
        arguments: [0o644, 0o660, 0o666, 0o604, 0o400])
    func tightening(_ mode: Int) throws {
        try Self.inFolder { folder in
            let path = folder + "/secret"
            try Data("x".utf8).write(to: URL(filePath: path))
            chmod(path, mode_t(mode))
            try SecretFile.protect(path, logger: nil)
            #expect(Self.mode(path) == mode & 0o700)
            try SecretFile.protect(folder + "/none", logger: nil)
        }
    }

    @Test("A file or a link of another user is refused", .enabled(if: geteuid() == 0))
    func owner() throws {
        try Self.inFolder { folder in
            let path = folder + "/secret"
            try SecretFile.makeIfMissing(path, Array("one".utf8))
            symlink("secret", folder + "/link")
            symlink(folder + "/link", folder + "/links")
            symlink("none", folder + "/dangling")
            for name in ["/secret", "/link", "/links"] { try SecretFile.protect(folder + name, logger: nil) }
            #expect(throws: SecretFile.Failure.self) { try SecretFile.protect(folder + "/dangling", logger: nil) }
            lchown(folder + "/link", 65534, 65534)
            for name in ["/link", "/links"] {
                #expect(throws: SecretFile.Failure.self) { try SecretFile.protect(folder + name, logger: nil) }
            }
            try SecretFile.protect(path, logger: nil)
            chown(path, 65534, 65534)
            #expect(throws: SecretFile.Failure.self) { try SecretFile.protect(path, logger: nil) }
        }
    }

    @Test("Of two processes that start at once, both have the token of the same file")
    func race() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "culvert-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for round in 0..<20 {
            let path = "\(folder)/\(round)"
            let seen = try await withThrowingTaskGroup(of: String.self) { tasks in
                for index in 0..<4 {
                    tasks.addTask {
                        try SecretFile.makeIfMissing(path, Array("secret \(index)".utf8))
                        return try Self.text(path)
                    }
                }
                return try await tasks.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(seen.count == 1)
        }
    }
}
