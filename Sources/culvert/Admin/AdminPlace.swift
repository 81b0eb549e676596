import CulvertServer

/// Finds the admin API of a process and the file of its token: by the command's options, else by a configuration, else by
/// the defaults of both.
struct AdminPlace {
    private(set) var url = "http://127.0.0.1:9901"
    private(set) var tokenFile = "culvert.admin-token"
    /// Why the configuration of the current folder was passed over; nil when it was taken, or was not looked for.
    private(set) var passedOver: String?
    /// The same for the end of a message; else empty.
    var note: String {
        self.passedOver.map { "\n\(Self.usual) in the current folder was passed over: \($0)" } ?? ""
    }

    /// The configuration that is read where none is named.
    private static let usual = "proxy.yaml"

    /// - Throws: ``CommandFailure`` for a configuration that was named and does not tell.
    init(_ options: AdminOptions) throws {
        if let path = options.config {
            try self.take(Self.config(path), path)
        } else if options.url == nil {
            self.takeUnnamed()
        }
        self.url = options.url ?? self.url
        self.tokenFile = options.tokenFile ?? self.tokenFile
    }

    /// The operator has not named this file, and it may be meant for something else. A file that does not count is passed
    /// over, and ``passedOver`` has the reason.
    private mutating func takeUnnamed() {
        do throws(UnnamedConfig.PassedOver) {
            guard let config = try UnnamedConfig.admin(path: Self.usual, environment: Environment.all) else { return }
            do throws(CommandFailure) {
                try self.take(config, Self.usual)
            } catch {
                self.passedOver = error.description
            }
        } catch {
            self.passedOver = error.description
        }
    }

    private static func config(_ path: String) throws -> AdminConfig {
        do throws(ConfigErrors) {
            if let config = try ConfigLoader.admin(path: path, environment: Environment.all) { return config }
        } catch {
            throw CommandFailure(description: error.errors.map(\.description).joined(separator: "\n"))
        }
        throw CommandFailure(description: "\(path): the admin API is switched off (admin.address: none)")
    }

    private mutating func take(_ config: AdminConfig, _ path: String) throws(CommandFailure) {
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
}
