import ArgumentParser
import CulvertConfig
import CulvertEdge
import CulvertSystem
import Foundation
import NIOCore

/// `culvert client`: what a page needs to know of the browser client that this binary serves.
struct ClientScript: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Print the paths, integrity values and tags of the browser client, or its files; or write a package.")

    @Option(name: .shortAndLong, help: "The configuration file; - for standard input.", completion: .file())
    var config = "proxy.yaml"

    @Option(help: "The origin to put before the paths in tags, for pages of another origin: https://edge.example.")
    var origin: String?

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: "Print a file itself: module, classic or types. Needs no configuration.")
    var source: Source?

    @Option(help: "Write a package for npm, bundlers and TypeScript into a folder. Needs no configuration.")
    var npm: String?

    enum Source: String, ExpressibleByArgument, CaseIterable {
        case module
        case classic
        case types
    }

    func validate() throws {
        guard self.source == nil || !self.json else { throw ValidationError("--source prints no JSON.") }
        guard self.npm == nil || (self.source == nil && !self.json && self.origin == nil) else {
            throw ValidationError("--npm takes none of --source, --json and --origin.")
        }
        guard self.npm != "" else { throw ValidationError("--npm needs the path of a folder.") }
        guard let origin = self.origin else { return }
        // It is written into attributes.
        guard origin.wholeMatch(of: #/https?:\/\/[A-Za-z0-9._:\[\]-]+/#) != nil else {
            throw ValidationError("--origin is a scheme and a host, such as https://edge.example.")
        }
    }

    func run() throws {
        let client = try BrowserClient.current
        switch self.source {
        case .module?: return try self.write(client.module)
        case .classic?: return try self.write(client.classic)
        case .types?: return try self.write(client.types)
        case nil: break
        }
        if let npm = self.npm { return try self.write(client, into: npm) }
        guard let paths = try Check.load(self.config).client else {
            throw Failure.report([
                "\(self.config): no \"client\", so it is not served; it would be with client: /culvert.js"
            ])
        }
        let facts = Facts(client: client, paths: paths, origin: self.origin ?? "")
        try self.write(self.json ? facts.json() : Data(facts.text.utf8))
    }

    private func write(_ client: BrowserClient, into folder: String) throws {
        do throws(PackageFolder.Failure) {
            try PackageFolder(path: folder).write(ClientPackage(client, version: Version.text))
        } catch {
            throw Failure.report([error.description])
        }
        let written = "\(ClientPackage.name) \(Version.text) is in \(folder); npm install takes that path\n"
        try self.write(Data(written.utf8))
    }

    private func write(_ build: BrowserClient.Build) throws { try self.write(Data(build.body.readableBytesView)) }

    private func write(_ data: Data) throws { try FileHandle.standardOutput.write(contentsOf: data) }
}

extension ClientScript {
    private struct Facts {
        let client: BrowserClient
        let paths: ClientPaths
        let origin: String

        private var module: String { self.paths.module(self.client.module) }
        private var classic: String { self.paths.classic(self.client.classic) }

        /// The lines of a page.
        private var moduleTag: [String] {
            let url = self.origin + self.module
            return [
                #"<script type="importmap">"#,
                #"{"imports": {"culvert": "\#(url)"},"#,
                #" "integrity": {"\#(url)": "\#(self.client.module.integrity)"}}"#,
                "</script>",
                #"<script type="module">import { CulvertSocket } from "culvert"; /* … */</script>"#,
            ]
        }

        private var classicTag: [String] {
            [
                #"<script src="\#(self.origin)\#(self.classic)""#,
                #"  integrity="\#(self.client.classic.integrity)" crossorigin="anonymous"></script>"#,
            ]
        }

        var text: String {
            let kinds = [
                ("module", self.client.module, self.paths.module, self.module),
                ("classic", self.client.classic, self.paths.classic, self.classic),
                ("types", self.client.types, self.paths.types, nil),
            ]
            var lines: [String] = []
            for (name, build, path, permanent) in kinds {
                lines.append("\(name): \(build.sizes)")
                lines.append("  \(path)  (revalidated at each load)")
                if let permanent {
                    lines.append("  \(permanent)  (cached without an end)")
                    lines.append("  \(build.integrity)")
                }
                lines.append("")
            }
            lines += ["As a module:", ""] + self.moduleTag
            lines += ["", "As a script, which sets CulvertSocket:", ""] + self.classicTag
            lines += ["", "For npm, bundlers and TypeScript: culvert client --npm FOLDER writes a package."]
            return lines.map { $0 + "\n" }.joined()
        }

        private struct Build: Encodable {
            var path: String
            var permanent_path: String?
            var bytes: Int
            var gzip_bytes: Int?
            var sha256: String
            var integrity: String
            var tag: String?

            init(_ build: BrowserClient.Build, _ path: String, permanent: String? = nil, tag: [String]? = nil) {
                self.path = path
                self.permanent_path = permanent
                self.bytes = build.body.readableBytes
                self.gzip_bytes = build.gzip?.readableBytes
                self.sha256 = build.digest
                self.integrity = build.integrity
                self.tag = tag?.joined(separator: "\n")
            }
        }

        func json() throws -> Data {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return try encoder.encode([
                "module": Build(
                    self.client.module, self.paths.module, permanent: self.module, tag: self.moduleTag),
                "classic": Build(
                    self.client.classic, self.paths.classic, permanent: self.classic, tag: self.classicTag),
                "types": Build(self.client.types, self.paths.types),
            ]) + Data("\n".utf8)
        }
    }
}

extension BrowserClient.Build {
    fileprivate var sizes: String {
        "\(self.body.readableBytes) bytes" + (self.gzip.map { ", \($0.readableBytes) gzipped" } ?? "")
    }
}
