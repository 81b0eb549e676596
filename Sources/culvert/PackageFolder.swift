import CulvertEdge
import Foundation
import Glibc
import NIOCore

/// The folder of `culvert client --npm`.
struct PackageFolder {
    let path: String

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Makes the folder where it is missing, and writes the package, over an earlier one.
    func write(_ client: ClientPackage) throws(Failure) {
        try self.refuseOtherPackage()
        try Self.make(URL(fileURLWithPath: self.path, isDirectory: true))
        for (name, bytes) in client.files {
            try Self.replace(self.file(name), with: bytes)
        }
    }

    private func file(_ name: String) -> String {
        URL(fileURLWithPath: self.path, isDirectory: true).appendingPathComponent(name).path
    }

    /// The folder of a project, given by mistake, keeps its package.json.
    private func refuseOtherPackage() throws(Failure) {
        struct Manifest: Decodable {
            var name: String?
        }
        let path = self.file("package.json")
        guard FileManager.default.fileExists(atPath: path) else { return }
        let data = FileManager.default.contents(atPath: path)
        let manifest = data.flatMap { try? JSONDecoder().decode(Manifest.self, from: $0) }
        guard manifest?.name == ClientPackage.name else {
            throw Failure(
                description: "\(path): this is the file of another package than \"\(ClientPackage.name)\"; "
                    + "name a folder that is empty, or that --npm has written")
        }
    }

    /// Makes the folder, and those above it that are missing.
    private static func make(_ folder: URL) throws(Failure) {
        var code = mkdir(folder.path, 0o777) == 0 ? 0 : errno
        if code == ENOENT, folder.pathComponents.count > 1 {
            try self.make(folder.deletingLastPathComponent())
            code = mkdir(folder.path, 0o777) == 0 ? 0 : errno
        }
        // A file may have this name. Then the error is that of the first file that is written into it.
        guard code == 0 || code == EEXIST else { throw self.failure(folder.path, code) }
    }

    /// Writes a new file and moves it over the old one, so that a bundler that watches the folder reads no half file.
    private static func replace(_ path: String, with bytes: ByteBuffer) throws(Failure) {
        // Others may be able to write in the folder, and must neither guess the name nor have a link followed.
        let temporary = "\(path).\(UInt64.random(in: .min ... .max)).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
        guard descriptor >= 0 else { throw self.failure(path, errno) }
        var code: Int32 = 0
        var rest = Array(bytes.readableBytesView)[...]
        while !rest.isEmpty, code == 0 {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                code = errno
            }
        }
        if close(descriptor) != 0, code == 0 { code = errno }
        if code == 0, rename(temporary, path) != 0 { code = errno }
        guard code == 0 else {
            unlink(temporary)
            throw self.failure(path, code)
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> Failure {
        Failure(description: "\(path) cannot be written: \(String(cString: strerror(code))); name another folder")
    }
}
