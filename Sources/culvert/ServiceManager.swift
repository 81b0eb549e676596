import CulvertEdge
import Foundation
import Glibc

/// What systemd is told, and what it has given (sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)). Without
/// systemd all of it is nothing.
struct ServiceManager: Sendable {
    private let socket: String?
    /// Half of how long the process may be silent; nil when nobody listens for it.
    let watchdogPeriod: Duration?
    let sockets: InheritedSockets
    /// Descriptors that were given and are not sockets. They are left alone: if the count is wrong, they may be this
    /// process's own.
    let others: [CInt]

    /// - Parameter isSuccessor: of the process that the manager has started, in whose environment it may live.
    init(environment: [String: String], pid: Int32 = getpid(), isSuccessor: Bool = false) {
        self.socket = environment["NOTIFY_SOCKET"].flatMap { $0.isEmpty ? nil : $0 }
        // Meant for another process when it names one.
        let watched = isSuccessor || environment["WATCHDOG_PID"].map { Int32($0) == pid } ?? true
        if watched, let microseconds = environment["WATCHDOG_USEC"].flatMap(Int64.init), microseconds > 0 {
            self.watchdogPeriod = .microseconds(microseconds / 2)
        } else {
            self.watchdogPeriod = nil
        }
        var given: [CInt] = []
        if environment["LISTEN_PID"].flatMap(Int32.init) == pid,
            let count = environment["LISTEN_FDS"].flatMap(Int32.init), (1...1024).contains(count)
        {
            // The first is 3: SD_LISTEN_FDS_START.
            given = Array(3..<3 + count)
        }
        self.sockets = InheritedSockets(
            given.filter(ListeningSocket.isSocket).map { .init(name: nil, descriptor: $0) })
        self.others = given.filter { !ListeningSocket.isSocket($0) }
    }

    /// - Parameter isMain: this process takes the place of the one that was started.
    func ready(isMain: Bool = false) {
        self.tell((isMain ? "MAINPID=\(getpid())\n" : "") + "READY=1\nSTATUS=serving")
    }

    /// To be followed by ``ready(isMain:)``.
    func reloading() {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let microseconds = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
        self.tell("RELOADING=1\nMONOTONIC_USEC=\(microseconds)\nSTATUS=reloading")
    }

    func stopping() { self.tell("STOPPING=1\nSTATUS=draining") }

    func alive() { self.tell("WATCHDOG=1") }

    /// A datagram that nobody waits for: a manager that does not read must not stop a proxy.
    private func tell(_ text: String) {
        guard let name = self.socket else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path = Array(name.utf8)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // A name with an @ stands in no folder (unix(7), abstract).
        if path.first == UInt8(ascii: "@") { path[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let descriptor = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                let flags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)
                _ = sendto(descriptor, bytes, bytes.count, flags, pointer, length)
            }
        }
    }
}
