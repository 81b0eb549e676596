import AsyncHTTPClient
package import CulvertCore
import CulvertSystem
package import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Why a set of keys was not taken; for the log.
package struct KeySetFault: Error, Equatable, CustomStringConvertible {
    package var description: String

    package init(description: String) { self.description = description }

    static let noSet = KeySetFault(description: "this is no set of keys (RFC 7517)")
    static let notJSON = KeySetFault(description: "this is not JSON (RFC 8259) in UTF-8 without a byte order mark")
    static let duplicate = KeySetFault(description: "a member stands twice in an object of the set")
    static let empty = KeySetFault(description: "the set has no key")
    static let noUsableKey = KeySetFault(description: "no key in the set is usable")
    static let tooLarge = KeySetFault(description: "more than 1MiB")
    static let timeout = KeySetFault(description: "took too long")

    /// The remedy for a file with the fault, for the end of a message.
    package var advice: String {
        self == .empty || self == .noUsableKey
            ? "put a key of the issuer into its list \"keys\""
            : "write a JSON object whose member is \"keys\""
    }
}

/// JSON Web Key Sets (RFC 7517 section 5): how they are read, and what counts in them.
package enum KeySet {
    private static let sizeLimit = 1 << 20
    private static let keyLimit = 100
    /// Keys have some ten members, and certificates in lists.
    private static let limits = JSONLimits(bytes: sizeLimit, depth: 16, values: 32_768)
    /// The queue on which sets are parsed and keys made: each takes too long for a loop.
    static let queue = BlockingQueue("keys")
    /// Reads the files of keys and of sets. A file that does not answer holds up neither the others nor the queue.
    static let files = FileWork("keys.files")
    /// The event loop of the clients that read sets. The loops of sessions do not read them, because a server may send
    /// the smallest of chunks as fast as it can until its time is up.
    private static let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Keys that are of no use here are passed over: a set is made for all who verify with it. A member that stands
    /// twice refuses all of the set (RFC 7517 section 4): no reader can tell which of the two its issuer means.
    ///
    /// - Parameter takesSecrets: count `oct` keys too.
    package static func parse(_ data: Data, takesSecrets: Bool) throws(KeySetFault) -> [JWTKeyDescription] {
        let document: JSONValue
        do throws(JSONFault) {
            document = try JSONValue(reading: data, limits: Self.limits)
        } catch {
            switch error {
            case .duplicate: throw .duplicate
            case .syntax: throw .notJSON
            case .tooLong, .tooDeep, .tooMany, .type: throw .noSet
            }
        }
        guard case .object(let members) = document, case .array(let entries)? = members["keys"] else { throw .noSet }
        guard !entries.isEmpty else { throw .empty }
        var keys: [JWTKeyDescription] = []
        for case .object(let jwk) in entries.prefix(Self.keyLimit) {
            guard let key = try? JWTKeyDescription(jwk: jwk), takesSecrets || !key.material.isSecret else { continue }
            keys.append(key)
        }
        guard !keys.isEmpty else { throw .noUsableKey }
        return keys
    }

    /// - Throws: ``KeySetFault``.
    package static func read(_ config: KeySetConfig, _ network: KeySetNetwork) async throws -> [JWTKeyDescription] {
        switch config.place {
        case .file(let path):
            let data: Data
            do {
                data = try await self.files.run { try self.contents(of: path) }
            } catch let fault as FileWork.Fault {
                throw KeySetFault(description: fault.description)
            }
            return try await self.queue.run {
                Result { () throws(KeySetFault) in try self.parse(data, takesSecrets: true) }
            }.get()
        case .url(let url, let ca):
            let data = try await self.fetch(url, ca: ca, within: config.timeout, network)
            return try await self.queue.run {
                Result { () throws(KeySetFault) in try self.parse(data, takesSecrets: false) }
            }.get()
        }
    }

    /// The content of a file, unless it is longer than the limit.
    package static func contents(of path: String) throws(KeySetFault) -> Data {
        do throws(RegularFile.Fault) {
            return try RegularFile.read(path, most: self.sizeLimit)
        } catch {
            switch error {
            case .irregular(let fault): throw KeySetFault(description: fault)
            case .unreadable: throw KeySetFault(description: "cannot be read")
            case .tooLong: throw .tooLarge
            }
        }
    }

    /// The client's own look-ups stand in a queue for each event loop. A name that hangs must not get there, since it
    /// would hold up all others: only one that has just been answered goes on.
    private static func look(
        up host: String, until deadline: NIODeadline, within time: TimeAmount, _ network: KeySetNetwork
    ) async throws(KeySetFault) {
        let name = host.begins(with: "[") ? String(decoding: host.utf8.dropFirst().dropLast(), as: UTF8.self) : host
        try await network.lookUp(name, deadline, time)
    }

    /// A client for each time: it is once in minutes, and a connection of minutes ago is not to be trusted to work.
    private static func fetch(
        _ url: String, ca: String?, within time: TimeAmount, _ network: KeySetNetwork
    ) async throws -> Data {
        let deadline = NIODeadline.now() + time
        try await self.look(up: try HTTPClient.Request(url: url).host, until: deadline, within: time, network)
        var tls = network.makeTLS()
        if let ca {
            if let fault = RegularFile.unfitForAuthorities(ca) { throw KeySetFault(description: "\(ca): \(fault)") }
            tls.trustRoots = .file(ca)
        }
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls, redirectConfiguration: .disallow)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        if url.begins(with: "https:"), let check = network.nameCheck(try HTTPClient.Request(url: url).host) {
            configuration.http1_1ConnectionDebugInitializer = check
        }
        let client = HTTPClient(eventLoopGroupProvider: .shared(self.loops), configuration: configuration)
        // The caller does not wait for the shutdown, which takes seconds if the server does not answer our
        // close_notify.
        defer { Task { try await client.shutdown() } }
        do {
            let headers: HTTPHeaders = [
                "Accept": "application/jwk-set+json, application/json", "User-Agent": "culvert",
            ]
            let request = try HTTPClient.Request(url: url, headers: headers)
            // This deadline covers the whole response. That of the client's other call ends with the response's head.
            let response = try await client.execute(
                request: request, delegate: ResponseAccumulator(request: request, maxBodySize: self.sizeLimit),
                deadline: deadline
            ).get()
            guard response.status == .ok else {
                throw KeySetFault(description: "answered \(response.status.code)")
            }
            return response.body.map { Data(buffer: $0) } ?? Data()
        } catch {
            if error is ResponseAccumulator.ResponseTooBigError { throw KeySetFault.tooLarge }
            throw (error as? HTTPClientError) == .deadlineExceeded ? KeySetFault.timeout : error
        }
    }
}
