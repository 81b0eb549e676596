import ArgumentParser
import CulvertAdmin
import CulvertConfig
import CulvertCore
import CulvertDemo
import CulvertEdge
import CulvertSystem
import Foundation
import Logging
import NIOCore
import NIOPosix

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the proxy in front of an embedded echo and chat backend, with a page to try it.")

    @Option(help: "The port of the edge.")
    var port = 8443

    @Option(help: "The folder of the development certificate.")
    var certs = "certs"

    func run() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let certificate = try DevelopmentCertificate.ensure(directory: self.certs)
        let backend = try await DemoBackend.start(group: group)
        let facts = try CertificateFacts(path: certificate.certificate)
        let token = Self.mintToken()
        let config = Self.config(
            port: self.port, backend: backend.port, token: token, certificate: certificate.certificate,
            key: certificate.key, host: facts.host)
        // A start names the key of a configuration, which the demo's user does not have.
        guard !config.tryAddresses().contains(where: \.isInUse) else {
            throw Failure.report(["port \(self.port) is in use; choose another with --port"])
        }
        let (logger, sink) = Logging.start(config.log)
        let page = StaticFile.page(DemoPage.html(token: token))
        let certificatePath = certificate.certificate
        let runner = Runner(
            config: config, logger: logger, pages: ["/": page],
            whenReady: { edge in
                let port = edge.addresses.first?.port ?? 0
                let text = Self.instructions(port: port, token: token, certificate: certificatePath, facts)
                // Not print: into a pipe that waits until its buffer is full.
                try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
            },
            afterwards: { try? await backend.stop() })
        do {
            try await runner.run()
        } catch let error as StartFailure {
            sink.print(error.description + "\n")
            throw ExitCode.failure
        }
    }

    func validate() throws {
        // The page's origin is allowed by its port, so that must be known before it is bound.
        guard (1...65535).contains(self.port) else { throw ValidationError("--port is 1 to 65535.") }
    }

    private static func mintToken() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<4).map { _ in String(generator.next(), radix: 36) }.joined()
    }

    private static func config(
        port: Int, backend: Int, token: String, certificate: String, key: String, host: String?
    ) -> ProxyConfig {
        let hosts = ["localhost", "127.0.0.1", "[::1]"] + [host].compactMap(\.self)
        let origins = OriginPolicy(
            allow: hosts.flatMap { host in
                [OriginPattern("https://\(host):\(port)")].compactMap(\.self)
            }, missing: .allow)
        let route = Route(
            path: "/", host: nil, upstream: "demo", origins: origins, authenticationRequired: true,
            transports: Set(Transport.allCases), validateText: true)
        var config = ProxyConfig(
            listen: [
                ListenConfig(
                    host: "127.0.0.1", port: port,
                    tls: TLSConfig(
                        certificates: [CertificatePair(certificate: certificate, key: key)], minimumVersion: .v1_2))
            ],
            routes: [route],
            authentication: AuthenticationConfig(
                tokens: [
                    ConfigToken(
                        token: Token(id: "demo", source: .config, subject: "demo", routes: ["/"]),
                        digest: TokenDigest(of: token))
                ], queryParameter: "access_token", cookie: nil, identityHeader: "X-Forwarded-User"),
            upstreams: [
                "demo": UpstreamConfig(
                    name: "demo",
                    servers: [UpstreamServer(isSecure: false, host: "127.0.0.1", port: backend, pathPrefix: "")],
                    connectTimeout: .seconds(5), ca: nil)
            ],
            session: SessionConfig(hold: .seconds(25), resume: .seconds(60), ping: .seconds(25), buffer: 1 << 20),
            limits: LimitsConfig(connections: 1000, handshake: .seconds(10), header: 16 << 10),
            admin: nil, state: nil, log: LogConfig(format: .text, level: .info))
        config.client = ClientPaths("/culvert.js")
        return config
    }

    private static func instructions(
        port: Int, token: String, certificate: String, _ facts: CertificateFacts
    ) -> String {
        let host = facts.host ?? "localhost"
        let base = "https://\(host):\(port)"
        // A name of the certificate may lead elsewhere, and the demo listens on this machine alone.
        let way = facts.isLocal ? "" : " --resolve \(quoted("\(host):\(port):127.0.0.1"))"
        return """
            Culvert is in front of an echo and chat backend.\(self.words(of: certificate, facts))

            Page:       \(base)/
            WebSocket:  wss://\(host):\(port)/echo?access_token=\(token)

            Long-polling, to paste:
              ask() { curl -sS --cacert \(quoted(certificate))\(way) -H 'Authorization: Bearer \(token)' "$@"; }
              S=\(base)$(ask -D - -o /dev/null -X POST \(base)/echo/_poll | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
              ask "$S" -d '{"first":1,"messages":[{"text":"hello"}]}'
              ask "$S?ack=0"
              ask -X DELETE "$S?code=1000"

            """
    }

    /// What browsers make of the certificate.
    private static func words(of certificate: String, _ facts: CertificateFacts) -> String {
        if facts.isOfDemo { return " The certificate is a development one: browsers ask once." }
        guard let host = facts.host else {
            return "\n\(certificate) is for no name, so clients refuse it; name another folder with --certs."
        }
        let words = "\n\(certificate) is for \(host)."
        return facts.isLocal ? words : words + "\nFor a browser, put the line \"127.0.0.1 \(host)\" into /etc/hosts."
    }

    /// A word of a shell, whatever is in it.
    private static func quoted(_ path: String) -> String {
        "'" + path.replacing("'", with: "'\\''") + "'"
    }
}
