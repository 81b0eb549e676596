import CulvertCore
import Foundation
import NIOCore

/// `authentication.jwt.jwks[]`.
package enum KeySetSection: String, ConfigSection {
    case file, url, ca, refresh, cooldown, timeout

    package var entry: ConfigKey {
        switch self {
        case .file:
            ConfigKey(
                .text(.file), .words("`file` or `url`"),
                "The set as a file, which is read again at every `refresh`.")
        case .url:
            ConfigKey(
                .text(.keySetURL), .words("`file` or `url`"),
                "The set behind a URL: `https`, or `http` on a loopback address.",
                note: "Redirects are not followed.", example: "https://id.example.com/.well-known/jwks.json")
        case .ca:
            ConfigKey(
                .text(.file), .words("the system's"),
                "PEM file of the authorities that vouch for the URL's server.")
        case .refresh:
            ConfigKey(.duration(.seconds(1) ... .hours(24)), .value("5m"), "How often the set is read.")
        case .cooldown:
            ConfigKey(
                .duration(.milliseconds(100) ... .hours(1)), .value("10s"),
                "The shortest time between two readings that tokens with an unknown `kid` cause.")
        case .timeout:
            ConfigKey(
                .duration(.milliseconds(100) ... .minutes(1)), .value("5s"),
                "The longest time to wait for the set.", note: "A request with an unknown `kid` waits as long.")
        }
    }

    package static var rules: SchemaJSON {
        ["oneOf": [["required": ["file"]], ["required": ["url"]]], "dependentRequired": ["ca": ["url"]]]
    }
}

extension KeySetSection {
    /// Reads an entry of `authentication.jwt.jwks`. No message repeats a value: it may be a secret.
    struct Reader {
        /// How an entry is written.
        static let form = "{ url: \"https://id.example.com/.well-known/jwks.json\" }"

        let folder: ConfigFolder

        func read(_ node: ConfigNode) -> KeySetConfig? {
            guard let keys = node.section(KeySetSection.self, form: Self.form) else { return nil }
            guard (keys[.file] == nil) != (keys[.url] == nil) else {
                node.fail("expected either file or url")
                return nil
            }
            let place: KeySetConfig.Place
            if let path = keys[.file].flatMap(self.folder.file) {
                place = .file(path)
                keys[.ca]?.fail("of no use without \"url\"")
            } else if let node = keys[.url], let url = node.string() {
                guard self.isFetchable(url) else {
                    node.fail("expected an https URL, or an http one on a loopback address, without user and password")
                    return nil
                }
                place = .url(url, ca: keys[.ca].flatMap(self.folder.file))
            } else {
                return nil
            }
            return KeySetConfig(
                place: place, refresh: keys.time(.refresh), cooldown: keys.time(.cooldown),
                timeout: keys.time(.timeout))
        }

        /// Whoever can change the answer can mint tokens, so that the way to it must be safe.
        private func isFetchable(_ text: String) -> Bool {
            guard let url = URLComponents(string: text), let host = url.host, !host.isEmpty, url.user == nil,
                url.password == nil
            else { return false }
            switch url.scheme?.lowercased() {
            case "https": return true
            case "http": return ["localhost", "127.0.0.1", "::1", "[::1]"].contains(host.lowercased())
            default: return false
            }
        }
    }
}

extension KeySetConfig {
    var effective: EffectiveValue {
        let (file, url, ca): (String?, String?, String?) =
            switch self.place {
            case .file(let path): (path, nil, nil)
            // The query of a URL may be a secret.
            case .url(let url, let ca): (nil, self.name + (url.contains("?") ? "?(redacted)" : ""), ca)
            }
        return .section(KeySetSection.self) { key in
            switch key {
            case .file: file.map(EffectiveValue.text)
            case .url: url.map(EffectiveValue.text)
            case .ca: ca.map(EffectiveValue.text)
            case .refresh: .time(self.refresh)
            case .cooldown: .time(self.cooldown)
            case .timeout: .time(self.timeout)
            }
        }
    }
}
