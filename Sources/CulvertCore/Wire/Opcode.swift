/// Frame opcodes (RFC 6455 section 5.2).
package enum Opcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    package var isControl: Bool { self.rawValue & 8 != 0 }
}

/// The sender of bytes: a client's frames are masked, a server's are not (RFC 6455 section 5.1).
package enum Endpoint: Sendable {
    case client
    case server
}
