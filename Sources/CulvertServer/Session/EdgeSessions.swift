package import CulvertCore
import NIOCore

/// What the admin API sees and does of the sessions.
///
/// A loop is asked for a few hundred sessions at a time, so that listing many thousands holds no message up.
package struct EdgeSessions: SessionDirectory {
    private static let slice = 256

    let edge: EdgeContext

    package func list(
        _ filter: SessionFilter, after: String?, limit: Int
    ) async -> (items: [SessionInfo], next: String?) {
        var found: [SessionInfo] = []
        for loop in self.edge.loops {
            found += await self.visit(loop) { session in
                guard session.matches(filter) else { return nil }
                let info = session.info
                return info.id > after ?? "" ? info : nil
            }
            // Of what the loops have seen so far, no more than the page can be on it; one more tells of a next.
            found.sort { $0.id < $1.id }
            found.removeLast(max(0, found.count - limit - 1))
        }
        let page = Array(found.prefix(limit))
        return (page, found.count > limit ? page.last?.id : nil)
    }

    package func info(id: String) async -> SessionInfo? {
        await self.with(id) { $0.info }
    }

    package func close(id: String, code: CloseCode, reason: String) async -> Bool {
        let frame = CloseFrame(code: code, reason: reason)
        return await self.with(id) { $0.closeByOperator(frame) } ?? false
    }

    package func close(_ filter: SessionFilter, code: CloseCode, reason: String) async -> Int {
        let frame = CloseFrame(code: code, reason: reason)
        var count = 0
        for loop in self.edge.loops {
            let told = await self.visit(loop) { session in
                session.matches(filter) && session.closeByOperator(frame) ? true : nil
            }
            count += told.count
        }
        return count
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

    private func visit<Value: Sendable>(
        _ loop: NIOLoopBound<LoopState>, _ body: @escaping @Sendable (Session) -> Value?
    ) async -> [Value] {
        var ids = (try? await loop.eventLoop.submit { loop.value.sessionIDs }.get()) ?? []
        var found: [Value] = []
        while !ids.isEmpty {
            let slice = Array(ids.suffix(Self.slice))
            ids.removeLast(slice.count)
            let visit = loop.eventLoop.submit {
                slice.compactMap { id in loop.value.session(id).flatMap { $0.isEnded ? nil : body($0) } }
            }
            found += (try? await visit.get()) ?? []
        }
        return found
    }
}

extension Session {
    fileprivate func matches(_ filter: SessionFilter) -> Bool {
        func agrees<Value: Equatable>(_ wanted: Value?, _ value: Value?) -> Bool { wanted == nil || wanted == value }
        return agrees(filter.token, self.credential?.token.id) && agrees(filter.subject, self.subject)
            && agrees(filter.route, self.facts.route.name) && agrees(filter.transport, self.transport)
            && agrees(filter.address, self.facts.clientAddress) && agrees(filter.upstream, self.facts.route.upstream)
    }

    fileprivate var info: SessionInfo {
        let counts = self.counts
        return SessionInfo(
            id: self.id.description, token: self.credential?.token.id,
            tokenExpires: self.credential?.token.expires, subject: self.subject, route: self.facts.route.name,
            transport: self.transport, address: self.facts.clientAddress,
            upstream: self.facts.route.upstream, openedAt: self.openedAtUnix, messagesIn: counts.messagesIn,
            messagesOut: counts.messagesOut, bytesIn: counts.bytesIn, bytesOut: counts.bytesOut)
    }

    /// - Returns: false if it was closing already.
    fileprivate func closeByOperator(_ frame: CloseFrame) -> Bool {
        guard self.machine.closing.ending == nil else { return false }
        self.dismiss(frame, upstreamReason: "closed by the operator")
        return true
    }
}
