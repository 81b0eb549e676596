import Foundation
import Yams

/// Turns a file into a validated configuration, or into everything that is wrong with it.
package enum ConfigLoader {
    /// - Parameters:
    ///   - path: the file; paths in it are relative to its folder.
    ///   - environment: for `${NAME}`.
    package static func load(path: String, environment: [String: String]) throws(ConfigErrors) -> ProxyConfig {
        func fault(_ message: String) -> ConfigErrors {
            ConfigErrors(errors: [ConfigError(file: path, line: 1, column: 1, keyPath: "", message: message)])
        }
        // Not all of a device, or of another file without end.
        guard let file = FileHandle(forReadingAtPath: path),
            let data = try? file.read(upToCount: YAMLBounds.sizeLimit + 1) ?? Data()
        else { throw fault("cannot be read" + FileFault.reason(path) + FileDescriptors.note) }
        guard data.count <= YAMLBounds.sizeLimit else { throw fault("more than \(YAMLBounds.sizeLimit >> 20) MiB") }
        guard let text = String(data: data, encoding: .utf8) else { throw fault("cannot be read as UTF-8 text") }
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
        do throws(YAMLBounds.Fault) {
            try YAMLBounds.check(yaml)
        } catch {
            errors.add(line: error.line, column: error.column, keyPath: "", error.message)
            throw ConfigErrors(errors: errors.sorted)
        }
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
