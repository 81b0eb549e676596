import CulvertConfig
import CulvertCore
import Logging
import NIOCore
import NIOHTTP1

extension EdgeContext {
    /// Dials the route's upstream. `place` is the session's from here on; whoever gives the session up releases it.
    func dial(
        _ request: HTTPRequestHead, admission: Admission, client: ClientFacts, line: PlaceInLine, place: SessionPlace,
        state: LoopState
    ) -> EventLoopFuture<UpstreamConnector.Outcome> {
        let outcome = self.connect(request, admission: admission, client: client, line: line, state: state)
        outcome.assumeIsolated().whenComplete { _ in place.answered() }
        return outcome
    }

    private func connect(
        _ request: HTTPRequestHead, admission: Admission, client: ClientFacts, line: PlaceInLine, state: LoopState
    ) -> EventLoopFuture<UpstreamConnector.Outcome> {
        guard let connector = state.rules.connectors[admission.route.upstream] else {
            return state.loop.makeFailedFuture(UpstreamFailure(isTimeout: false, reason: "no such upstream"))
        }
        let key = connector.key(of: request, subject: admission.token?.subject, address: client.address)
        let outcome = connector.connect(
            request, key: key, client: client, line: line, memory: self.memory,
            ceiling: state.rules.config.limits.memory, turns: state.tls, slices: state.slices, on: state.loop)
        return outcome.assumeIsolated()
            .flatMapError { error in
                guard (error as? UpstreamFailure)?.isSuperseded == true,
                    state.rules.connectors[admission.route.upstream] !== connector
                else {
                    return state.loop.makeFailedFuture(error)
                }
                // It stood in a line that a reload has closed: it stands in the next one.
                return self.connect(request, admission: admission, client: client, line: line, state: state)
            }
            .nonisolated()
    }

    /// Logs why an opening has no upstream.
    ///
    /// - Parameter client: the address of the opening's client.
    func answer(to error: any Error, route: Route, client: String) -> HTTPAnswer {
        let failure =
            error as? UpstreamFailure ?? UpstreamFailure(isTimeout: false, reason: ConnectionFault.words(error))
        var metadata: Logger.Metadata = [
            "route": "\(route.name)", "upstream": "\(route.upstream)", "client": "\(client)",
            "reason": "\(failure.reason)",
        ]
        if let server = failure.server { metadata["server"] = "\(server)" }
        self.logger.log(
            level: failure.isClientGone ? .debug : .warning, "upstream failed", metadata: metadata)
        return .upstreamFailure(failure)
    }

    func facts(
        _ admission: Admission, head: HTTPRequestHead, path: String, address: String, jwtRules: JWTClaimRules?,
        state: LoopState
    ) -> SessionFacts {
        SessionFacts(
            id: state.newID(node: self.node), route: admission.route, clientAddress: address, basePath: path,
            host: head.headers.first(name: "host"), origins: head.headers["origin"],
            userAgent: head.headers.first(name: "user-agent").map {
                ShownText.clean($0, limit: ShownText.longestAgent)
            },
            jwtRules: jwtRules)
    }

    /// Runs `body` with the sessions of the loop that `id` names, now if that is the current one. False: there is no
    /// such loop here.
    ///
    /// - Parameters:
    ///   - cost: the work of `body`, in messages. Work for another loop that costs more than a few waits there for a slice,
    ///     because a loop does all the tasks that other loops give it before it looks at its sockets.
    ///   - client: whose turn that slice is.
    @discardableResult
    func onLoop(
        of id: SessionID, cost: Int = 0, client: @autoclosure () -> AddressKey = .none,
        _ body: @escaping @Sendable (LoopState) -> Void
    ) -> Bool {
        guard id.node == self.node, Int(id.shard) < self.loops.count else { return false }
        let bound = self.loops[Int(id.shard)]
        if bound.eventLoop.inEventLoop {
            body(bound.value)
        } else if cost > LoopSlices.fewMessages {
            let client = client()
            bound.eventLoop.execute {
                bound.value.slices.enqueue(in: .sessions, of: client) { body(bound.value) }
            }
        } else {
            bound.eventLoop.execute { body(bound.value) }
        }
        return true
    }
}
