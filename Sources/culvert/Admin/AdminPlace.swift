import CulvertServer
import Foundation
import Glibc

/// Finds the admin API of a process and the file of its token: by the command's options, else by a configuration, else by
/// the defaults of both.
struct AdminPlace {
    private(set) var url = "http://127.0.0.1:9901"
    private(set) var tokenFile = "culvert.admin-token"

    /// The configuration that is read where none is named.
    private static let usual = "proxy.yaml"

    /// - Throws: ``CommandFailure`` for a configuration that was named and does not tell.
    init(_ options: AdminOptions) throws {
        if let path = options.config {
            try self.take(Self.config(path), path)
        } else if options.url == nil, Self.isOwn(Self.usual), let config = try? Self.config(Self.usual) {
            // The operator has not named this file, and it may be meant for something else. Its mistakes are ignored.
            try? self.take(config, Self.usual)
        }
        self.url = options.url ?? self.url
        self.tokenFile = options.tokenFile ?? self.tokenFile
    }

    private static func config(_ path: String) throws -> AdminConfig {
        do throws(ConfigErrors) {
            if let config = try ConfigLoader.admin(path: path, environment: Environment.all) { return config }
        } catch {
            throw CommandFailure(description: error.errors.map(\.description).joined(separator: "\n"))
        }
        throw CommandFailure(description: "\(path): the admin API is switched off (admin.address: none)")
    }

    private mutating func take(_ config: AdminConfig, _ path: String) throws {
        if let socket = config.socket {
            self.url = "unix:" + socket
        } else {
            guard config.port != 0 else {
                throw CommandFailure(
                    description: "\(path): admin.address: the system chooses the port when the process starts; "
                        + "name the address with --url")
            }
            self.url = (config.tls == nil ? "http" : "https") + "://\(Self.reachable(config.host)):\(config.port)"
        }
        self.tokenFile = config.tokenFile
    }

    /// A listener at every address of the machine is reached at the loopback one.
    private static func reachable(_ host: String) -> String {
        switch host {
        case "0.0.0.0": "127.0.0.1"
        case "::": "[::1]"
        default: host.contains(":") ? "[\(host)]" : host
        }
    }

    /// Whether the file is the command's own user's or root's, and not for everybody to write. A stranger can put a file
    /// into the current folder, and the token would go to the address in it.
    private static func isOwn(_ path: String) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { return false }
        let isForAllToWrite = status.st_mode & 0o002 != 0
        return (status.st_uid == 0 || status.st_uid == geteuid()) && !isForAllToWrite
    }
}
