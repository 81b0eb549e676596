import CulvertConfig
import CulvertCore
import Glibc

/// The listeners that another configuration has. The sockets of the new ones are open, and listen not yet.
struct ListenerPlan: Sendable {
    let modes: [Int: ListenerMode]
    /// Each with its id and, when it is new, its sockets.
    let listeners: [(id: Int, config: ListenConfig, sockets: [CInt])]

    /// Closes the new sockets.
    func abandon() {
        for descriptor in self.listeners.flatMap(\.sockets) { Glibc.close(descriptor) }
    }

    /// The modes of connections, by the ids of listeners.
    static func modes(_ listeners: [(id: Int, config: ListenConfig)]) throws -> [Int: ListenerMode] {
        var modes: [Int: ListenerMode] = [:]
        for listener in listeners {
            modes[listener.id] = ListenerMode(
                tls: try listener.config.tls.map { try TLSContexts.make($0) },
                proxyProtocol: listener.config.proxyProtocol)
        }
        return modes
    }
}
