import AllocationCounter
import CulvertCore

/// One kind of request, decided on many times.
struct GateCase {
    var name: String
    var request: GateRequest

    private static let rounds = 20_000
    private static let batches = 20
    /// As many clients as a busy loop may have polling.
    private static let clients = 1000
    private static let now: Int64 = 1_800_000_000
    /// As long as one signed with RS256 by a common issuer.
    private static let jwt =
        String(repeating: "h", count: 60) + "." + String(repeating: "p", count: 340) + "."
        + String(repeating: "s", count: 342)

    static func secret(_ index: Int) -> String { "cvt_" + String(repeating: "0", count: 33) + "\(1_000_000 + index)" }

    static let all: [GateCase] = {
        var native = GateRequest(method: "GET", path: "/chat/room", query: "a=1&b=2", host: "edge.example.com:8443")
        native.wantsUpgrade = true
        var poll = native
        poll.wantsUpgrade = false
        poll.isPoll = true
        poll.query = "ack=17"
        poll.origins = ["https://app.example.com"]
        poll.cookies = ["theme=dark; lang=en"]
        var signed = poll
        signed.authorization = ["Bearer " + Self.jwt]
        var query = native
        query.query = "a=1&access_token=" + Self.secret(1)
        return [
            GateCase(name: "opaque, native, header", request: native),
            GateCase(name: "opaque, poll with origin and cookies, header", request: poll),
            GateCase(name: "opaque, native, query", request: query),
            GateCase(name: "JWT that was verified, poll", request: signed),
        ]
    }()

    private static var gate: Gate {
        let origins = OriginPolicy(
            allow: ["https://other.example", "https://*.example.com"].compactMap(OriginPattern.init), missing: .allow)
        let routes = ["/", "/chat", "/admin"].map { path in
            Route(
                path: path, host: path == "/" ? nil : "edge.example.com", upstream: "echo", origins: origins,
                authenticationRequired: true, transports: Set(Transport.allCases), validateText: false)
        }
        return Gate(
            routes: RouteTable(routes),
            carriers: CarrierNames(queryParameter: "access_token", cookie: "culvert_token"))
    }

    /// Prints nanoseconds (of the fastest batch, since others share the machine) and allocations for each decision. The
    /// first of each client, which fills caches, is not among them.
    func run(_ keyring: TokenKeyring) {
        var keyring = keyring
        keyring.apply(.jwtKeys(["k": .max]))
        let token = Token(id: "j", source: .jwt, subject: "s", routes: ["/chat"], expires: Self.now + 60)
        keyring.remember(
            Credential(entry: TokenEntry(token: token, secrets: [], keyID: "k"), generation: 0), for: Self.jwt)
        let gate = Self.gate
        let load = Gate.Load(isDraining: false)
        var requests: [GateRequest] = []
        for index in 0..<Self.clients {
            var request = self.request
            if request.authorization.isEmpty, request.query?.contains("access_token") != true {
                request.authorization = ["Bearer " + Self.secret(index)]
            }
            requests.append(request)
        }
        func decide(_ request: GateRequest) {
            guard case .admit = gate.decide(request, keyring: &keyring, now: Self.now, load: load) else {
                fatalError("\(self.name): not admitted")
            }
        }
        let clock = ContinuousClock()
        let first = clock.measure { for request in requests { decide(request) } }
        var times = Array(repeating: Int64(0), count: Self.batches)
        let before = allocation_count()
        for batch in 0..<Self.batches {
            let time = clock.measure { for index in 0..<Self.rounds { decide(requests[index % Self.clients]) } }
            times[batch] = (time / Self.rounds).nanoseconds
        }
        let allocations = Double(allocation_count() - before) / Double(Self.rounds * Self.batches)
        times.sort()
        print(
            "gate: \(self.name): \(times[0]) ns (median \(times[Self.batches / 2])),",
            "\(Self.decimal(allocations)) allocations;",
            "the first of a client \((first / Self.clients).nanoseconds) ns")
    }
}

extension GateCase {
    private static func decimal(_ value: Double) -> String {
        let thousandths = Int((value * 1000).rounded())
        return "\(thousandths / 1000)." + String(1000 + thousandths % 1000).dropFirst()
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        self.components.seconds * 1_000_000_000 + self.components.attoseconds / 1_000_000_000
    }
}
