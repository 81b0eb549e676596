import ConfigFixtures
import CulvertConfig
import CulvertCore
import Testing

@Suite("Configuration: limits of messages")
struct ConfigMessageLimitTests {
    private static func load(_ message: String, route: String = "") throws -> ProxyConfig {
        let yaml = ConfigFixture.good.replacing("  message: 1MiB", with: "  header: 16KiB\n  \(message)")
            .replacing("    upstream: echo", with: "    upstream: echo\n    \(route)")
        return try ConfigFixture.load(yaml)
    }

    @Test(
        "A size is for both directions, a section for each, and none is no limit",
        arguments: [
            ("", nil, nil), ("message: 2MiB", 2 << 20, 2 << 20), ("message: none", nil, nil),
            ("message: { from_client: 1KiB }", 1024, nil), ("message: { from_upstream: 1KiB }", nil, 1024),
            ("message: { from_client: none, from_upstream: 8MiB }", nil, 8 << 20),
        ] as [(String, Int?, Int?)])
    func directions(text: String, client: Int?, upstream: Int?) throws {
        let config = try Self.load(text)
        #expect(config.limits.message == MessageLimits(fromClient: client, fromUpstream: upstream))
        #expect(config.routes.first?.message == config.limits.message)
    }

    @Test(
        "A route's own takes the place of limits.message, direction by direction",
        arguments: [
            ("limits: { sessions: 3 }", 1 << 20, 1 << 20), ("limits: { message: 3MiB }", 3 << 20, 3 << 20),
            ("limits: { message: { from_upstream: none } }", 1 << 20, nil), ("limits: { message: none }", nil, nil),
        ] as [(String, Int?, Int?)])
    func routes(text: String, client: Int?, upstream: Int?) throws {
        let config = try Self.load("message: 1MiB", route: text)
        #expect(config.routes.first?.message == MessageLimits(fromClient: client, fromUpstream: upstream))
        let printed = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(printed) == config)
    }

    @Test("A mistake in a route's limits is reported once, at its place")
    func mistake() {
        let yaml = ConfigFixture.good.replacing(
            "    upstream: echo", with: "    upstream: echo\n    limits: { message: 1 }")
        let expected =
            "routes[0].limits.message: expected a size with its unit, such as 512B, 16KiB or 1MiB; the units are B, "
            + "KiB, MiB, GiB, kB, MB and GB: write 1B, or none for no limit"
        let errors = ConfigFixture.errors(yaml)
        #expect(errors.count == 1 && errors.first?.hasSuffix(expected) == true)
    }
}
