import CulvertCore
import Testing

struct KeepaliveTests {
    enum Step: Sendable {
        case hear, ping, pong
        case tick(Keepalive.OnTick)
    }

    @Test(
        "A silent leg is pinged once and lost one period later",
        arguments: [
            ("a new leg has a period of grace", [.tick(.nothing), .tick(.ping), .tick(.lost)]),
            ("a leg that speaks is left alone", [.tick(.nothing), .hear, .tick(.nothing), .hear, .tick(.nothing)]),
            (
                "an answer to our ping begins anew",
                [.tick(.nothing), .tick(.ping), .hear, .tick(.nothing), .tick(.ping), .tick(.lost)]
            ),
            (
                "one word in a period is enough",
                [.hear, .hear, .tick(.nothing), .tick(.ping), .hear, .hear, .tick(.nothing), .tick(.ping)]
            ),
            (
                "an application's ping is probe enough",
                [.tick(.nothing), .ping, .tick(.nothing), .tick(.lost)]
            ),
            (
                "our ping is free again after the application's pong",
                [.ping, .ping, .hear, .pong, .tick(.nothing), .tick(.ping), .tick(.lost)]
            ),
            (
                "an application's pong alone is no reason to wait",
                [.tick(.nothing), .pong, .tick(.ping), .tick(.lost)]
            ),
        ] as [(String, [Step])])
    func table(name: String, steps: [Step]) {
        var keepalive = Keepalive()
        for (index, step) in steps.enumerated() {
            switch step {
            case .hear: keepalive.hear()
            case .ping: keepalive.applicationPing()
            case .pong: keepalive.applicationPong()
            case .tick(let expected): #expect(keepalive.tick() == expected, "\(name), step \(index)")
            }
        }
    }
}
