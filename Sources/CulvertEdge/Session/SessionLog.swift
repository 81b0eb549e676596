import CulvertConfig
import CulvertCore
import CulvertSystem
import Logging
import NIOCore

/// One line when a session opens and one when it ends.
struct SessionLog: Sendable {
    let logger: Logger

    func opened(_ session: Session) {
        self.logger.info("session opened", metadata: self.facts(session))
    }

    func ended(_ session: Session, ending: Ending?, duration: TimeAmount) {
        // The metadata costs more than the rest of an end.
        guard self.logger.logLevel <= .info else { return }
        var metadata = self.facts(session)
        let counts = session.counts
        metadata["duration"] = .stringConvertible(Double(duration.nanoseconds / 1_000_000) / 1000)
        metadata["messages_in"] = .stringConvertible(counts.messagesIn)
        metadata["messages_out"] = .stringConvertible(counts.messagesOut)
        metadata["bytes_in"] = .stringConvertible(counts.bytesIn)
        metadata["bytes_out"] = .stringConvertible(counts.bytesOut)
        metadata["close_code"] = .stringConvertible((ending?.frame.code ?? .noStatus).rawValue)
        metadata["closed_by"] = "\((ending?.closer ?? .culvert).rawValue)"
        // A peer's own words may be anything.
        if let ending, ending.closer == .culvert, !ending.frame.reason.isEmpty {
            metadata["close_reason"] = "\(ending.frame.reason)"
        }
        self.logger.info("session ended", metadata: metadata)
    }

    /// Logged once for each side of a session. The side is read more slowly from then on.
    func tooManyControls(_ session: Session, from side: Endpoint) {
        self.tooManyControls(id: session.id, of: side == .client ? "client" : "upstream", more: self.facts(session))
    }

    func tooManyControls(id: SessionID, of side: String, more: Logger.Metadata = [:]) {
        var metadata = more
        metadata["id"] = "\(id.description.prefix(12))"
        metadata["side"] = "\(side)"
        metadata["rate"] = .stringConvertible(PeerControl.rate)
        self.logger.warning("too many pings and pongs", metadata: metadata)
    }

    private func facts(_ session: Session) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            // Only the start of it: the whole is half of what it takes to use the session.
            "id": "\(session.id.description.prefix(12))",
            "route": "\(session.facts.route.name)",
            "transport": "\(session.transport.rawValue)",
            "client": "\(session.facts.clientAddress)",
            "path": "\(session.facts.pathShown)",
            "server": "\(session.lease.server.config.url)",
        ]
        metadata.add(origin: session.facts.origins.first, userAgent: session.facts.userAgent)
        metadata["subject"] = session.subject.map { "\($0)" } ?? "-"
        if let token = session.credential?.token.id { metadata["token"] = "\(token)" }
        return metadata
    }
}
