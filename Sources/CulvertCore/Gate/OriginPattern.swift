/// An entry of `origins.allow`:
///
/// - `https://a.example`, `file://` and `null` match this origin.
/// - `https://*.a.example` matches names with one or more whole labels on the left.
/// - `http://localhost:*` matches every port, the default port too. A name with a star may stand in front of it.
/// - `moz-extension://*` matches every host of a scheme whose hosts are not names on the network.
/// - `*` matches every origin, `null` too.
package struct OriginPattern: Equatable, Sendable, CustomStringConvertible {
    /// A single reference, so that copying a pattern costs one count.
    private let form: Form

    private enum Hosts: Sendable {
        case one
        case below
        case all
    }

    private final class Form: Sendable {
        let text: String
        /// The origin to compare with; nil when the entry matches every origin.
        let origin: Origin?
        let hosts: Hosts
        let isAnyPort: Bool
        /// The text that a browser writes (RFC 6454 6.2): for a wildcard the texts in front of the labels and behind them.
        /// It is nil when a request's origin has to be taken apart before it can be compared.
        let serialization: (front: String, back: String)?

        init(text: String, origin: Origin?, hosts: Hosts, isAnyPort: Bool) {
            self.text = text
            self.origin = origin
            self.hosts = hosts
            self.isAnyPort = isAnyPort
            self.serialization =
                hosts == .all || isAnyPort ? nil : origin?.serialization(isWildcard: hosts == .below)
        }
    }

    /// Fails for a text with a path, for a bare host, and for a `*` in another place.
    package init?(_ text: String) {
        if text.equals("*") {
            self.form = Form(text: text, origin: nil, hosts: .all, isAnyPort: true)
            return
        }
        let isAnyPort = text.utf8.suffix(2).elementsEqual(":*".utf8)
        var bare = isAnyPort ? String(text.slice(0..<text.utf8.count - 2)) : text
        var hosts = Hosts.one
        if let (scheme, rest) = bare.split(at: UInt8(ascii: ":")) {
            if rest.equals("//*") {
                guard !isAnyPort, Origin.hasHostsOfItsOwn(scheme) else { return nil }
                hosts = .all
                bare = String(scheme) + "://all"
            } else if rest.begins(with: "//*.") {
                hosts = .below
                bare = String(scheme) + "://" + String(rest.dropping(4))
            }
        }
        guard let origin = Origin(bare), !(hosts == .below && origin.hasNoLabels) else { return nil }
        // The origin can have a port, and has none beside the star.
        if isAnyPort, Origin(bare + ":1") == nil { return nil }
        self.form = Form(text: text, origin: origin, hosts: hosts, isAnyPort: isAnyPort)
    }

    package var description: String { self.form.text }

    /// Stands for every origin there is.
    package var isEveryOrigin: Bool { self.form.origin == nil }

    /// Two patterns are equal when they match the same origins, however they are spelt.
    package static func == (one: OriginPattern, other: OriginPattern) -> Bool {
        one.form.origin == other.form.origin && one.form.hosts == other.form.hosts
            && one.form.isAnyPort == other.form.isAnyPort
    }

    /// Whether `text` is the text that browsers send for such an origin. Another spelling of it does not match here.
    func matches(serialized text: String) -> Bool {
        guard let serialization = self.form.serialization else { return false }
        return text.withBytes { text in
            serialization.front.withBytes { front in
                guard self.form.hosts == .below else { return text.count == front.count && text.begins(with: front) }
                return serialization.back.withBytes { back in
                    let labels = text.count - front.count - back.count
                    guard labels > 0, text.begins(with: front) else { return false }
                    let end = UnsafeBufferPointer(rebasing: text[(front.count + labels)...])
                    return end.begins(with: back) && Origin.areLabels(text[front.count..<front.count + labels])
                }
            }
        }
    }

    package func matches(_ other: Origin) -> Bool {
        guard let origin = self.form.origin else { return true }
        guard case .tuple(let scheme, let host, let port) = origin,
            case .tuple(let otherScheme, let otherHost, let otherPort) = other
        else { return origin == other }
        guard self.form.isAnyPort || port == otherPort, scheme.equalsIgnoringCase(otherScheme) else { return false }
        switch self.form.hosts {
        case .one: return host.equalsIgnoringCase(otherHost)
        case .all: return true
        case .below:
            // The other name has at least one label more. No label of an origin is empty.
            let more = otherHost.utf8.count - host.utf8.count
            return more > 1 && otherHost.utf8.dropFirst(more - 1).first == UInt8(ascii: ".")
                && Substring(otherHost.utf8.suffix(host.utf8.count)).equalsIgnoringCase(host)
        }
    }
}
