import CulvertCore
import Foundation

extension ProxyConfig {
    /// The errors in the files that the configuration names. Each file is loaded as a start loads it, so that
    /// `culvert check` says what would keep `serve` from starting, and a reload from being taken.
    package func checkFiles() -> [ConfigError] {
        var check = FileCheck()
        for (index, listen) in self.listen.enumerated() {
            check.server(listen.tls, "listen[\(index)]")
        }
        check.server(self.admin?.tls, "admin")
        if let admin = self.admin, let tls = admin.tls, let ca = admin.clientCA, check.canRead(ca, "admin.client_ca"),
            check.isEmpty
        {
            check.load(ca, "admin.client_ca") { _ = try TLSContexts.make(tls, clientCA: ca) }
        }
        for (index, key) in (self.authentication.jwt?.keys ?? []).enumerated() {
            let path = "authentication.jwt.keys[\(index)].file"
            do throws(ConfiguredJWTKey.Unusable) {
                _ = try key.load()
            } catch {
                check.add(error.file, path, error.message)
            }
        }
        for (index, set) in (self.authentication.jwt?.sets ?? []).enumerated() {
            let path = "authentication.jwt.jwks[\(index)]"
            switch set.place {
            case .file(let file):
                guard check.canRead(file, path + ".file") else { continue }
                check.load(file, path + ".file") {
                    _ = try KeySet.parse(try KeySet.contents(of: file), takesSecrets: true)
                }
            case .url(_, let ca):
                if let ca, check.canRead(ca, path + ".ca") {
                    check.load(ca, path + ".ca") { try TLSContexts.checkAuthorities(ca) }
                }
            }
        }
        for (name, upstream) in self.upstreams.sorted(by: { $0.key < $1.key }) { check.upstream(upstream, name) }
        return check.errors
    }
}

/// Loads files and keeps what is wrong with them.
private struct FileCheck {
    private(set) var errors: [ConfigError] = []

    var isEmpty: Bool { self.errors.isEmpty }

    mutating func add(_ file: String, _ keyPath: String, _ message: String) {
        self.errors.append(ConfigError(file: file, line: 1, column: 1, keyPath: keyPath, message: message))
    }

    mutating func canRead(_ file: String, _ keyPath: String) -> Bool {
        if FileManager.default.isReadableFile(atPath: file) { return true }
        self.add(file, keyPath, "cannot be read" + FileFault.reason(file))
        return false
    }

    mutating func load(_ file: String, _ keyPath: String, _ body: () throws -> Void) {
        do { try body() } catch { self.add(file, keyPath, "cannot be used: \(error)") }
    }

    /// Each pair by itself: of several, a listener's context has the first alone until a client asks for another.
    mutating func server(_ tls: TLSConfig?, _ keyPath: String) {
        for (index, pair) in (tls?.certificates ?? []).enumerated() {
            let path = "\(keyPath).tls.certificates[\(index)]"
            let isReadable = [
                self.canRead(pair.certificate, path + ".certificate"), self.canRead(pair.key, path + ".key"),
            ]
            guard var one = tls, !isReadable.contains(false) else { continue }
            one.certificates = [pair]
            self.load(pair.certificate, path) { _ = try TLSContexts.make(one) }
        }
    }

    mutating func upstream(_ upstream: UpstreamConfig, _ name: String) {
        let path = "upstreams.\(name)"
        var isReadable: [Bool] = []
        if let ca = upstream.ca { isReadable.append(self.canRead(ca, path + ".ca")) }
        if let pair = upstream.clientCertificate {
            isReadable.append(self.canRead(pair.certificate, path + ".client_certificate.certificate"))
            isReadable.append(self.canRead(pair.key, path + ".client_certificate.key"))
        }
        guard !isReadable.isEmpty, !isReadable.contains(false) else { return }
        if let ca = upstream.ca {
            let count = self.errors.count
            self.load(ca, path + ".ca") { try TLSContexts.checkAuthorities(ca) }
            guard self.errors.count == count else { return }
        }
        let file = upstream.clientCertificate?.certificate ?? upstream.ca ?? ""
        let key = upstream.clientCertificate == nil ? ".ca" : ".client_certificate"
        self.load(file, path + key) { _ = try UpstreamTLS(upstream) }
    }
}
