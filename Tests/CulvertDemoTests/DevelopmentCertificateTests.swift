import Crypto
import CulvertDemo
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import SwiftASN1
import Testing
import X509

@Suite("Development certificate")
struct DevelopmentCertificateTests {
    private static let day: TimeInterval = 86_400

    /// Runs `body` with the path of a folder that does not exist yet.
    private func withFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
        let parent = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: parent) }
        return try await body(parent.appendingPathComponent("certs").path)
    }

    private func read(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    private func mode(of path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? NSNumber).intValue
    }

    @Test("The key is readable by its owner alone, and nothing else is left in the folder")
    func filesAndModes() async throws {
        try await withFolder { folder in
            let made = try DevelopmentCertificate.ensure(directory: folder)
            #expect(made.created)
            #expect(made.certificate == folder + "/edge.pem")
            #expect(made.key == folder + "/edge.key")
            #expect(try mode(of: made.key) == 0o600)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(names == ["edge.key", "edge.pem"])
        }
    }

    @Test("The certificate is a server's own, for localhost and both loopback addresses, for 90 days")
    func contents() async throws {
        try await withFolder { folder in
            let now = Date(timeIntervalSince1970: 1_800_000_000)
            let made = try DevelopmentCertificate.ensure(directory: folder, now: now)
            let certificate = try Certificate(pemEncoded: read(made.certificate))
            let key = try P256.Signing.PrivateKey(pemRepresentation: read(made.key))
            #expect(certificate.publicKey == Certificate.PublicKey(key.publicKey))
            #expect(certificate.signatureAlgorithm == .ecdsaWithSHA256)
            #expect(certificate.publicKey.isValidSignature(certificate.signature, for: certificate))
            #expect(certificate.notValidBefore <= now)
            #expect(certificate.notValidAfter == now.addingTimeInterval(90 * Self.day))
            let names = try #require(try certificate.extensions.subjectAlternativeNames)
            let loopback6 = [UInt8](repeating: 0, count: 15) + [1]
            #expect(
                Set(names) == [
                    .dnsName("localhost"),
                    .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                    .ipAddress(ASN1OctetString(contentBytes: loopback6[...])),
                ]
            )
            #expect(try certificate.extensions.basicConstraints == .notCertificateAuthority)
            #expect(try certificate.extensions.extendedKeyUsage == ExtendedKeyUsage([.serverAuth]))
        }
    }

    @Test("A second start uses the files of the first")
    func reuse() async throws {
        try await withFolder { folder in
            let first = try DevelopmentCertificate.ensure(directory: folder)
            let texts = try [read(first.certificate), read(first.key)]
            let second = try DevelopmentCertificate.ensure(directory: folder)
            #expect(!second.created)
            #expect(try [read(second.certificate), read(second.key)] == texts)
        }
    }

    @Test("It is made anew within its last day, not before", arguments: [(88.9, false), (89.1, true), (200.0, true)])
    func renewal(age: Double, renewed: Bool) async throws {
        try await withFolder { folder in
            let start = Date(timeIntervalSince1970: 1_800_000_000)
            let first = try DevelopmentCertificate.ensure(directory: folder, now: start)
            let before = try read(first.key)
            let later = start.addingTimeInterval(age * Self.day)
            #expect(try DevelopmentCertificate.ensure(directory: folder, now: later).created == renewed)
            #expect(try (read(first.key) != before) == renewed)
        }
    }

    @Test("A certificate of ours whose key is missing or another one is made anew", arguments: [true, false])
    func brokenPair(missing: Bool) async throws {
        try await withFolder { folder in
            let first = try DevelopmentCertificate.ensure(directory: folder)
            if missing {
                try FileManager.default.removeItem(atPath: first.key)
            } else {
                let other = P256.Signing.PrivateKey().pemRepresentation
                try other.write(toFile: first.key, atomically: true, encoding: .utf8)
            }
            #expect(try DevelopmentCertificate.ensure(directory: folder).created)
            #expect(try mode(of: first.key) == 0o600)
            #expect(try !DevelopmentCertificate.ensure(directory: folder).created)
        }
    }

    @Test("What an operator put there is never overwritten", arguments: ["edge.pem", "edge.key"])
    func foreignFiles(name: String) async throws {
        try await withFolder { folder in
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let path = folder + "/" + name
            try "mine".write(toFile: path, atomically: true, encoding: .utf8)
            #expect(throws: DevelopmentCertificate.Failure.self) {
                try DevelopmentCertificate.ensure(directory: folder)
            }
            #expect(try read(path) == "mine")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [name])
        }
    }

    @Test("A client that trusts the file completes a handshake with full verification", .timeLimit(.minutes(1)))
    func handshake() async throws {
        try await withFolder { folder in
            let made = try DevelopmentCertificate.ensure(directory: folder)
            let chain = try NIOSSLCertificate.fromPEMFile(made.certificate).map {
                NIOSSLCertificateSource.certificate($0)
            }
            let key = try NIOSSLPrivateKey(file: made.key, format: .pem)
            let serverContext = try NIOSSLContext(
                configuration: .makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
            )
            var client = TLSConfiguration.makeClientConfiguration()
            client.trustRoots = .file(made.certificate)
            let clientContext = try NIOSSLContext(configuration: client)
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let server = try await ServerBootstrap(group: loop)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.addHandler(NIOSSLServerHandler(context: serverContext))
                        try pipeline.addHandler(EchoBytes())
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            let port = try #require(server.localAddress?.port)
            let channel = try await ClientBootstrap(group: loop)
                .connect(host: "127.0.0.1", port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let tls = try NIOSSLClientHandler(context: clientContext, serverHostname: "localhost")
                        try channel.pipeline.syncOperations.addHandler(tls)
                        return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
            try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(string: "hello"))
                var received = ByteBuffer()
                for try await part in inbound {
                    received.writeImmutableBuffer(part)
                    if received.readableBytes >= 5 { break }
                }
                #expect(String(buffer: received) == "hello")
            }
            try await server.close()
        }
    }
}

private final class EchoBytes: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }
}
