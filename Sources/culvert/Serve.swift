import ArgumentParser
import CulvertServer
import Glibc
import Logging
import NIOPosix
import ServiceLifecycle

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the proxy (the default).")

    @Option(name: .shortAndLong, help: "The configuration file; - for standard input.", completion: .file())
    var config = "proxy.yaml"

    @Flag(help: "Take the listening sockets of the process that runs, over the configuration's takeover socket.")
    var takeover = false

    func run() async throws {
        let config = try Check.load(self.config)
        let problems =
            config.checkFiles() + config.checkAddresses()
            + config.checkState(adminToken: Environment.all["CULVERT_ADMIN_TOKEN"])
        guard problems.isEmpty else { throw Check.fail(problems.map(\.description)) }
        let (logger, sink) = Logging.start(config.log)
        config.logWarnings(to: logger)
        do {
            // Standard input cannot be read again, so there is no reload. SIGHUP must not end the process either.
            let isFile = self.config != "-"
            if !isFile { signal(SIGHUP, SIG_IGN) }
            let path = isFile ? self.config : nil
            try await Runner(config: config, logger: logger, path: path, takesOver: self.takeover).run()
        } catch let error as StartFailure {
            // Not beside the log: whoever reads neither must not keep the process from its end.
            sink.print(error.description + "\n")
            throw ExitCode.failure
        }
    }
}
