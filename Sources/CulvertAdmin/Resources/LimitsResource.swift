import CulvertConfig
import CulvertCore
import CulvertEdge
import NIOCore
import NIOHTTP1

/// `/v1/limits`: shows the limits, what is open under them, and how often each has refused.
struct LimitsResource: Sendable {
    let limits: EdgeLimits

    func answer(_ request: AdminRequest) throws(AdminFailure) -> HTTPAnswer {
        try request.allowPlainRead()
        let text = JSONWriter.object {
            $0.add("limits", raw: self.limitsInForce)
            $0.add("sessions", self.limits.sessions)
            $0.add("connections", self.limits.connections)
            $0.add("handshakes", self.limits.handshakes)
            $0.add("parked", self.limits.parkedPolls)
            $0.add("addresses", self.limits.addresses)
            $0.add("tokens", self.limits.tokens)
            $0.add("denials", raw: self.denials)
        }
        return HTTPAnswer(.ok, json: text)
    }

    private var limitsInForce: String {
        let config = self.limits.config
        var process = config.process
        process.sessions = config.connections
        return JSONWriter.object {
            $0.add("process", raw: Self.text(process))
            $0.add("address", raw: Self.text(config.address))
            $0.add("token", raw: Self.text(config.token))
            $0.add("route", raw: Self.text(config.route))
            $0.add("message", raw: Self.text(config.message))
            let routes = self.limits.routes.map { route in
                JSONWriter.object {
                    $0.add("name", route.name)
                    $0.add("limits", raw: Self.text(route.limits))
                    $0.add("message", raw: Self.text(route.message))
                }
            }
            $0.add("routes", raw: "[" + routes.joined(separator: ",") + "]")
            $0.add(
                "http",
                raw: JSONWriter.object {
                    $0.add("first_byte", raw: Self.seconds(config.http.firstByte))
                    $0.add("body_rate", config.http.bodyRate)
                    $0.add("requests", config.http.requests)
                    $0.add("idle", raw: Self.seconds(config.http.idle))
                    $0.add("parked", config.http.parked)
                })
        }
    }

    private var denials: String {
        JSONWriter.object {
            for scope in AdmissionScope.allCases {
                $0.add(
                    scope.rawValue,
                    raw: JSONWriter.object {
                        for limit in AdmissionLimit.allCases {
                            $0.add(limit.rawValue, self.limits.denied(scope, limit))
                        }
                    })
            }
            $0.add("http", raw: JSONWriter.object { $0.add("parked", self.limits.deniedPolls) })
            let reasons = self.limits.refusals
            $0.add("reasons", raw: JSONWriter.object { for (reason, count) in reasons { $0.add(reason, count) } })
        }
    }

    private static func text(_ limits: MessageLimits) -> String {
        JSONWriter.object {
            $0.add("from_client", limits.fromClient)
            $0.add("from_upstream", limits.fromUpstream)
        }
    }

    private static func text(_ limits: AdmissionLimits) -> String {
        JSONWriter.object {
            $0.add("sessions", limits.sessions)
            $0.add("rate", limits.rate?.rate)
            $0.add("burst", limits.rate?.burst)
            $0.add("handshakes", limits.handshakes)
        }
    }

    private static func seconds(_ time: TimeAmount) -> String { "\(Double(time.nanoseconds / 1_000_000) / 1000)" }
}
