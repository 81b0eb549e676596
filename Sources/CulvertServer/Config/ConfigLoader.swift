import Foundation
import Yams

/// Turns a file into a validated configuration, or into everything that is wrong with it.
package enum ConfigLoader {
    /// - Parameters:
    ///   - path: the file; paths in it are relative to its folder.
    ///   - environment: for `${NAME}`.
    package static func load(path: String, environment: [String: String]) throws(ConfigErrors) -> ProxyConfig {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw ConfigErrors(errors: [
                ConfigError(file: path, line: 1, column: 1, keyPath: "", message: "cannot be read as UTF-8 text")
            ])
        }
        let directory = path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : ""
        return try self.parse(
            text, file: path, directory: path.hasPrefix("/") && directory.isEmpty ? "/" : directory,
            environment: environment)
    }

    /// - Parameter file: what errors call it.
    package static func parse(
        _ yaml: String, file: String, directory: String, environment: [String: String]
    ) throws(ConfigErrors) -> ProxyConfig {
        let errors = ConfigErrorCollector(file: file)
        do {
            if let node = try Yams.compose(yaml: yaml) {
                let root = ConfigNode(node: node, path: "", errors: errors, environment: environment)
                let config = ConfigReader(directory: directory).read(root)
                if let config, errors.errors.isEmpty { return config }
            } else {
                errors.add(line: 1, column: 1, keyPath: "", "the file is empty")
            }
        } catch {
            self.report(error, to: errors)
        }
        throw ConfigErrors(errors: errors.sorted)
    }

    private static func report(_ error: any Error, to errors: ConfigErrorCollector) {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _)?, .parser(_, let problem, let mark, _)?,
            .composer(_, let problem, let mark, _)?:
            errors.add(line: mark.line, column: mark.column, keyPath: "", "not YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context)?:
            errors.add(
                line: context.mark.line, column: context.mark.column, keyPath: "",
                "key given twice: \(keys.sorted().joined(separator: ", "))")
        default:
            errors.add(line: 1, column: 1, keyPath: "", "not YAML")
        }
    }
}

extension ProxyConfig {
    /// Files the configuration names that cannot be read.
    package func checkFiles() -> [ConfigError] {
        func check(_ path: String, _ keyPath: String) -> ConfigError? {
            guard !FileManager.default.isReadableFile(atPath: path) else { return nil }
            return ConfigError(file: path, line: 1, column: 1, keyPath: keyPath, message: "cannot be read")
        }
        var errors: [ConfigError?] = []
        func check(_ tls: TLSConfig?, _ keyPath: String) {
            for (number, pair) in (tls?.certificates ?? []).enumerated() {
                let path = "\(keyPath).tls.certificates[\(number)]"
                errors.append(check(pair.certificate, path + ".certificate"))
                errors.append(check(pair.key, path + ".key"))
            }
        }
        for (index, listen) in self.listen.enumerated() {
            check(listen.tls, "listen[\(index)]")
        }
        check(self.admin?.tls, "admin")
        if let ca = self.admin?.clientCA { errors.append(check(ca, "admin.client_ca")) }
        for (index, key) in (self.authentication.jwt?.keys ?? []).enumerated() {
            do throws(ConfiguredJWTKey.Unusable) {
                _ = try key.load()
            } catch {
                errors.append(
                    ConfigError(
                        file: error.file, line: 1, column: 1, keyPath: "authentication.jwt.keys[\(index)].file",
                        message: error.message))
            }
        }
        for (index, set) in (self.authentication.jwt?.sets ?? []).enumerated() {
            let path = "authentication.jwt.jwks[\(index)]"
            switch set.place {
            case .file(let file): errors.append(check(file, path + ".file"))
            case .url(_, let ca): if let ca { errors.append(check(ca, path + ".ca")) }
            }
        }
        for (name, upstream) in self.upstreams.sorted(by: { $0.key < $1.key }) {
            if let ca = upstream.ca { errors.append(check(ca, "upstreams.\(name).ca")) }
            if let pair = upstream.clientCertificate {
                let path = "upstreams.\(name).client_certificate"
                errors.append(check(pair.certificate, path + ".certificate"))
                errors.append(check(pair.key, path + ".key"))
            }
        }
        return errors.compactMap(\.self)
    }
}
