import Glibc
package import Logging
import Dispatch
import Foundation
import NIOCore
import Synchronization

/// One process taking the listening sockets of another, over a Unix socket. Messages, each way:
///
///     new: takeover 1
///     old: listener NAME   with descriptors, for each listener, in more than one message if there are many
///     old: admin NAME      with a descriptor, if it has the admin API
///     old: end
///     new: ready           all that may fail is done
///     old: done            it accepts no longer, and has let go of the admin API
///     old: refused         or it stops already, and goes on with that
///
/// In between connections wait in the sockets, for there is never a moment in which both accept.
///
/// If the new process goes before it is ready, nothing has happened.
enum Takeover {
    static let hello = "takeover 1"
    static let listener = "listener "
    static let admin = "admin "
    static let end = "end"
    static let ready = "ready"
    static let done = "done"
    static let refused = "refused"
    /// For the other process to start, and for it to let go.
    static let patience = 60

    static func setDeadline(_ socket: CInt, seconds: Int) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, size)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    }
}

/// Why a process could not take over; nothing has changed for the other.
package struct TakeoverFailure: Error, CustomStringConvertible {
    package var description: String
}

/// The side of the process that comes.
package final class TakeoverClient: Sendable {
    package let listeners: InheritedSockets
    package let admin: InheritedSockets.Socket?
    private let socket: CInt

    private init(socket: CInt, listeners: InheritedSockets, admin: InheritedSockets.Socket?) {
        self.socket = socket
        self.listeners = listeners
        self.admin = admin
    }

    /// - Returns: nil when no process listens at `path`.
    package static func begin(path: String) throws -> TakeoverClient? {
        guard let socket = try UnixSocket.connect(path, isPacket: true) else { return nil }
        Takeover.setDeadline(socket, seconds: Takeover.patience)
        var sockets: [InheritedSockets.Socket] = []
        var admin: InheritedSockets.Socket?
        do {
            try DescriptorPassing.send(.init(text: Takeover.hello), on: socket)
            while let message = try DescriptorPassing.receive(from: socket), message.text != Takeover.end {
                if message.text.hasPrefix(Takeover.listener) {
                    let name = String(message.text.dropFirst(Takeover.listener.count))
                    sockets += message.descriptors.map { .init(name: name, descriptor: $0) }
                } else if message.text.hasPrefix(Takeover.admin), let descriptor = message.descriptors.first {
                    admin = .init(name: String(message.text.dropFirst(Takeover.admin.count)), descriptor: descriptor)
                }
            }
        } catch {
            close(socket)
            throw TakeoverFailure(description: "takeover at \(path): \(error)")
        }
        guard !sockets.isEmpty else {
            close(socket)
            throw TakeoverFailure(description: "takeover at \(path): the other process gave no listener")
        }
        return TakeoverClient(socket: socket, listeners: InheritedSockets(sockets), admin: admin)
    }

    /// We are ready to accept; returns when the other process does so no longer.
    ///
    /// - Throws: ``TakeoverFailure`` when the other process could not be told, and goes on as before.
    /// - Returns: false when it said no more than that it was told. It is stuck or dead, and nobody serves but us.
    package func finish() async throws -> Bool {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Bool, any Error>) in
            // Blocking calls, for which no task is the place.
            Thread.detachNewThread { continuation.resume(with: Result { try self.awaitDone() }) }
        }
    }

    private func awaitDone() throws -> Bool {
        defer { close(self.socket) }
        do {
            try DescriptorPassing.send(.init(text: Takeover.ready), on: self.socket)
        } catch {
            throw TakeoverFailure(description: "takeover: the other process broke off: \(error)")
        }
        let answer = (try? DescriptorPassing.receive(from: self.socket))?.text
        if answer == Takeover.refused {
            throw TakeoverFailure(description: "takeover: the other process is stopping")
        }
        return answer == Takeover.done
    }
}

/// The side of the process that goes.
package final class TakeoverServer: Sendable {
    package struct Handlers: Sendable {
        package var listeners: @Sendable () -> [(name: String, descriptors: [CInt])]
        package var admin: InheritedSockets.Socket?
        /// The other process is ready: called once. It calls back when this one does no longer.
        /// False when it does not, since it stops already.
        package var handOver: @Sendable (_ done: @escaping @Sendable () -> Void) -> Bool

        package init(
            listeners: @escaping @Sendable () -> [(name: String, descriptors: [CInt])],
            admin: InheritedSockets.Socket?,
            handOver: @escaping @Sendable (_ done: @escaping @Sendable () -> Void) -> Bool
        ) {
            self.listeners = listeners
            self.admin = admin
            self.handOver = handOver
        }
    }

    private let path: String
    private let socket: CInt
    private let handlers: Handlers
    private let logger: Logger
    private let isStopped = Atomic<Bool>(false)

    /// Listens; who may connect is the owner of the process alone.
    package init(path: String, handlers: Handlers, logger: Logger) throws {
        self.path = path
        self.socket = try UnixSocket.listen(path, isPacket: true)
        self.handlers = handlers
        self.logger = logger
        // Blocking calls, for which neither an event loop nor a task is the place.
        Thread.detachNewThread { self.serve() }
    }

    package func stop() {
        self.isStopped.store(true, ordering: .relaxed)
        // At once: the process may be gone before the thread looks.
        UnixSocket.remove(self.path)
    }

    private func serve() {
        var isHandedOver = false
        while !isHandedOver, !self.isStopped.load(ordering: .relaxed) {
            var waiting = pollfd(fd: self.socket, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 200) > 0 else { continue }
            let peer = accept(self.socket, nil, nil)
            guard peer >= 0 else {
                // Out of descriptors: the one who waits is still there.
                poll(nil, 0, 200)
                continue
            }
            isHandedOver = self.serve(peer)
            close(peer)
        }
        close(self.socket)
    }

    private func serve(_ peer: CInt) -> Bool {
        Takeover.setDeadline(peer, seconds: Takeover.patience)
        do {
            guard try DescriptorPassing.receive(from: peer)?.text == Takeover.hello else { return false }
            let listeners = self.handlers.listeners()
            defer { for descriptor in listeners.flatMap(\.descriptors) { close(descriptor) } }
            for listener in listeners {
                var rest = listener.descriptors[...]
                while !rest.isEmpty {
                    let part = rest.prefix(DescriptorPassing.mostDescriptors)
                    rest = rest.dropFirst(part.count)
                    try DescriptorPassing.send(
                        .init(text: Takeover.listener + listener.name, descriptors: Array(part)), on: peer)
                }
            }
            if let admin = self.handlers.admin {
                try DescriptorPassing.send(
                    .init(text: Takeover.admin + (admin.name ?? ""), descriptors: [admin.descriptor]), on: peer)
            }
            try DescriptorPassing.send(.init(text: Takeover.end), on: peer)
            guard try DescriptorPassing.receive(from: peer)?.text == Takeover.ready else {
                self.logger.warning("takeover broken off; nothing has changed")
                return false
            }
        } catch {
            self.logger.warning("takeover failed; nothing has changed", metadata: ["reason": "\(error)"])
            return false
        }
        let done = DispatchSemaphore(value: 0)
        guard self.handlers.handOver({ done.signal() }) else {
            try? DescriptorPassing.send(.init(text: Takeover.refused), on: peer)
            return false
        }
        self.logger.info("another process takes over")
        _ = done.wait(timeout: .now() + .seconds(Takeover.patience))
        // Before the other process makes its own: it waits for this in turn.
        UnixSocket.remove(self.path)
        try? DescriptorPassing.send(.init(text: Takeover.done), on: peer)
        return true
    }
}
