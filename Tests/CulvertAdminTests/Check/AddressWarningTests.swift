import ConfigFixtures
import CulvertAdmin
import CulvertConfig
import Testing

@Suite("Warnings of addresses")
struct AddressWarningTests {
    @Test(
        "A server that is a listener of the same file is a warning, and one of another machine is none",
        arguments: [
            ("127.0.0.1:9000", "127.0.0.1:9000", true), ("127.0.0.1:9000", "LOCALHOST:9000", true),
            ("0.0.0.0:9000", "127.0.0.1:9000", true), ("\"[::]:9000\"", "localhost:9000", true),
            ("edge.example:9000", "edge.example:9000", true), ("127.0.0.1:9001", "127.0.0.1:9000", false),
            ("0.0.0.0:9000", "192.0.2.1:9000", false), ("0.0.0.0:9000", "app.example:9000", false),
            ("127.0.0.1:9000", "127.0.0.2:9000", false),
        ])
    func ownListener(listener: String, server: String, isWarned: Bool) throws {
        let yaml = ConfigFixture.good.replacing("ws://127.0.0.1:9000", with: "ws://" + server)
            .replacing("127.0.0.1:8443", with: listener)
        let found = try ConfigFixture.load(yaml).warnings(now: 0).filter { $0.keyPath != "routes[0]" }
        #expect(found.map(\.keyPath) == (isWarned ? ["upstreams.echo.servers[0].url"] : []))
        #expect(found.allSatisfy { $0.line == 10 && $0.message.contains("listen[0].address of line 2") })
    }

    @Test(
        "An admin API in plain text is a warning at an address that is not of the machine alone",
        arguments: [
            ("127.0.0.1:9901", false), ("\"[::1]:9901\"", false), ("localhost:9901", false), ("\"unix:a\"", false),
            ("0.0.0.0:9901", true), ("\"[::]:9901\"", true), ("10.0.0.1:9901", true), ("edge.example:9901", true),
        ])
    func plainAdmin(address: String, isWarned: Bool) throws {
        let config = try ConfigFixture.load(ConfigFixture.good + "\nadmin: { address: \(address) }")
        let found = config.warnings(now: 0).filter { $0.keyPath == "admin.address" }
        #expect(found.map(\.line) == (isWarned ? [15] : []))
    }
}
