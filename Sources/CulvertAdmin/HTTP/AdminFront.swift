import CulvertCore
import CulvertEdge
import NIOCore
import NIOHTTP1

/// The admin API behind one connection: refuses at a request's head what has no token, and has the rest answered.
final class AdminFront: ControlFront {
    /// Most bytes of a request's body.
    private static let bodyLimit = 64 * 1024

    private let api: AdminAPI
    private let requests: RequestCount
    private let isLocalSocket: Bool
    private let entry: ControlConnections.Entry

    init(api: AdminAPI, requests: RequestCount, isLocalSocket: Bool, entry: ControlConnections.Entry) {
        self.api = api
        self.requests = requests
        self.isLocalSocket = isLocalSocket
        self.entry = entry
    }

    func complete(_ headers: inout HTTPHeaders) {
        headers.replaceOrAdd(name: "Cache-Control", value: "no-store")
        headers.add(name: "X-Content-Type-Options", value: "nosniff")
    }

    func take(_ exchange: Exchange) {
        if self.requests.isRetired {
            // A kept connection changes nothing here: the next process would not learn of it.
            exchange.respond(
                .problem(503, "moved", "Send it again on a new connection.", headers: ["Retry-After": "0"]),
                isLast: true)
            return
        }
        guard let channel = exchange.channel else { return }
        var head = exchange.head
        // A target in absolute form (RFC 9112 3.2.2). A target of another form is judged as it came.
        if head.uri.utf8.first != UInt8(ascii: "/") { _ = try? RequestTarget(takingHostOf: &head) }
        let asked = head
        if let answer = self.api.answerAtHead(asked) {
            self.entry.setTrusted(false)
            exchange.respond(answer)
            return
        }
        self.entry.setTrusted(true)
        let address = self.isLocalSocket ? "unix" : channel.remoteAddress?.canonicalAddress ?? "unknown"
        exchange.collectBody(limit: Self.bodyLimit) { body in
            let request = AdminRequest(head: asked, body: body, address: address)
            self.answer(request, exchange, on: channel.eventLoop)
        }
    }

    private func answer(_ request: AdminRequest, _ exchange: Exchange, on loop: any EventLoop) {
        let api = self.api
        let requests = self.requests
        let back = NIOLoopBound(exchange, eventLoop: loop)
        requests.begin()
        // With an answer that is written, or without one.
        exchange.onEnd = { _ in requests.end() }
        Task {
            let answer = await api.answer(request)
            back.eventLoop.execute { back.value.respond(answer) }
        }
    }
}
