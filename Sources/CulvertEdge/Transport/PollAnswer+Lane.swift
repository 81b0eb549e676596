import CulvertConfig
import CulvertCore

extension PollAnswer {
    /// The orders that a lane obeys which may not join.
    ///
    /// - Parameter config: the one in force on the lane's loop.
    func refusal(_ config: ProxyConfig) -> [LaneOrder] {
        switch self {
        case .problem(let failure):
            guard let frame = failure.end else {
                return [.close(CloseFrame(code: CloseCode(rawValue: 4404), reason: "no such session"))]
            }
            return Self.end(frame)
        case .unauthorized(let fault):
            return Self.end(CloseFrame(code: config.authentication.closeCode, reason: fault.reason))
        case .rejected:
            return [.close(CloseFrame(code: config.reload.closeCode, reason: "configuration changed"))]
        case .empty, .batch, .refreshed, .joined:
            return [.close(CloseFrame(code: .internalError))]
        }
    }

    /// The session has ended, and with it whatever was not received of it.
    private static func end(_ frame: CloseFrame) -> [LaneOrder] {
        [.batch(PollBatch(ack: 0, first: 0, close: frame)), .close(CloseFrame(code: .normal))]
    }
}
