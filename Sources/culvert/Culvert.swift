import ArgumentParser
import CulvertServer

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
        await self.main(nil)
    }
}
