import CulvertConfig
import CulvertCore
import NIOCore
import NIOHTTP1

/// The files of the browser client at the paths of a configuration.
struct ClientFiles: Sendable {
    private let paths: ClientPaths
    private let files: [(path: String, file: StaticFile)]

    init(_ client: BrowserClient, at paths: ClientPaths) {
        self.paths = paths
        // Deno reads them for a script that is imported by its URL. It takes the file's name for its kind.
        let typed: KeyValuePairs = ["X-TypeScript-Types": paths.types]
        self.files = [
            (paths.module, .client(client.module, type: Self.script, caching: Self.fresh, more: typed)),
            (paths.classic, .client(client.classic, type: Self.script, caching: Self.fresh)),
            (paths.types, .client(client.types, type: "text/plain; charset=utf-8", caching: Self.fresh)),
            (
                paths.module(client.module),
                .client(client.module, type: Self.script, caching: Self.forever, more: typed)
            ),
            (paths.classic(client.classic), .client(client.classic, type: Self.script, caching: Self.forever)),
        ]
    }

    private static let script = "text/javascript; charset=utf-8"
    private static let fresh = "no-cache"
    private static let forever = "public, max-age=31536000, immutable"

    /// Nil for a path that is none of theirs.
    func answer(path: String, method: HTTPMethod, headers: HTTPHeaders) -> HTTPAnswer? {
        // By bytes, as all that a client has sent.
        if let entry = self.files.first(where: { path.equals($0.path) }) {
            return entry.file.answer(method: method, headers: headers)
        }
        guard self.paths.isBuild(path) else { return nil }
        // Of the version before, or of another edge; a route would take it for a WebSocket URL.
        return .problem(
            404, "no_such_build", "This edge serves another build of the client.",
            headers: ["Access-Control-Allow-Origin": "*"])
    }
}

extension StaticFile {
    /// Anybody's page may load it.
    fileprivate static func client(
        _ build: BrowserClient.Build, type: String, caching: String, more: KeyValuePairs<String, String> = [:]
    ) -> StaticFile {
        var headers: HTTPHeaders = [
            "Content-Type": type, "Cache-Control": caching, "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff",
        ]
        for (name, value) in more { headers.add(name: name, value: value) }
        return StaticFile(headers: headers, body: build.body, gzip: build.gzip, tag: build.mark)
    }
}

extension ClientPaths {
    /// The path of one build. It may be cached for ever, since a later build has another path.
    package func module(_ build: BrowserClient.Build) -> String { "\(self.stem).\(build.mark).js" }
    package func classic(_ build: BrowserClient.Build) -> String { "\(self.stem).\(build.mark).classic.js" }
}
