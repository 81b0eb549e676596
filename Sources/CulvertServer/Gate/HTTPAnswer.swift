import CulvertCore
import NIOCore
import NIOHTTP1

/// A whole response, ready to be written.
struct HTTPAnswer: Sendable {
    var status: HTTPResponseStatus
    var headers = HTTPHeaders()
    var body = ByteBuffer()
    /// In place of `body`: a body that is made in pieces, as the client takes them.
    var batch: BatchEncoder?
    /// The `code` of a refusal, for the log; nil for any other answer.
    var reason: String?
    /// Released when the answer is written, or its connection gone.
    var hold: AnswerHold?

    init(status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()) {
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

    static func problem(
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

    static func denial(_ denial: AdmissionDenial) -> HTTPAnswer {
        .problem(
            denial.status, denial.code, denial.detail, extra: [("scope", Problem.quote(denial.scope.rawValue))],
            headers: ["Retry-After": "\(denial.retryAfter)"])
    }

    static func failure(_ failure: PollFailure) -> HTTPAnswer {
        var headers = HTTPHeaders()
        if let seconds = failure.retryAfter { headers.add(name: "Retry-After", value: "\(seconds)") }
        return .problem(failure.status, failure.code, failure.detail, extra: failure.extra, headers: headers)
    }

    static func upstreamFailure(_ failure: UpstreamFailure) -> HTTPAnswer {
        // Read by a client that has ended its own direction alone.
        if failure.isClientGone { return .inputEnded }
        if failure.isFull {
            return .problem(
                503, "upstream_full", "No server of the upstream takes another session now.",
                headers: ["Retry-After": "1"])
        }
        if failure.isShortage {
            return .problem(
                503, "out_of_resources", "This server lacks what it takes to reach the upstream now.",
                headers: ["Retry-After": "1"])
        }
        // The time in which a service that has failed is usually back.
        let headers: HTTPHeaders = ["Retry-After": "5"]
        return failure.isTimeout
            ? .problem(504, "upstream_timeout", "The upstream did not answer in time.", headers: headers)
            : .problem(502, "upstream_unreachable", "The upstream could not be reached.", headers: headers)
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
