import CulvertServer
import Foundation
import Glibc

/// The admin token that the command shows, and the user who has it already. ``AdminClient`` finds it for each request.
struct CommandToken {
    private static let mostBytes = 64 << 10

    var secret: String
    /// The owner of the file that holds the token.
    var owner: uid_t?

    /// - Throws: ``CommandFailure`` when there is no token.
    static func find(_ options: AdminOptions) throws -> CommandToken {
        if let secret = Environment.all["CULVERT_ADMIN_TOKEN"] {
            // A stranger can put a file into the current folder, so the file must hold the same token.
            let file = self.load(options.tokenFile, isAwaited: false)
            let isSame = file.map { $0.secret.utf8.elementsEqual(secret.utf8) } ?? false
            return CommandToken(secret: secret, owner: isSame ? file?.owner : nil)
        }
        guard let token = self.load(options.tokenFile, isAwaited: true) else {
            throw CommandFailure(
                description: "the admin token's file \(options.tokenFile) cannot be read"
                    + "\(FileFault.reason(options.tokenFile)); give --token-file, or set CULVERT_ADMIN_TOKEN")
        }
        return token
    }

    /// Reads the file and its owner by one descriptor: the name may stand for another file a moment later.
    ///
    /// - Parameter isAwaited: a pipe is waited for.
    private static func load(_ path: String, isAwaited: Bool) -> CommandToken? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | (isAwaited ? 0 : O_NONBLOCK))
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        guard let text = DescriptorBytes.read(descriptor, limit: self.mostBytes),
            let secret = String(bytes: text, encoding: .utf8)
        else { return nil }
        return CommandToken(
            secret: secret.trimmingCharacters(in: .whitespacesAndNewlines), owner: status.st_uid)
    }
}
