import ArgumentParser
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1

/// Where the admin API is, and how its answers are shown.
struct AdminOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: "The proxy's configuration; it names the admin API's address and its token's file.", completion: .file())
    var config: String?

    @Option(help: "The admin API, instead of the configuration's: http://HOST:PORT, https://HOST:PORT or unix:PATH.")
    var url: String?

    @Option(
        help: "The file with the admin token. The environment variable CULVERT_ADMIN_TOKEN overrides it.",
        completion: .file())
    var tokenFile: String?

    @Flag(help: "Print the API's JSON answer, for scripts.")
    var json = false
}

/// Why a command did not do what it was asked; for the operator's eyes.
struct CommandFailure: Error, CustomStringConvertible {
    var description: String
}

/// A thin client of the admin API.
struct AdminClient {
    private static let deadline = TimeAmount.seconds(30)
    private static let answerLimit = 16 << 20

    let options: AdminOptions

    /// - Parameters:
    ///   - query: nil values are left out.
    ///   - given: what the operator has typed for members of the body, by their pointers, for messages.
    /// - Returns: the answer's body, whatever its members.
    func ask(
        _ method: HTTPMethod, _ path: [String], query: [(String, String?)] = [], body: [String: Any]? = nil,
        given: [String: String] = [:]
    ) async throws -> Data {
        let place = try AdminPlace(self.options)
        let token: CommandToken
        do {
            token = try CommandToken.find(place)
        } catch let failure as CommandFailure {
            throw CommandFailure(description: failure.description + place.note)
        }
        var request = HTTPClientRequest(url: try Self.url(place.url, path, query))
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(token.secret)")
        // Over a Unix socket there is no name to call it by.
        if place.url.hasPrefix("unix:") { request.headers.add(name: "Host", value: "localhost") }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(try JSONSerialization.data(withJSONObject: body))
        }
        let (status, answer) = try await self.execute(request, at: place, AdminPeer(url: place.url, token: token))
        // The API says the same to every request without its token. The command knows which token it has sent.
        guard status != .unauthorized else {
            throw CommandFailure(description: token.refusal(url: place.url) + place.note)
        }
        guard (200..<300).contains(status.code) else {
            let text = AdminProblem.text(status, Self.object(answer), given: given)
            throw CommandFailure(description: text)
        }
        return answer
    }

    private func execute(
        _ request: HTTPClientRequest, at place: AdminPlace, _ peer: AdminPeer
    ) async throws -> (HTTPResponseStatus, Data) {
        var configuration = HTTPClient.Configuration()
        // A port where nobody listens is an answer.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        // The request, and the token in it, waits for the end of this look.
        configuration.http1_1ConnectionDebugInitializer = peer.look
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let result: Result<(HTTPResponseStatus, Data), CommandFailure>
        do {
            let response = try await client.execute(request, timeout: Self.deadline)
            let body = try await response.body.collect(upTo: Self.answerLimit)
            result = .success((response.status, Data(buffer: body)))
        } catch let failure as CommandFailure {
            result = .failure(failure)
        } catch {
            let reason = Unreachable.missingSocket(of: place.url) ?? Unreachable.reason(error)
            result = .failure(
                CommandFailure(
                    description: "\(place.url) cannot be reached: \(reason)\(Unreachable.remedy(error))" + place.note))
        }
        try? await client.shutdown()
        return try result.get()
    }

    private static func url(_ base: String, _ path: [String], _ query: [(String, String?)]) throws -> String {
        // RFC 3986 2.3: nothing else may stand for itself in a segment or a value.
        let allowed = CharacterSet(
            charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
        func encode(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: allowed) ?? "" }
        var base = base
        while base.hasSuffix("/") { base.removeLast() }
        if base.hasPrefix("unix:") {
            base = "http+unix://" + encode(Unreachable.socketPath(base))
        } else if !base.hasPrefix("http://"), !base.hasPrefix("https://") {
            throw CommandFailure(description: "--url: expected http://HOST:PORT, https://HOST:PORT or unix:PATH")
        }
        let pairs = query.compactMap { name, value in value.map { "\(name)=\(encode($0))" } }
        return base + "/v1/" + path.map(encode).joined(separator: "/")
            + (pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&"))
    }

    // MARK: - showing

    /// The object of an answer.
    static func object(_ answer: Data) -> [String: Any] {
        ((try? JSONSerialization.jsonObject(with: answer)) as? [String: Any]) ?? [:]
    }

    /// Prints what the API said as it is, or as a table of `columns` of its items.
    ///
    /// - Parameter columns: what stands at the top, and the member that stands below.
    func show(_ answer: Data, columns: [(title: String, member: String)]) throws {
        let object = Self.object(answer)
        try self.show(answer, items: object["items"] as? [[String: Any]] ?? [object], columns: columns)
    }

    /// - Parameter items: rows in place of those of the answer.
    func show(
        _ answer: Data, items: [[String: Any]], columns: [(title: String, member: String)]
    ) throws {
        if self.options.json {
            try FileHandle.standardOutput.write(contentsOf: answer)
            return
        }
        let object = Self.object(answer)
        let rows =
            [columns.map(\.title)] + items.map { item in columns.map { Self.text(item[$0.member]) } }
        let widths = columns.indices.map { index in rows.map { $0[index].count }.max() ?? 0 }
        var out = ""
        for row in rows {
            let cells = zip(row, widths).map { cell, width in cell.padding(toLength: width, withPad: " ", startingAt: 0)
            }
            out += cells.joined(separator: "  ").replacing(#/ +$/#, with: "") + "\n"
        }
        if let next = object["next"] as? String { out += "(more: --cursor \(next))\n" }
        try FileHandle.standardOutput.write(contentsOf: Data(out.utf8))
    }

    private static func text(_ value: Any?) -> String {
        switch value {
        case let list as [Any]: list.map { self.text($0) }.joined(separator: ",")
        case let text as String:
            // What a client chose must not drive the terminal.
            String(
                String.UnicodeScalarView(
                    text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
        case let number as NSNumber: number.stringValue
        default: "-"
        }
    }
}

extension AsyncParsableCommand {
    /// Runs `body`; what goes wrong is said on one line, and the command leaves with 1.
    func reporting(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as CommandFailure {
            throw Failure.report([error.description])
        }
    }
}
