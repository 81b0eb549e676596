import CulvertCore
import Foundation
import NIOCore
import Yams

extension ConfigReader {
    /// - Parameter upstreams: nil where the section is missing or no mapping, which has been reported.
    func routes(
        _ node: ConfigNode, upstreams: [String: ConfigNode]?, limits: LimitsConfig, carriers: CarrierNames
    ) -> [Route]? {
        guard let entries = node.list() else { return nil }
        if entries.isEmpty { node.fail("expected at least one route") }
        // By what they decode to: of two spellings of one path the second would never match.
        var seen: Set<RouteKey> = []
        return entries.compactMap { entry in
            guard let route = self.route(entry, upstreams: upstreams, limits: limits, carriers: carriers),
                let prefix = try? PathPrefix(route.path)
            else { return nil }
            if !seen.insert(RouteKey(host: route.host.map(HostName.init), prefix: prefix)).inserted {
                entry.fail("another route has the same host and path")
            }
            return route
        }
    }

    private struct RouteKey: Hashable {
        var host: HostName?
        var prefix: PathPrefix
    }

    private static let deeperRouteKeys = [
        "allow": "origins.allow", "missing": "origins.missing", "cookie": "carriers.cookie",
        "query_parameter": "carriers.query_parameter", "sessions": "limits.sessions", "rate": "limits.rate",
        "message": "limits.message",
    ]

    private enum Authentication: String, CaseIterable {
        case required
        case none
    }

    private func route(
        _ node: ConfigNode, upstreams: [String: ConfigNode]?, limits: LimitsConfig, carriers: CarrierNames
    ) -> Route? {
        let known = [
            "path", "host", "upstream", "origins", "authentication", "carriers", "transports", "validate_text",
            "limits",
        ]
        guard let keys = node.section(known, required: ["path", "upstream"], deeper: Self.deeperRouteKeys) else {
            return nil
        }
        node.keepPlace()
        keys["host"]?.keepPlace()
        let path = keys["path"].flatMap(self.path)
        let upstream = keys["upstream"]?.string()
        if let upstream, let upstreams, upstreams[upstream] == nil {
            keys["upstream"]?.fail(
                "no upstream is called \"\(upstream)\""
                    + Spelling.suggestion(for: upstream, among: upstreams.keys.sorted()))
        }
        var transports = Set(Transport.allCases)
        if let list = keys["transports"]?.list() {
            transports = Set(list.compactMap { $0.choice(Transport.self) })
            if list.isEmpty { keys["transports"]?.fail("expected at least one of websocket, long-poll") }
        }
        let host = keys["host"].flatMap(self.host)
        let authentication = keys["authentication"]?.choice(Authentication.self) ?? .required
        let origins = self.origins(keys["origins"])
        let ownCarriers = self.routeCarriers(keys["carriers"], over: carriers)
        // A misspelt key may be "carriers" or "authentication", and the error about it is enough.
        if authentication == .required, keys.keys.allSatisfy({ known.contains($0) }) {
            self.checkCarriers(ownCarriers ?? carriers, origins, node, keys: keys)
        }
        let validateText = keys["validate_text"]?.bool() ?? false
        let own = self.routeLimits(keys["limits"], over: limits)
        guard let path, let upstream else { return nil }
        return Route(
            path: path, host: host, upstream: upstream, origins: origins,
            authenticationRequired: authentication == .required, transports: transports, validateText: validateText,
            limits: own.opening, carriers: ownCarriers, message: own.message)
    }

    private func routeLimits(
        _ node: ConfigNode?, over limits: LimitsConfig
    ) -> (opening: AdmissionLimits, message: MessageLimits) {
        let opening = self.admission(
            node, ["sessions", "rate", "burst", "handshakes", "message"], over: limits.route)
        // Only a mapping: what else stands there has been reported already.
        let message = node?.node.mapping == nil ? nil : node?.members()?["message"]
        return (opening, message?.messageLimits(over: limits.message) ?? limits.message)
    }

    /// A name or an address without a port, as in a `Host` field.
    func host(_ node: ConfigNode) -> String? {
        guard let text = node.string()?.asciiLowercased else { return nil }
        let isLiteral = text.utf8.first == UInt8(ascii: "[")
        // No request with another kind of name is let in: the route would never match.
        guard !text.isEmpty, HostPort.isValid(text),
            isLiteral ? text.utf8.last == UInt8(ascii: "]") : !text.contains(byte: UInt8(ascii: ":"))
        else {
            node.fail("expected a host name without scheme and port")
            return nil
        }
        return text
    }

    /// Without the section no browser's origin passes, and clients that send none do.
    private func origins(_ node: ConfigNode?) -> OriginPolicy {
        guard let keys = node?.section(["allow", "missing"]) else { return OriginPolicy(allow: [], missing: .allow) }
        keys["allow"]?.keepPlace()
        let allow = keys["allow"]?.list()?.compactMap { entry -> OriginPattern? in
            guard let text = entry.string() else { return nil }
            guard let pattern = OriginPattern(text) else {
                entry.fail(OriginFault.message(text))
                return nil
            }
            return pattern
        }
        return OriginPolicy(allow: allow ?? [], missing: keys["missing"]?.choice(MissingOrigin.self) ?? .allow)
    }
}
