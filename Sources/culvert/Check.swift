import ArgumentParser
import CulvertServer
import Foundation

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration and print what is in effect, secrets redacted.")

    @Option(name: .shortAndLong, help: "The configuration file; - for standard input.", completion: .file())
    var config = "proxy.yaml"

    func run() throws {
        let config = try Self.load(self.config)
        let problems = config.checkFiles()
        guard problems.isEmpty else { throw Self.fail(problems.map(\.description)) }
        let warnings = config.warningLines.map { $0 + "\n" }.joined()
        try? FileHandle.standardError.write(contentsOf: Data(warnings.utf8))
        print(config.redactedYAML(), terminator: "")
    }

    /// Lists every error and leaves with 1.
    static func load(_ path: String) throws -> ProxyConfig {
        do throws(ConfigErrors) {
            return try ConfigLoader.load(path: path, environment: Environment.all)
        } catch {
            throw self.fail(error.errors.map(\.description))
        }
    }

    static func fail(_ lines: [String]) -> ExitCode {
        let text = lines.map { $0 + "\n" }.joined()
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
        return .failure
    }
}
