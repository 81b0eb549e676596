import ConfigFixtures
import CulvertAdmin
import CulvertConfig
import Testing

@Suite("Configuration: files that it names")
struct FileCheckTests {
    @Test("A certificate and a key of a listener that are not there are errors, each at its line")
    func listener() throws {
        let tls = "127.0.0.1:8443\n    tls: { certificates: [ { certificate: a.pem, key: /k/a.key } ] }"
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("127.0.0.1:8443", with: tls))
        #expect(
            config.checkFiles().map(\.keyPath) == [
                "listen[0].tls.certificates[0].certificate", "listen[0].tls.certificates[0].key",
            ])
    }

    @Test("So are those that Culvert shows to an upstream")
    func upstream() throws {
        let text = "{ servers: [ { url: wss://a } ], client_certificate: { certificate: c.pem, key: /k.pem } }"
        let yaml = ConfigFixture.good.replacing(#"{ servers: [ { url: "ws://127.0.0.1:9000" } ] }"#, with: text)
        #expect(
            try ConfigFixture.load(yaml).checkFiles().map(\.keyPath) == [
                "upstreams.echo.client_certificate.certificate", "upstreams.echo.client_certificate.key",
            ])
    }
}
