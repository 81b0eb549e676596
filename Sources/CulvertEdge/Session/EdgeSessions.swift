import CulvertConfig
package import CulvertCore
import NIOCore

/// What the admin API sees and does of the sessions.
///
/// A loop is asked for a few hundred sessions at a time and left alone in between, so that listing many thousands holds
/// no message up.
package struct EdgeSessions: SessionDirectory {
    private static let slice = 256
    /// Sessions that are closed in one turn of a loop: each writes a Close or two.
    private static let closings = 64
    /// A loop takes all tasks there are before it looks at its sockets again, and one that was given while it worked is
    /// there. One for later is not.
    private static let pause = TimeAmount.milliseconds(1)

    let edge: EdgeContext

    package func list(
        _ filter: SessionFilter, after: SessionID?, limit: Int
    ) async -> (items: [SessionInfo], next: String?) {
        var found: [SessionInfo] = []
        for (index, loop) in self.edge.loops.enumerated() where index >= after.map({ Int($0.shard) }) ?? 0 {
            let ids = await self.ids(loop).filter { id in after.map { $0 < id } ?? true }.sorted()
            for slice in ids.chunks(of: Self.slice) {
                found += await self.visit(loop, slice) { filter.matches($0) ? SessionInfo($0) : nil }
                // One more than the page tells of a next.
                if found.count > limit { return (Array(found.prefix(limit)), found[limit - 1].id) }
            }
        }
        return (found, nil)
    }

    package func info(id: String) async -> SessionInfo? {
        await self.with(id) { SessionInfo($0) }
    }

    package func close(id: String, code: CloseCode, reason: String) async -> Bool {
        let frame = CloseFrame(code: code, reason: reason)
        return await self.with(id) { Self.close($0, frame) } ?? false
    }

    package func close(_ filter: SessionFilter, code: CloseCode, reason: String) async -> Int {
        let frame = CloseFrame(code: code, reason: reason)
        var count = 0
        for loop in self.edge.loops {
            for slice in await self.ids(loop).chunks(of: Self.closings) {
                let told = await self.visit(loop, slice) { session in
                    filter.matches(session) && Self.close(session, frame) ? true : nil
                }
                count += told.count
            }
        }
        return count
    }

    /// What `body` makes of each session that has not ended.
    func collect<Value: Sendable>(_ body: @escaping @Sendable (Session) -> Value?) async -> [Value] {
        var found: [Value] = []
        for loop in self.edge.loops {
            for slice in await self.ids(loop).chunks(of: Self.slice) { found += await self.visit(loop, slice, body) }
        }
        return found
    }

    /// Closes the session, if it was not closing already.
    ///
    /// - Returns: the place that it leaves when it has ended.
    func shed(_ id: SessionID, _ frame: CloseFrame) async -> ServerLease? {
        await self.with(id.description) { session in
            Self.close(session, frame, upstreamReason: frame.reason) ? session.lease : nil
        }?.flatMap(\.self)
    }

    /// - Returns: false if the session was closing already.
    private static func close(
        _ session: Session, _ frame: CloseFrame, upstreamReason: String = "closed by the operator"
    ) -> Bool {
        guard session.life.closing.ending == nil else { return false }
        session.dismiss(frame, upstreamReason: upstreamReason)
        return true
    }

    /// The session's own loop does it; nil when there is no such session.
    private func with<Value: Sendable>(_ id: String, _ body: @escaping @Sendable (Session) -> Value) async -> Value? {
        guard let id = SessionID(id), id.node == self.edge.node, Int(id.shard) < self.edge.loops.count else {
            return nil
        }
        let loop = self.edge.loops[Int(id.shard)]
        let future = loop.eventLoop.submit { loop.value.session(id).flatMap { $0.isEnded ? nil : body($0) } }
        return (try? await future.get()).flatMap(\.self)
    }

    private func ids(_ loop: NIOLoopBound<LoopState>) async -> [SessionID] {
        (try? await loop.eventLoop.submit { loop.value.sessions.ids }.get()) ?? []
    }

    private func visit<Value: Sendable>(
        _ loop: NIOLoopBound<LoopState>, _ ids: ArraySlice<SessionID>,
        _ body: @escaping @Sendable (Session) -> Value?
    ) async -> [Value] {
        let visit = loop.eventLoop.scheduleTask(in: Self.pause) {
            ids.compactMap { id in loop.value.session(id).flatMap { $0.isEnded ? nil : body($0) } }
        }
        return (try? await visit.futureResult.get()) ?? []
    }
}

extension Array {
    fileprivate func chunks(of size: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: size).map { self[$0..<Swift.min($0 + size, self.count)] }
    }
}

extension SessionFilter {
    fileprivate func matches(_ session: Session) -> Bool {
        func agrees<Value: Equatable>(_ wanted: Value?, _ value: Value?) -> Bool { wanted == nil || wanted == value }
        let facts = session.facts
        return agrees(self.token, session.credential?.token.id) && agrees(self.subject, session.subject)
            && agrees(self.route, facts.route.name) && agrees(self.transport, session.transport)
            && agrees(self.address, facts.clientAddress) && agrees(self.upstream, facts.route.upstream)
            && agrees(self.server, session.lease.server.config.url)
    }
}

extension SessionInfo {
    fileprivate init(_ session: Session) {
        let (facts, token) = (session.facts, session.credential?.token)
        self.init(
            id: session.id.description,
            credential: Credential(token: token?.id, tokenExpires: token?.expires, subject: session.subject),
            client: Client(
                address: facts.clientAddress, path: facts.pathShown, origin: facts.originShown,
                userAgent: facts.userAgent),
            destination: Destination(
                route: facts.route.name, upstream: facts.route.upstream, server: session.lease.server.config.url),
            transport: session.transport, openedAt: facts.openedAt, counts: session.counts)
    }
}
