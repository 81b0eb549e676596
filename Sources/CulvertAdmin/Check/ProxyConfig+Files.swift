package import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertTokens
import Foundation

extension ProxyConfig {
    /// The errors in the files that the configuration names, each at the line that names the file. Each file is loaded
    /// as a start loads it, so that `culvert check` says what would keep `serve` from starting, and a reload from being
    /// taken.
    package func checkFiles() -> [ConfigError] {
        var check = FileCheck(places: self.places)
        for (index, listen) in self.listen.enumerated() {
            check.server(listen.tls, "listen[\(index)]")
        }
        check.server(self.admin?.tls, "admin")
        if let admin = self.admin, let tls = admin.tls, let ca = admin.clientCA,
            check.areAuthorities(ca, "admin.client_ca"), check.isEmpty
        {
            do {
                _ = try TLSContexts.make(tls, clientCA: ca)
            } catch {
                check.add(ca, "admin.client_ca", CertificateFault.words(error))
            }
        }
        for (index, key) in (self.authentication.jwt?.keys ?? []).enumerated() {
            let path = "authentication.jwt.keys[\(index)].file"
            if case .file(let file, _, _) = key.place, !check.canRead(file, path) { continue }
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
                do throws(KeySetFault) {
                    _ = try KeySet.parse(try KeySet.contents(of: file), takesSecrets: true)
                } catch {
                    check.add(file, path + ".file", "cannot be used: \(error); \(error.advice)")
                }
            case .url(_, let ca):
                if let ca { _ = check.areAuthorities(ca, path + ".ca") }
            }
        }
        for (name, upstream) in self.upstreams.sorted(by: { $0.key < $1.key }) { check.upstream(upstream, name) }
        return check.errors.inOrder
    }
}

/// Loads files and keeps what is wrong with them.
private struct FileCheck {
    let places: ConfigPlaces
    private(set) var errors: [ConfigError] = []

    init(places: ConfigPlaces) { self.places = places }

    var isEmpty: Bool { self.errors.isEmpty }

    mutating func add(_ file: String, _ keyPath: String, _ message: String) {
        self.errors.append(self.places[keyPath].error("\(file): \(message)"))
    }

    mutating func canRead(_ file: String, _ keyPath: String) -> Bool {
        if let fault = FileFault.irregular(file) {
            self.add(file, keyPath, fault)
            return false
        }
        if FileManager.default.isReadableFile(atPath: file) { return true }
        self.add(file, keyPath, "cannot be read" + FileFault.reason(file) + FileFault.advice(file))
        return false
    }

    /// Each pair by itself: of several, a listener's context has the first alone until a client asks for another.
    mutating func server(_ tls: TLSConfig?, _ keyPath: String) {
        for (index, pair) in (tls?.certificates ?? []).enumerated() {
            let path = "\(keyPath).tls.certificates[\(index)]"
            guard var one = tls, self.isPair(pair, path) else { continue }
            one.certificates = [pair]
            do {
                _ = try TLSContexts.make(one)
            } catch {
                self.add(pair.key, path + ".key", CertificateFault.pair(pair, error))
            }
        }
    }

    /// Whether the certificate and the key can each be used by itself.
    private mutating func isPair(_ pair: CertificatePair, _ keyPath: String) -> Bool {
        let isCertificate = self.isUsable(pair.certificate, keyPath + ".certificate") {
            CertificateFault.certificate($0)
        }
        let isKey = self.isUsable(pair.key, keyPath + ".key", CertificateFault.key)
        return isCertificate && isKey
    }

    mutating func areAuthorities(_ file: String, _ keyPath: String) -> Bool {
        self.isUsable(file, keyPath, CertificateFault.authorities)
    }

    /// - Parameter examine: gives the fault of a file, nil for a file that can be used.
    private mutating func isUsable(_ file: String, _ keyPath: String, _ examine: (String) -> String?) -> Bool {
        guard self.canRead(file, keyPath) else { return false }
        guard let fault = examine(file) else { return true }
        self.add(file, keyPath, fault)
        return false
    }

    mutating func upstream(_ upstream: UpstreamConfig, _ name: String) {
        let path = "upstreams.\(name)"
        var areUsable: [Bool] = []
        if let ca = upstream.ca { areUsable.append(self.areAuthorities(ca, path + ".ca")) }
        if let pair = upstream.clientCertificate {
            let keyPath = path + ".client_certificate"
            if upstream.servers.contains(where: \.isSecure) {
                areUsable.append(self.isPair(pair, keyPath))
            } else {
                // Nothing loads them for servers without TLS.
                areUsable.append(self.canRead(pair.certificate, keyPath + ".certificate"))
                areUsable.append(self.canRead(pair.key, keyPath + ".key"))
            }
        }
        guard !areUsable.isEmpty, !areUsable.contains(false) else { return }
        do {
            _ = try UpstreamTLS(upstream)
        } catch {
            if let pair = upstream.clientCertificate {
                self.add(pair.key, path + ".client_certificate.key", CertificateFault.pair(pair, error))
            } else {
                self.add(upstream.ca ?? "", path + ".ca", CertificateFault.words(error))
            }
        }
    }
}
