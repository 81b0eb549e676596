import CulvertCore
import NIOCore

extension WebSocketLeg {
    /// The leg's state for keepalive. After a Close of ours, even if that still waits, keepalive does nothing.
    var standing: Keepalives.Standing {
        Keepalives.Standing(isPaused: self.isPaused, isUnasked: self.wantsBoundary)
    }
}

extension Keepalive.OnTick {
    /// Does the action of its keepalive on `leg`. A ping goes behind the frame that `other` is sending to `leg`.
    func act(on leg: WebSocketLeg, behind other: WebSocketLeg?, _ closing: CloseNegotiation) {
        // No ping may follow a Close of ours (RFC 6455 5.5.1), and a peer answers no ping after its own Close. The
        // close handshake has its own deadline.
        guard closing.maySend(to: leg.sender), closing.mayReceive(from: leg.sender) else { return }
        switch self {
        case .nothing: break
        case .ping:
            let mask: UInt32? = leg.sender == .server ? .random(in: .min ... .max) : nil
            leg.inject(KeepalivePing.frame(mask: mask), behind: other?.scanner)
        case .lost: leg.abort()
        }
    }
}
