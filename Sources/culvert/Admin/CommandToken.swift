import CulvertConfig
import CulvertSystem
import Foundation
import Glibc

/// The admin token that the command shows, and the user who has it already. ``AdminClient`` finds it for each request.
struct CommandToken {
    private static let mostBytes = 64 << 10

    var secret: String
    /// The place of the secret, for messages: `in the file PATH` or `in the environment variable NAME`.
    var place: String
    /// How the operator gives another secret, for messages.
    var remedy: String
    /// The owner of the file that holds the token.
    var owner: uid_t?

    /// - Throws: ``CommandFailure`` when there is no token, or a text that cannot be a token.
    static func find(_ place: AdminPlace) throws -> CommandToken {
        let token = try self.search(place)
        // Another file may have been named. Its contents must not go into a request, nor into a message.
        guard token.secret.utf8.allSatisfy({ 0x21 <= $0 && $0 < 0x7F }) else {
            throw CommandFailure(
                description: "the text \(token.place) is no admin token: it has blanks, line breaks or characters that "
                    + "are not ASCII")
        }
        return token
    }

    private static func search(_ place: AdminPlace) throws -> CommandToken {
        if let secret = Environment.all["CULVERT_ADMIN_TOKEN"] {
            guard !secret.isEmpty else {
                throw CommandFailure(
                    description: "the environment variable CULVERT_ADMIN_TOKEN is empty; set it to the admin token, "
                        + "or unset it to have the token read from the file \(place.tokenFile)")
            }
            // A stranger can put a file into the current folder, so the file must hold the same token.
            let file = self.load(place.tokenFile, isAwaited: false)
            let isSame = file.map { $0.secret.utf8.elementsEqual(secret.utf8) } ?? false
            return CommandToken(
                secret: secret, place: "in the environment variable CULVERT_ADMIN_TOKEN",
                remedy: "Set the variable to the token of that process, or unset it and name the token's file with "
                    + "--token-file.",
                owner: isSame ? file?.owner : nil)
        }
        guard let token = self.load(place.tokenFile, isAwaited: true) else {
            throw CommandFailure(
                description: "the admin token's file \(place.tokenFile) cannot be read"
                    + "\(FileFault.reason(place.tokenFile)); give --token-file, or set CULVERT_ADMIN_TOKEN")
        }
        guard !token.secret.isEmpty else {
            throw CommandFailure(
                description: "the admin token's file \(place.tokenFile) is empty; name the file of the running "
                    + "process with --token-file, or set CULVERT_ADMIN_TOKEN")
        }
        return token
    }

    /// The message for an answer 401 to this token.
    func refusal(url: String) -> String {
        "401: the admin token \(self.place) is not the token of the process at \(url). \(self.remedy) A process reads "
            + "its token when it starts: a token that was written to its file since then counts from the next start."
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
            secret: secret.trimmingCharacters(in: .whitespacesAndNewlines), place: "in the file \(path)",
            remedy: "Name the file of that process (admin.token_file in its configuration) with --token-file.",
            owner: status.st_uid)
    }
}
