import ArgumentParser
import CulvertAdmin
import CulvertConfig
import CulvertTokens
import Glibc

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration and print the effective one, without secrets.")

    @Option(name: .shortAndLong, help: "The configuration file; - for standard input.", completion: .file())
    var config = "proxy.yaml"

    @Flag(help: "Also fail if an address is in use, as a start would. A running Culvert uses its addresses.")
    var start = false

    func run() throws {
        let config = try Self.load(self.config)
        let found = config.check(adminToken: Environment.all["CULVERT_ADMIN_TOKEN"], forStart: self.start)
        let warnings = found.warnings.map { "warning: \($0.description)" }
        guard found.errors.isEmpty else { throw Failure.report(found.errors.map(\.description) + warnings) }
        _ = Failure.report(warnings)
        print(config.redactedYAML(), terminator: "")
    }

    /// Lists every error and leaves with 1.
    static func load(_ path: String) throws -> ProxyConfig {
        do throws(ConfigErrors) {
            return try ConfigLoader.load(path: path, keys: .ofTokens, environment: Environment.all)
        } catch {
            let advice = path == "-" ? "" : self.advice(path)
            throw Failure.report(error.errors.map { $0.description + advice })
        }
    }

    /// The remedy for a path without a file, for the end of a message. Empty if there is a file.
    private static func advice(_ path: String) -> String {
        if FileFault.isFolder(path) { return "; name a file with --config FILE" }
        guard access(path, F_OK) != 0, errno == ENOENT else { return "" }
        return "; name the configuration with --config FILE, or begin with the sample, proxy.yaml of Culvert's sources"
    }
}
