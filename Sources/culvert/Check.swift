import ArgumentParser
import CulvertServer
import Foundation

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration and print what is in effect, secrets redacted.")

    @Option(name: .shortAndLong, help: "The configuration file; - for standard input.", completion: .file())
    var config = "proxy.yaml"

    @Flag(help: "Also fail if an address is in use now, as a start would. A running Culvert uses its own.")
    var start = false

    func run() throws {
        let config = try Self.load(self.config)
        let found = config.check(adminToken: Environment.all["CULVERT_ADMIN_TOKEN"], forStart: self.start)
        let warnings = found.warnings.map { "warning: \($0.description)" }
        guard found.errors.isEmpty else { throw Self.fail(found.errors.map(\.description) + warnings) }
        _ = Self.fail(warnings)
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

    /// Prints the lines on standard error.
    static func fail(_ lines: [String]) -> ExitCode {
        let text = lines.map { $0 + "\n" }.joined()
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
        return .failure
    }
}
