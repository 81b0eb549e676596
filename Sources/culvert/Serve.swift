import ArgumentParser
import CulvertAdmin
import CulvertConfig
import CulvertSystem
import Glibc
import Logging
import NIOPosix
import ServiceLifecycle

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the proxy (the default).")

    @Option(name: .shortAndLong, help: "The configuration file; - for standard input.", completion: .file())
    var config = "proxy.yaml"

    @Flag(help: "Take over the listening sockets of the running process, over the configuration's takeover socket.")
    var takeover = false

    @Argument(help: .hidden)
    var rest: [String] = []

    func run() async throws {
        // Here and not in validate(), which comes before the errors of misspelt options.
        if let first = self.rest.first { throw ValidationError(Self.refusal(of: first)) }
        let config = try Check.load(self.config)
        let (logger, sink) = Logging.start(config.log)
        let problems = config.startErrors(
            adminToken: Environment.all["CULVERT_ADMIN_TOKEN"],
            hasSockets: self.takeover || Environment.all["LISTEN_FDS"] != nil)
        guard problems.isEmpty else {
            // A reader of the log that reads nothing must not keep the process from its end.
            sink.print(problems.map { $0.description + "\n" }.joined())
            throw ExitCode.failure
        }
        config.logWarnings(to: logger)
        do {
            // Standard input cannot be read again, so there is no reload. SIGHUP must not end the process either, before
            // the runner takes it.
            let isFile = self.config != "-"
            if !isFile { signal(SIGHUP, SIG_IGN) }
            let path = isFile ? self.config : nil
            try await Runner(
                config: config, logger: logger, path: path, takesHangups: true, takesOver: self.takeover
            ).run()
        } catch let error as StartFailure {
            // Not beside the log: whoever reads neither must not keep the process from its end.
            sink.print(error.description + "\n")
            throw ExitCode.failure
        }
    }

    /// The default command gets a word that names no command: a misspelt name, or a command behind its options.
    private static func refusal(of word: String) -> String {
        let names = Culvert.configuration.subcommands.map { $0._commandName }
        if names.contains(word) {
            return "The command stands in front of its options: culvert \(word) …"
        }
        return "unknown command \(word)\(Spelling.suggestion(for: word, among: names)); the commands are "
            + names.joined(separator: ", ") + ". --config names the configuration file."
    }
}
