/// What a path of the long-poll protocol names. `base` is the path of the WebSocket URL it stands for.
package enum PollTarget: Equatable, Sendable {
    case open(base: String)
    case session(base: String, id: String)
    case close(base: String, id: String)
    /// Where a session, of any transport, is given a newer token.
    case token(base: String, id: String)
    /// Where a session is given a WebSocket for a lane.
    case socket(base: String, id: String)
    /// Where a WebSocket is tried out that leads nowhere.
    case probe(base: String)

    package var base: String {
        switch self {
        case .open(let base), .session(let base, _), .close(let base, _), .token(let base, _), .socket(let base, _),
            .probe(let base):
            base
        }
    }

    /// Whether a WebSocket may be opened there.
    package var takesUpgrade: Bool {
        switch self {
        case .open, .socket, .probe: true
        case .session, .close, .token: false
        }
    }

    /// The path segment that marks the protocol.
    package static let marker = "_poll"

    /// Nil for a path of any other kind, which is a WebSocket URL.
    package static func parse(path: String) -> PollTarget? {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        // "/a/_poll/ID/close" is ["", "a", "_poll", "ID", "close"].
        for distance in 1...3 where segments.count > distance {
            let at = segments.count - distance
            guard segments[at] == self.marker else { continue }
            let joined = segments[..<at].joined(separator: "/")
            let base = joined.isEmpty ? "/" : joined
            switch distance {
            case 1: return .open(base: base)
            case 2:
                let id = String(segments[at + 1])
                return id == "probe" ? .probe(base: base) : .session(base: base, id: id)
            default:
                let id = String(segments[at + 1])
                switch segments[at + 2] {
                case "close": return .close(base: base, id: id)
                case "token": return .token(base: base, id: id)
                case "socket": return .socket(base: base, id: id)
                default: return nil
                }
            }
        }
        return nil
    }
}
