import Glibc
package import Logging
import Dispatch
import Foundation
import NIOCore
import Synchronization

/// A process takes the listening sockets of another over a Unix socket. The messages in both directions:
///
///     new: takeover 1
///     old: listener NAME   with descriptors, for each listener, in more than one message if there are many
///     old: admin NAME      with a descriptor, if it has the admin API
///     old: end
///     old: failed REASON   in place of the rest
///     new: ready           all that may fail is done
///     old: done            it accepts no longer, and has let go of the admin API
///     old: refused         or it stops already, and goes on with that
///
/// In between connections wait in the sockets, for there is never a moment in which both accept.
///
/// If the new process goes before it is ready, nothing has happened.
///
/// Each looks at whose process the other is before it says a word (SO_PEERCRED), since the path may lie where others
/// can write; and the new one looks at what each socket is (``ListeningSocket/check(_:listensAt:)``).
enum Takeover {
    static let hello = "takeover 1"
    static let listener = "listener "
    static let admin = "admin "
    static let end = "end"
    static let failed = "failed "
    static let ready = "ready"
    static let done = "done"
    static let refused = "refused"
    /// Seconds that each process waits for the other's next message.
    static let patience = 60
    /// The most descriptors that the new process takes; a Culvert never sends more.
    static let mostDescriptors = 65_536

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
        var received = Received()
        do {
            guard let socket = try UnixSocket.connect(path, isPacket: true) else { return nil }
            received.socket = socket
            try UnixSocket.checkPeer(of: socket)
            Takeover.setDeadline(socket, seconds: Takeover.patience)
            try DescriptorPassing.send(.init(text: Takeover.hello), on: socket)
            while let message = try DescriptorPassing.receive(from: socket), message.text != Takeover.end {
                try received.take(message)
            }
            guard !received.listeners.isEmpty else { throw Refusal(description: "the other process gave no listener") }
        } catch {
            received.close()
            throw TakeoverFailure(description: "takeover at \(path): \(error)")
        }
        return TakeoverClient(
            socket: received.socket, listeners: InheritedSockets(received.listeners), admin: received.admin)
    }

    private struct Refusal: Error, CustomStringConvertible {
        var description: String
    }

    /// The sockets that the other process has given so far.
    private struct Received {
        var socket: CInt = -1
        var listeners: [InheritedSockets.Socket] = []
        var admin: InheritedSockets.Socket?

        mutating func take(_ message: DescriptorPassing.Message) throws {
            if let name = message.text.after(Takeover.listener) {
                self.listeners += message.descriptors.map { .init(name: name, descriptor: $0) }
                guard self.listeners.count <= Takeover.mostDescriptors else {
                    throw Refusal(description: "the other process gave more than \(Takeover.mostDescriptors) sockets")
                }
            } else if let name = message.text.after(Takeover.admin), self.admin == nil,
                message.descriptors.count == 1
            {
                self.admin = .init(name: name, descriptor: message.descriptors[0])
            } else {
                message.close()
                let reason = message.text.after(Takeover.failed) ?? "the other process sent an unknown message"
                throw Refusal(description: reason)
            }
        }

        func close() {
            for socket in self.listeners { socket.close() }
            self.admin?.close()
            if self.socket >= 0 { Glibc.close(self.socket) }
        }
    }

    /// Tells the other process that this one is ready to accept. Returns when the other process accepts no more.
    ///
    /// - Throws: ``TakeoverFailure`` if the other process could not be told, and goes on as before.
    /// - Returns: false if the other process did not confirm that it has stopped accepting. It is stuck or dead, and only
    ///   this process serves clients.
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
            throw TakeoverFailure(description: "takeover: the other process broke the takeover off: \(error)")
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
        package var listeners: @Sendable () throws -> [(name: String, descriptors: [CInt])]
        package var admin: InheritedSockets.Socket?
        /// The other process is ready: called once. It calls back when this one does no longer.
        /// False when it does not, since it stops already.
        package var handOver: @Sendable (_ done: @escaping @Sendable () -> Void) -> Bool

        package init(
            listeners: @escaping @Sendable () throws -> [(name: String, descriptors: [CInt])],
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

    /// Listens; only the owner of the process and root may connect.
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
            try UnixSocket.checkPeer(of: peer)
            guard try DescriptorPassing.receive(from: peer)?.text == Takeover.hello else { return false }
            let listeners = try self.handlers.listeners()
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
            // A process of another user is told nothing.
            guard !(error is UnixSocket.Stranger) else { return false }
            let reason = Takeover.failed + "the other process cannot hand over: \(error)"
            try? DescriptorPassing.send(.init(text: String(decoding: reason.utf8.prefix(400), as: UTF8.self)), on: peer)
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

extension String {
    /// The text behind `prefix`, compared byte by byte; nil for a text that does not begin with it.
    fileprivate func after(_ prefix: String) -> String? {
        guard self.utf8.starts(with: prefix.utf8) else { return nil }
        return String(decoding: self.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }
}
