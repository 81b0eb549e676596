import CulvertCore
import CulvertSystem
package import NIOCore
package import NIOHTTP1

/// A whole response, ready to be written.
package struct HTTPAnswer: Sendable {
    var status: HTTPResponseStatus
    var headers = HTTPHeaders()
    var body = ByteBuffer()
    /// In place of `body`: a body that is made in pieces, as the client takes them.
    var batch: BatchEncoder?
    /// The `code` of a refusal, for the log; nil for any other answer.
    var reason: String?
    /// What a limit of sessions has refused, for the log; nil for any other answer.
    var refusedBy: RefusalLog.Limit?
    /// Released when the answer is written, or its connection gone.
    var hold: (any CountedAnswer)?
    /// The client whose turns a long answer takes; nil for the connection's peer.
    var client: AddressKey?

    package init(status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// - Parameter codec: the form of `batch`.
    init(_ batch: PollBatch, in codec: PollCodec) {
        self.init(status: .ok, headers: ["Content-Type": codec.mediaType])
        if batch.encodedBytes > AnswerWriter.piece {
            self.batch = BatchEncoder(batch, codec: codec)
        } else {
            self.body = codec.encode(batch)
        }
    }

    /// The length of the body in bytes.
    var length: Int { self.batch?.length ?? self.body.readableBytes }

    /// The bytes of the body that are written; none behind a HEAD (RFC 9110 9.3.2).
    ///
    /// - Parameter method: of the request; nil for a request that could not be decoded.
    func writtenLength(to method: HTTPMethod?) -> Int {
        self.status.mayHaveResponseBody && method != .HEAD ? self.length : 0
    }

    /// The body goes out in pieces, by an ``AnswerWriter``.
    var isInPieces: Bool { self.batch != nil || self.length > AnswerWriter.piece }

    package static func problem(
        _ status: Int, _ code: String, _ detail: String, extra: [(String, String)] = [], headers: HTTPHeaders = [:]
    ) -> HTTPAnswer {
        let status = HTTPResponseStatus(statusCode: status)
        let body = Problem.json(
            status: Int(status.code), code: code, title: status.reasonPhrase, detail: detail, extra: extra)
        var headers = headers
        headers.add(name: "Content-Type", value: Problem.mediaType)
        var answer = HTTPAnswer(status: status, headers: headers, body: ByteBuffer(string: body))
        answer.reason = code
        return answer
    }

    /// - Parameter closeCode: what a session ends with whose token has died.
    static func rejection(_ rejection: Rejection, closeCode: CloseCode) -> HTTPAnswer {
        var headers = HTTPHeaders()
        for header in rejection.headers { headers.add(name: header.name, value: header.value) }
        let extra = rejection.fault.map { fault in
            [("code", "\(closeCode.rawValue)"), ("reason", Problem.quote(fault.reason))]
        }
        return .problem(rejection.status, rejection.code, rejection.detail, extra: extra ?? [], headers: headers)
            .allowing(origin: rejection.allowedOrigin)
    }

    /// - Parameter token: of the opening that is refused; nil without one.
    static func denial(_ denial: AdmissionDenial, token: Token? = nil) -> HTTPAnswer {
        var answer = Self.problem(
            denial.status, denial.code, denial.detail, extra: [("scope", Problem.quote(denial.scope.rawValue))],
            headers: ["Retry-After": "\(denial.retryAfter)"])
        answer.refusedBy = RefusalLog.Limit(scope: denial.scope.rawValue, token: token?.id, subject: token?.subject)
        return answer
    }

    /// CORS for a request with credentials: the origin itself, never `*` (Fetch standard 3.2.5). The answer differs by
    /// origin whether or not one was sent.
    func allowing(origin: String?) -> HTTPAnswer {
        var answer = self
        answer.headers.add(name: "Vary", value: "Origin")
        if let origin {
            answer.headers.replaceOrAdd(name: "Access-Control-Allow-Origin", value: origin)
            answer.headers.replaceOrAdd(name: "Access-Control-Allow-Credentials", value: "true")
            answer.headers.replaceOrAdd(name: "Access-Control-Expose-Headers", value: "Location, Retry-After")
        }
        return answer
    }

    static func preflight(_ preflight: Preflight) -> HTTPAnswer {
        let headers: HTTPHeaders = [
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept, Sec-WebSocket-Protocol",
            "Access-Control-Max-Age": "600",
        ]
        return HTTPAnswer(status: .noContent, headers: headers).allowing(origin: preflight.allowedOrigin)
    }
}
