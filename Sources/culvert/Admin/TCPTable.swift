import Foundation
import Glibc
import NIOCore

/// The kernel's tables of the TCP sockets of this network namespace (proc(5), /proc/net/tcp). ``AdminPeer`` looks up
/// whose process is at the other end of a connection.
enum TCPTable {
    /// The state of a socket that listens.
    private static let listens = "0A"

    /// - Returns: the users of all sockets that listen at `server`, and of the socket that is the other end of the
    ///   connection from `client`: a listener may be closed as soon as it has accepted.
    static func users(at server: TCPEndpoint, connectedFrom client: TCPEndpoint) -> Set<uid_t> {
        var users: Set<uid_t> = []
        for name in ["tcp", "tcp6"] {
            for line in self.lines(of: "/proc/self/net/\(name)", port: server.port) {
                // sl, local_address, rem_address, st, queues, timers, retrnsmt, uid, timeout, inode.
                let fields = line.split(separator: " ", maxSplits: 10)
                guard fields.count > 9, let local = TCPEndpoint(text: fields[1]), local.port == server.port,
                    let uid = uid_t(fields[7])
                else { continue }
                let isListener = fields[3] == self.listens && local.accepts(for: server)
                // A connection that no process has accepted yet has neither an inode nor a user.
                let isOtherEnd = local == server && TCPEndpoint(text: fields[2]) == client && fields[9] != "0"
                if isListener || isOtherEnd { users.insert(uid) }
            }
        }
        return users
    }

    /// The lines of sockets with the local port. There may be a million others, which are not looked at any closer.
    private static func lines(of path: String, port: Int) -> [String] {
        // The kernel gives a page at a time, and calls the file empty.
        guard let data = try? FileHandle(forReadingAtPath: path)?.readToEnd() else { return [] }
        let digits = String(port, radix: 16, uppercase: true)
        let wanted = Array((String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits).utf8)
        let colon = UInt8(ascii: ":")
        return data.split(separator: UInt8(ascii: "\n")).compactMap { line in
            // `   0: 0100007F:26AD 00000000:0000 …`
            guard let number = line.firstIndex(of: colon),
                let address = line[line.index(after: number)...].firstIndex(of: colon),
                line[line.index(after: address)...].starts(with: wanted)
            else { return nil }
            return String(decoding: line, as: UTF8.self)
        }
    }
}

/// An address and a port as ``TCPTable`` compares them. An IPv4 address within IPv6 is the IPv4 address.
struct TCPEndpoint: Equatable {
    /// The bytes of the address as they lie in memory, four to a word: one word for IPv4, four for IPv6.
    let words: [UInt32]
    let port: Int

    private init(words: [UInt32], port: Int) {
        let mapped: [UInt32] = [0, 0, UInt32(0xFFFF).bigEndian]
        self.words = words.count == 4 && words.starts(with: mapped) ? [words[3]] : words
        self.port = port
    }

    /// Nil for a Unix socket.
    init?(_ address: SocketAddress) {
        switch address {
        case .v4(let v4):
            self.init(words: [v4.address.sin_addr.s_addr], port: address.port ?? 0)
        case .v6(let v6):
            let words = withUnsafeBytes(of: v6.address.sin6_addr) { bytes in
                stride(from: 0, to: 16, by: 4).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self) }
            }
            self.init(words: words, port: address.port ?? 0)
        case .unixDomainSocket:
            return nil
        }
    }

    /// - Parameter text: words and port in hexadecimal: `0100007F:26AD`.
    init?(text: Substring) {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1], radix: 16) else { return nil }
        var words: [UInt32] = []
        var rest = parts[0]
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            words.append(word)
            rest = rest.dropFirst(8)
        }
        self.init(words: words, port: port)
    }

    var isLoopback: Bool {
        self.words.count == 1
            ? UInt32(bigEndian: self.words[0]) >> 24 == 127 : self.words == [0, 0, 0, UInt32(1).bigEndian]
    }

    /// Whether a socket that listens here takes connections to `server`, which has the same port. A socket that listens at
    /// all addresses of IPv6 takes connections to IPv4 too.
    func accepts(for server: TCPEndpoint) -> Bool {
        let isWildcard = self.words.allSatisfy { $0 == 0 }
        return self.words == server.words || isWildcard && self.words.count >= server.words.count
    }
}
