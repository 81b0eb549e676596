/// The resource that a path of the session protocol names. `base` is the path of the WebSocket URL.
package enum PollTarget: Equatable, Sendable {
    case open(base: String)
    case session(base: String, id: String)
    case close(base: String, id: String)
    /// A newer token for a session of any transport.
    case token(base: String, id: String)
    /// A WebSocket as a lane of the session.
    case socket(base: String, id: String)
    /// A WebSocket to the edge alone, which tests whether frames get through.
    case probe(base: String)

    package var base: String {
        switch self {
        case .open(let base), .session(let base, _), .close(let base, _), .token(let base, _), .socket(let base, _),
            .probe(let base):
            base
        }
    }

    /// The path's name of the session; nil where it names none.
    package var sessionID: String? {
        switch self {
        case .session(_, let id), .close(_, let id), .token(_, let id), .socket(_, let id): id
        case .open, .probe: nil
        }
    }

    /// Most bytes of a request's body other than a batch: of a list of subprotocols, or of a form with a token. Nil for
    /// batches, whose limit is the configuration's.
    package var bodyLimit: Int? {
        switch self {
        case .session: nil
        case .open: 4 << 10
        case .close: 16 << 10
        case .token, .socket, .probe: 1 << 10
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
        // The places where "close", "ID" and "_poll" begin in "/a/_poll/ID/close", from the right.
        var starts: [Int] = []
        path.withBytes { bytes in
            for index in bytes.indices.reversed() where bytes[index] == UInt8(ascii: "/") {
                starts.append(index + 1)
                if starts.count == 3 { break }
            }
        }
        var end = path.utf8.count
        var behind: [Substring] = []
        for start in starts {
            let segment = path.slice(start..<end)
            end = start - 1
            guard segment.equals(self.marker) else {
                behind.insert(segment, at: 0)
                continue
            }
            return self.target(base: end == 0 ? "/" : String(path.slice(0..<end)), behind)
        }
        return nil
    }

    /// - Parameter behind: the segments behind the marker, two at most.
    private static func target(base: String, _ behind: [Substring]) -> PollTarget? {
        guard let first = behind.first else { return .open(base: base) }
        let id = String(first)
        guard behind.count == 2 else {
            return first.equals("probe") ? .probe(base: base) : .session(base: base, id: id)
        }
        if behind[1].equals("close") { return .close(base: base, id: id) }
        if behind[1].equals("token") { return .token(base: base, id: id) }
        if behind[1].equals("socket") { return .socket(base: base, id: id) }
        return nil
    }
}
