import CulvertCore
import CulvertSystem
import Foundation
import Glibc

/// Reads where the admin API is from a configuration that the operator has not named, in the folder where a command
/// runs. The command sends the admin token to the address in it, so the file must be one that only root or the
/// command's own user can have written, and must lead to this machine.
package enum UnnamedConfig {
    /// Why the file does not count.
    package struct PassedOver: Error, CustomStringConvertible {
        package var description: String
    }

    /// - Parameter path: relative to the current folder.
    /// - Returns: nil when there is no such file.
    /// - Throws: ``PassedOver``.
    package static func admin(path: String, environment: [String: String]) throws(PassedOver) -> AdminConfig? {
        guard let file = try self.opened(path) else { return nil }
        defer { try? file.close() }
        let found: AdminConfig?
        do throws(ConfigErrors) {
            found = try ConfigLoader.admin(path: path, file: file, environment: environment)
        } catch {
            throw PassedOver(description: error.errors.first?.description ?? "\(path): cannot be read")
        }
        guard let config = found else {
            throw PassedOver(description: "\(path): the admin API is switched off (admin.address: none)")
        }
        guard config.socket != nil || self.isHere(config.host) else {
            throw PassedOver(
                description: "\(path): admin.address: \(config.host) may be another machine, and a file that was not "
                    + "named does not send the token there")
        }
        return config
    }

    /// Opens the file once: the file that is looked at is the one that is read.
    private static func opened(_ path: String) throws(PassedOver) -> FileHandle? {
        // Most folders have no such file, and then it does not matter who can write in them.
        guard access(path, F_OK) == 0 else { return nil }
        let place: String
        do throws(SecretFile.Failure) {
            place = try SecretFolder.place(of: path)
        } catch {
            throw PassedOver(description: error.description)
        }
        let descriptor = open(place, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw PassedOver(description: "\(path): cannot be read: \(String(cString: strerror(errno)))")
        }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        guard let status = FileStatus(descriptor: descriptor), status.kind == .file else {
            throw PassedOver(description: "\(path): it is no regular file")
        }
        guard status.isOwnerTrusted else {
            throw PassedOver(description: "\(path): it belongs to another user (\(status.owner))")
        }
        guard !status.isWritableForOthers else {
            throw PassedOver(description: "\(path): other users may write it (mode \(status.modeText))")
        }
        return file
    }

    /// An address of every interface is called at the loopback one.
    private static func isHere(_ host: String) -> Bool {
        guard let address = IPAddress(host) else { return host.asciiLowercased.equals("localhost") }
        let text = address.description
        return (address.isIPv4 && text.begins(with: "127.")) || ["::1", "0.0.0.0", "::"].contains(bytesEqualTo: text)
    }
}
