import CulvertConfig

/// Finds the admin API of a process and the file of its token: by the command's options, else by a configuration, else by
/// the defaults of both.
struct AdminPlace {
    private(set) var url = "http://" + AdminConfig.defaultAddress
    private(set) var tokenFile = AdminConfig.defaultTokenFile
    /// Why the configuration of the current folder was passed over; nil when it was taken, or was not looked for.
    private(set) var passedOver: String?
    /// True if no configuration was named, and the current folder has none.
    private var isMissing = false
    /// The configuration that told the address or the file of the token; nil for none.
    private var source: String?
    /// What may be wrong with the place, for the end of a message; empty if the options name all of it.
    var note: String {
        if let source = self.source {
            return "\nif the section admin of \(source) has changed since the process started, name the address of the "
                + "process with --url and the file of its token with --token-file"
        }
        if self.isMissing {
            return "\nthere is no \(Self.usual) in the current folder; name the configuration of the running process "
                + "with --config"
        }
        return self.passedOver.map { "\n\(Self.usual) in the current folder was passed over: \($0)" } ?? ""
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
        if options.url != nil, options.tokenFile != nil { self.source = nil }
        self.url = options.url ?? self.url
        self.tokenFile = options.tokenFile ?? self.tokenFile
    }

    /// The operator has not named this file, and it may be meant for something else. A file that does not count is passed
    /// over, and ``passedOver`` has the reason.
    private mutating func takeUnnamed() {
        do throws(UnnamedConfig.PassedOver) {
            guard let config = try UnnamedConfig.admin(path: Self.usual, environment: Environment.all) else {
                self.isMissing = true
                return
            }
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
        self.source = path
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
