import CulvertCore
import Testing

struct KeepaliveTests {
    enum Step: Sendable {
        case hear, ping, pong
        case tick(Keepalive.OnTick)
        /// A tick while a ping waits for the end of a frame of the other leg.
        case unasked(goesOn: Bool, Keepalive.OnTick)
        case paused(Keepalive.OnTick)
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
            (
                "a leg whose ping waits is excused as long as the other leg's frame goes on, and is asked then",
                [
                    .tick(.nothing), .tick(.ping), .unasked(goesOn: true, .nothing), .unasked(goesOn: true, .nothing),
                    .unasked(goesOn: true, .nothing), .tick(.ping), .tick(.lost),
                ]
            ),
            (
                "a leg whose ping waits for a frame that stands still is lost, and has one ping waiting",
                [
                    .tick(.nothing), .tick(.ping), .unasked(goesOn: true, .nothing), .unasked(goesOn: false, .nothing),
                    .unasked(goesOn: false, .lost),
                ]
            ),
            (
                "a frame that goes on again in time excuses the leg again",
                [
                    .tick(.nothing), .tick(.ping), .unasked(goesOn: true, .nothing), .unasked(goesOn: false, .nothing),
                    .unasked(goesOn: true, .nothing), .unasked(goesOn: false, .nothing),
                    .unasked(goesOn: false, .lost),
                ]
            ),
            (
                "a leg that is not read is left alone",
                [.tick(.nothing), .tick(.ping), .paused(.nothing), .paused(.nothing), .tick(.ping), .tick(.lost)]
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
            case .unasked(let goesOn, let expected):
                let action = keepalive.tick(isPaused: false, isUnasked: true, goesOn: goesOn)
                #expect(action == expected, "\(name), step \(index)")
            case .paused(let expected):
                let action = keepalive.tick(isPaused: true, isUnasked: false, goesOn: true)
                #expect(action == expected, "\(name), step \(index)")
            }
        }
    }
}
