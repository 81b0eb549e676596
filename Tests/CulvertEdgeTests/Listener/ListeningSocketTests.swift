import Foundation
import Glibc
import NIOCore
import Testing

@testable import CulvertEdge

@Suite("Sockets of other processes")
struct ListeningSocketTests {
    private static func make(_ family: CInt, _ kind: CInt, at address: SocketAddress?, listens: Bool) throws -> CInt {
        let descriptor = socket(family, kind, 0)
        try #require(descriptor >= 0)
        if let address {
            try #require(address.withSockAddr { bind(descriptor, $0, socklen_t($1)) } == 0)
        }
        if listens { try #require(listen(descriptor, 1) == 0) }
        return descriptor
    }

    private static let stream = CInt(SOCK_STREAM.rawValue)
    private static let packets = CInt(SOCK_SEQPACKET.rawValue)
    private static let datagrams = CInt(SOCK_DGRAM.rawValue)

    private static func address(_ ip: String, port: Int = 0) throws -> SocketAddress {
        try SocketAddress(ipAddress: ip, port: port)
    }

    private func check(_ descriptor: CInt, _ address: SocketAddress) -> Bool {
        do {
            try ListeningSocket.check(descriptor, listensAt: address)
            return true
        } catch {
            return false
        }
    }

    @Test("A socket that listens where its name says is taken, and no other, whatever else is the same")
    func addresses() throws {
        let descriptor = try Self.make(AF_INET, Self.stream, at: Self.address("127.0.0.1"), listens: true)
        defer { close(descriptor) }
        let port = try #require(ListeningSocket.address(of: descriptor)?.port)
        #expect(self.check(descriptor, try Self.address("127.0.0.1", port: port)))
        #expect(self.check(descriptor, try Self.address("127.0.0.1", port: 0)))
        for (ip, port) in [("127.0.0.1", port ^ 1), ("127.0.0.2", port), ("0.0.0.0", port), ("::1", port), ("::", 0)] {
            #expect(!self.check(descriptor, try Self.address(ip, port: port)), "\(ip) \(port)")
        }
        #expect(!self.check(descriptor, try SocketAddress(unixDomainSocketPath: "/tmp/x")))
    }

    @Test("What has the right address and does not listen is not taken")
    func kinds() throws {
        let listener = try Self.make(AF_INET, Self.stream, at: Self.address("127.0.0.1"), listens: true)
        let address = try #require(ListeningSocket.address(of: listener))
        let client = try Self.make(AF_INET, Self.stream, at: nil, listens: false)
        try #require(address.withSockAddr { connect(client, $0, socklen_t($1)) } == 0)
        let connection = accept(listener, nil, nil)
        let bound = try Self.make(AF_INET, Self.stream, at: Self.address("127.0.0.1"), listens: false)
        let datagrams = try Self.make(AF_INET, Self.datagrams, at: address, listens: false)
        let file = open("/dev/null", O_RDWR)
        defer { for descriptor in [listener, client, connection, bound, datagrams, file] { close(descriptor) } }
        #expect(ListeningSocket.address(of: connection) == address)
        #expect(ListeningSocket.address(of: datagrams) == address)
        for (name, descriptor) in [("a connection", connection), ("datagrams", datagrams), ("a file", file), ("none", -1)] {
            #expect(!self.check(descriptor, address), "\(name)")
        }
        #expect(!self.check(bound, try #require(ListeningSocket.address(of: bound))))
        #expect(self.check(listener, address))
    }

    @Test("A Unix socket is compared by its path, and has to be a stream")
    func unix() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (one, other) = (folder.path + "/one", folder.path + "/other")
        let descriptor = try UnixSocket.listen(one)
        let packets = try UnixSocket.listen(other, isPacket: true)
        defer { for descriptor in [descriptor, packets] { close(descriptor) } }
        #expect(self.check(descriptor, try SocketAddress(unixDomainSocketPath: one)))
        #expect(!self.check(descriptor, try SocketAddress(unixDomainSocketPath: other)))
        #expect(!self.check(packets, try SocketAddress(unixDomainSocketPath: other)))
        #expect(!self.check(descriptor, try Self.address("127.0.0.1")))
    }

    @Test("A socket in the file system is its owner's alone from the first moment, whatever the umask")
    func mode() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-\(UUID())").path
        let before = umask(0)
        let descriptor = try UnixSocket.listen(path)
        umask(before)
        defer {
            close(descriptor)
            unlink(path)
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(attributes[.ownerAccountID] as? Int == Int(geteuid()))
    }

    @Test("Inherited sockets of a wrong address are an error of who takes them, and nobody's listener")
    func inherited() throws {
        let descriptor = try Self.make(AF_INET, Self.stream, at: Self.address("127.0.0.1"), listens: true)
        let port = try #require(ListeningSocket.address(of: descriptor)?.port)
        let right = try Self.address("127.0.0.1", port: port)
        var sockets = InheritedSockets([.init(name: "127.0.0.1:1", descriptor: descriptor)])
        #expect(throws: ListeningSocket.Misfit.self) {
            try sockets.take(name: "127.0.0.1:1", address: Self.address("127.0.0.1", port: 1))
        }
        #expect(try sockets.take(name: "127.0.0.2:5", address: Self.address("127.0.0.2", port: 5)) == [])
        // Under another name, such as localhost, it is where it is.
        #expect(try sockets.take(name: "other", address: right) == [descriptor])
        #expect(sockets.closeRest() == [])
        close(descriptor)
    }
}

@Suite("Descriptors over a socket")
struct DescriptorPassingTests {
    private func pair() throws -> (CInt, CInt) {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    @Test("Text and descriptors arrive together")
    func arrive() throws {
        let (one, other) = try self.pair()
        defer { for descriptor in [one, other] { close(descriptor) } }
        try DescriptorPassing.send(.init(text: "listener a", descriptors: [one, other, one]), on: one)
        let message = try #require(try DescriptorPassing.receive(from: other))
        defer { message.close() }
        #expect(message.text == "listener a")
        #expect(message.descriptors.count == 3)
    }

    @Test("A message that the kernel cuts is refused, not taken in part: text too long, or more descriptors than fit")
    func cut() throws {
        let (one, other) = try self.pair()
        defer { for descriptor in [one, other] { close(descriptor) } }
        try DescriptorPassing.send(.init(text: String(repeating: "x", count: 600)), on: one)
        #expect(throws: DescriptorPassing.Malformed.self) { try DescriptorPassing.receive(from: other) }
        let many = [CInt](repeating: one, count: DescriptorPassing.mostDescriptors + 20)
        try DescriptorPassing.send(.init(text: "listener a", descriptors: many), on: one)
        #expect(throws: DescriptorPassing.Malformed.self) { try DescriptorPassing.receive(from: other) }
        // What came of them is closed again.
        try DescriptorPassing.send(.init(text: "end"), on: one)
        #expect(try DescriptorPassing.receive(from: other)?.text == "end")
    }

    @Test("Who is at the other end is known, and one's own user is let in")
    func peer() throws {
        let (one, other) = try self.pair()
        defer { for descriptor in [one, other] { close(descriptor) } }
        #expect(throws: Never.self) { try UnixSocket.checkPeer(of: one) }
        #expect(throws: IOError.self) { try UnixSocket.checkPeer(of: -1) }
    }
}
