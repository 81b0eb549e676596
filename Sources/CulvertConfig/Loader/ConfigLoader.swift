package import CulvertCore
import CulvertSystem
package import Foundation
import Yams

/// Turns a file into a validated configuration, or into everything that is wrong with it.
package enum ConfigLoader {
    /// - Parameters:
    ///   - path: the file, or `-` for standard input. Paths in a file are relative to its folder, those of standard
    ///     input to the current one.
    ///   - keys: makes the keys for JSON Web Tokens that stand in the file.
    ///   - environment: for `${NAME}`.
    package static func load(
        path: String, keys: JWTKeyMaker, environment: [String: String]
    ) throws(ConfigErrors) -> ProxyConfig {
        try self.parse(
            self.text(of: path), file: self.name(of: path), directory: self.directory(of: path), keys: keys,
            environment: environment)
    }

    /// Reads the section `admin` alone, for a command that looks for a running process. It ignores mistakes in other
    /// sections.
    ///
    /// - Parameter file: the file that `path` names, where it is open already.
    /// - Returns: nil when the admin API is switched off.
    package static func admin(
        path: String, file: FileHandle? = nil, environment: [String: String]
    ) throws(ConfigErrors) -> AdminConfig? {
        let reader = AdminSection.Reader(folder: ConfigFolder(path: self.directory(of: path)))
        let text = try self.text(of: path, file)
        return try self.read(text, file: self.name(of: path), environment: environment) { root -> AdminConfig?? in
            root.members().map { reader.read($0["admin"]) }
        }
    }

    /// The name of the file in errors.
    private static func name(of path: String) -> String { path == "-" ? "standard input" : path }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func text(of path: String, _ open: FileHandle? = nil) throws(ConfigErrors) -> String {
        func fault(_ message: String) -> ConfigErrors {
            let file = self.name(of: path)
            return ConfigErrors(errors: [ConfigError(file: file, line: 1, column: 1, keyPath: "", message: message)])
        }
        // Not all of a device, or of another file without end.
        guard let file = open ?? (path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path)),
            let data = try? file.read(upToCount: YAMLBounds.sizeLimit + 1) ?? Data()
        else { throw fault("cannot be read" + (path == "-" ? "" : FileFault.reason(path)) + FileDescriptors.note) }
        guard data.count <= YAMLBounds.sizeLimit else { throw fault("more than \(YAMLBounds.sizeLimit >> 20) MiB") }
        guard let text = String(data: data, encoding: .utf8) else { throw fault("cannot be read as UTF-8 text") }
        return text
    }

    /// - Parameter file: what errors call it.
    package static func parse(
        _ yaml: String, file: String, directory: String, keys: JWTKeyMaker, environment: [String: String]
    ) throws(ConfigErrors) -> ProxyConfig {
        let reader = RootSection.Reader(folder: ConfigFolder(path: directory), keyMaker: keys)
        return try self.read(yaml, file: file, environment: environment, reader.read)
    }

    /// - Parameter body: reads the document; nil when it cannot be used, which has been reported then.
    private static func read<Value>(
        _ yaml: String, file: String, environment: [String: String], _ body: (ConfigNode) -> Value?
    ) throws(ConfigErrors) -> Value {
        let errors = ConfigErrorCollector(file: file)
        do throws(YAMLBounds.Fault) {
            try YAMLBounds.check(yaml)
        } catch {
            errors.add(line: error.line, column: error.column, keyPath: "", error.message)
            throw ConfigErrors(errors: errors.sorted)
        }
        do {
            if let node = try Yams.compose(yaml: yaml) {
                let root = ConfigNode(node: node, path: "", errors: errors, environment: environment)
                let value = body(root)
                if let value, errors.errors.isEmpty { return value }
            } else {
                errors.add(line: 1, column: 1, keyPath: "", "the file is empty")
            }
        } catch {
            self.report(error, of: yaml, to: errors)
        }
        throw ConfigErrors(errors: errors.sorted)
    }

    private static func report(_ error: any Error, of yaml: String, to errors: ConfigErrorCollector) {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _)?, .parser(_, let problem, let mark, _)?,
            .composer(_, let problem, let mark, _)?:
            let fault = YAMLFault(problem, mark, in: yaml)
            errors.add(line: fault.line, column: fault.column, keyPath: "", fault.message)
        case .duplicatedKeysInMapping(let keys, let context)?:
            errors.add(
                line: context.mark.line, column: context.mark.column, keyPath: "",
                "key given twice: \(keys.sorted().joined(separator: ", "))")
        default:
            errors.add(line: 1, column: 1, keyPath: "", "not YAML")
        }
    }
}
