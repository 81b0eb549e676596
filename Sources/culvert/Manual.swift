import ArgumentParser
import CulvertConfig
import CulvertSystem
import Foundation

/// `culvert manual`: the manual page, made of the help of every command, so that neither lacks what the other has.
struct Manual: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the manual page, for installation as culvert.1.")

    @Flag(help: "Print the JSON Schema of proxy.yaml instead, for editors.")
    var schema = false

    /// For whoever changes the table of keys.
    @Option(help: ArgumentHelp("Rewrite the tables of keys in this Markdown document.", visibility: .hidden))
    var keys: String?

    func run() throws {
        if self.schema {
            print(ConfigSchema.text, terminator: "")
            return
        }
        if let path = self.keys {
            let document = try String(contentsOfFile: path, encoding: .utf8)
            try ConfigReference.updated(document).write(toFile: path, atomically: true, encoding: .utf8)
            return
        }
        let tool = try JSONDecoder().decode(Tool.self, from: Data(Culvert._dumpHelp().utf8))
        print(ManualPage(tool.command).text, terminator: "")
    }

    /// ArgumentParser's description of the tool: those members of its `ToolInfoV0` that a page shows.
    struct Tool: Decodable { var command: Command }

    struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var shouldDisplay: Bool?
        var subcommands: [Command]?
        var arguments: [Argument]?
    }

    struct Argument: Decodable {
        struct Name: Decodable {
            var kind: String
            var name: String
        }

        var kind: String
        var names: [Name]?
        var valueName: String?
        var defaultValue: String?
        var abstract: String?
        var isOptional: Bool
        var isRepeating: Bool
        var shouldDisplay: Bool?
    }
}

/// A page in the language of man(7).
struct ManualPage {
    private(set) var text = ""

    init(_ tool: Manual.Command) {
        self.add(".TH CULVERT 1 \"\" \"Culvert \(Version.text)\" \"Culvert\"")
        self.add(".SH NAME", "\(tool.commandName) \\- \(Self.escape(tool.abstract ?? ""))")
        self.add(".SH SYNOPSIS", ".B culvert", "[\\fICOMMAND\\fR] [\\fIOPTION\\fR]...")
        self.add(".SH DESCRIPTION", Self.escape("Without a command it runs the proxy, as culvert serve does."))
        self.add(".PP", ".B culvert \\-\\-generate\\-completion\\-script", "\\fISHELL\\fR")
        self.add(Self.escape("prints completions for a shell: bash, zsh or fish."))
        self.add(".SH COMMANDS")
        for command in tool.subcommands ?? [] { self.add(command, below: tool.commandName) }
        self.add(".SH ENVIRONMENT", ".TP", ".B CULVERT_ADMIN_TOKEN")
        self.add(Self.escape("The admin token, instead of that in the token file."))
        self.add(".SH FILES", ".TP", ".I proxy.yaml", Self.escape("The configuration, unless --config names another."))
        self.add(".TP", ".I culvert.admin\\-token")
        self.add(Self.escape("The admin token, unless admin.token_file names another."))
        self.add(".TP", ".I culvert.db", Self.escape("Minted tokens, revocations and the audit log."))
        self.add(".SH EXIT STATUS")
        self.add(Self.escape("0 for success, 1 if the command was refused or failed, 64 for a wrong use of options."))
    }

    private mutating func add(_ lines: String...) { for line in lines { self.text += line + "\n" } }

    private mutating func add(_ command: Manual.Command, below parent: String) {
        let name = parent + " " + command.commandName
        // ArgumentParser adds the command help by itself.
        guard command.shouldDisplay ?? true, command.commandName != "help" else { return }
        let arguments = (command.arguments ?? []).filter { argument in
            (argument.shouldDisplay ?? true) && !["help", "version"].contains(argument.valueName ?? "")
        }
        let subcommands = command.subcommands ?? []
        if subcommands.isEmpty {
            let places = arguments.filter { $0.kind == "positional" }.map { argument in
                let value = "\\fI\(Self.escape(argument.valueName ?? "value"))\\fR"
                return argument.isOptional ? " [\(value)]" : " \(value)"
            }
            self.add(".SS \"\(Self.escape(name))\(places.joined())\"", Self.escape(command.abstract ?? ""))
            for argument in arguments { self.add(argument) }
        }
        for subcommand in subcommands { self.add(subcommand, below: name) }
    }

    private mutating func add(_ argument: Manual.Argument) {
        let value = "\\fI\(Self.escape(argument.valueName ?? "value"))\\fR"
        let names = (argument.names ?? []).map { name in
            "\\fB\(Self.escape((name.kind == "long" ? "--" : "-") + name.name))\\fR"
        }
        switch argument.kind {
        case "positional": self.add(".TP", value)
        case "flag": self.add(".TP", names.joined(separator: ", "))
        default: self.add(".TP", names.joined(separator: ", ") + " " + value)
        }
        var text = argument.abstract ?? ""
        if let value = argument.defaultValue { text += (text.isEmpty ? "" : " ") + "Default: \(value)." }
        self.add(Self.escape(text.isEmpty ? "-" : text))
    }

    /// A minus sign that may be copied, and no line that begins with a request of roff.
    private static func escape(_ text: String) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\e").replacingOccurrences(of: "-", with: "\\-")
            .replacingOccurrences(of: "\"", with: "\\(dq").replacingOccurrences(of: "\n", with: " ")
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }
}
