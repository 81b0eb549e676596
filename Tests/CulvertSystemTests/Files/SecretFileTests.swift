import Foundation
import Testing

@testable import CulvertSystem

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
            for name in ["/secret", "/link", "/links"] {
                let place = try SecretFolder.place(of: folder + name)
                #expect(place.hasSuffix("/secret"))
                try SecretFile.protect(place, logger: nil)
            }
            #expect(throws: SecretFile.Failure.self) { try SecretFolder.place(of: folder + "/dangling") }
            #expect(throws: SecretFile.Failure.self) { try SecretFile.protect(folder + "/link", logger: nil) }
            #expect(throws: SecretFile.Failure.self) { try SecretFile.read(folder + "/link", logger: nil) }
            lchown(folder + "/link", 65534, 65534)
            for name in ["/link", "/links"] {
                #expect(throws: SecretFile.Failure.self) { try SecretFolder.place(of: folder + name) }
            }
            try SecretFile.protect(path, logger: nil)
            #expect(try SecretFile.read(path, logger: nil) == Array("one".utf8))
            chown(path, 65534, 65534)
            #expect(throws: SecretFile.Failure.self) { try SecretFile.protect(path, logger: nil) }
            #expect(throws: SecretFile.Failure.self) { try SecretFile.read(path, logger: nil) }
        }
    }

    @Test("What others may do with a file is taken from them before it is read")
    func reading() throws {
        try Self.inFolder { folder in
            let path = folder + "/secret"
            let contents = [UInt8](repeating: 7, count: 10_000)
            try Data(contents).write(to: URL(filePath: path))
            chmod(path, 0o644)
            #expect(try SecretFile.read(path, logger: nil) == contents)
            #expect(Self.mode(path) == 0o600)
            #expect(throws: SecretFile.Failure.self) { try SecretFile.read(folder, logger: nil) }
            #expect(throws: SecretFile.Failure.self) { try SecretFile.read(folder + "/none", logger: nil) }
        }
    }

    @Test("A file with a content that it must not have keeps its mode")
    func judging() throws {
        try Self.inFolder { folder in
            let path = folder + "/secret"
            try Data("x".utf8).write(to: URL(filePath: path))
            chmod(path, 0o644)
            #expect(SecretFile.pendingChange(path) == SecretFile.ModeChange(old: "0644", new: "0600"))
            #expect(throws: SecretFile.Failure.self) {
                try SecretFile.read(path, logger: nil) { _ throws(SecretFile.Failure) in
                    throw SecretFile.Failure(description: "another file")
                }
            }
            #expect(Self.mode(path) == 0o644)
            #expect(try SecretFile.read(path, logger: nil, isLook: true) == Array("x".utf8))
            #expect(Self.mode(path) == 0o644)
            try SecretFile.protect(path, logger: nil)
            #expect(SecretFile.pendingChange(path) == nil && SecretFile.pendingChange(folder) == nil)
            chmod(path, 0o400)
            SecretFile.openToOwner(path)
            #expect(Self.mode(path) == 0o600)
        }
    }

    @Test("Names are followed as the system follows them")
    func places() throws {
        try Self.inFolder { folder in
            try FileManager.default.createDirectory(atPath: folder + "/a/b", withIntermediateDirectories: true)
            symlink("a/b", folder + "/link")
            symlink("../../file", folder + "/a/b/up")
            try Data().write(to: URL(filePath: folder + "/file"))
            let place = try SecretFolder.place(of: folder + "/file")
            #expect(place.hasSuffix("/file") && place.hasPrefix("/"))
            for name in ["/a/../file", "//a/./b//../../file", "/link/../../file", "/link/up"] {
                #expect(try SecretFolder.place(of: folder + name) == place)
            }
            let new = try SecretFolder.place(of: folder + "/link/new")
            #expect(new.hasSuffix("/a/b/new"))
            symlink("loop", folder + "/loop")
            for name in ["/a", "/none/file", "/file/file", "/file/../file", "/loop", "/a/.."] {
                #expect(throws: SecretFile.Failure.self) { try SecretFolder.place(of: folder + name) }
            }
        }
    }

    @Test(
        "A file lies in a folder where no other user can write",
        arguments: [(0o700, true), (0o755, true), (0o775, true), (0o777, false), (0o1777, false), (0o702, false)])
    func folders(_ mode: Int, _ isTaken: Bool) throws {
        try Self.inFolder { folder in
            let own = folder + "/own"
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
            chown(own, geteuid(), getegid())
            chmod(own, mode_t(mode))
            let place = try? SecretFolder.place(of: own + "/secret")
            #expect((place != nil) == isTaken)
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
