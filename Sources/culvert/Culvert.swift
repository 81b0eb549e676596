import ArgumentParser
import CulvertConfig
import CulvertSystem
import Foundation
import Glibc

@main
struct Culvert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "culvert",
        abstract: "A WebSocket edge proxy with a long-polling fallback.",
        discussion: "culvert --generate-completion-script bash (or zsh, fish) prints completions for that shell.",
        version: Version.text,
        subcommands: [
            Serve.self, Check.self, Demo.self, Tokens.self, JWT.self, Sessions.self, Upstreams.self, Audit.self,
            Limits.self, Reload.self, Drain.self, Certificates.self, ClientScript.self, Manual.self,
        ],
        defaultSubcommand: Serve.self)

    static func main() async {
        StandardStreams.prepare()
        EventLoops.fitToProcess()
        do {
            var command = try await self.asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            self.leave(error)
        }
    }

    /// Ends the process as the library would, but says of an option that is near none that it is unknown, and no more.
    private static func leave(_ error: any Error) -> Never {
        let text = self.fullMessage(for: error)
        guard let guess = text.firstMatch(of: #/(Unknown option '-*([^']*)')\. Did you mean '-*([^']*)'\?/#),
            Spelling.suggestion(for: String(guess.2), among: [String(guess.3)]).isEmpty
        else { self.exit(withError: error) }
        let plain = text.replacing(guess.0, with: guess.1) + "\n"
        try? FileHandle.standardError.write(contentsOf: Data(plain.utf8))
        Glibc.exit(self.exitCode(for: error).rawValue)
    }
}
