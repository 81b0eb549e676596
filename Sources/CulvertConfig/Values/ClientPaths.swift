import CulvertCore

/// The paths of the browser client's files, which follow from the path of its script.
package struct ClientPaths: Sendable, Equatable {
    /// `/culvert` of `/culvert.js`.
    package let stem: String

    /// Nil when no script can be there, see ``isUsable(_:)``.
    package init?(_ path: String) {
        guard Self.isUsable(path) else { return nil }
        self.stem = String(path.slice(0..<path.utf8.count - Self.suffix.utf8.count))
    }

    private static let suffix = ".js"

    package var module: String { self.stem + ".js" }
    package var classic: String { self.stem + ".classic.js" }
    package var types: String { self.stem + ".d.ts" }

    /// Whether a page needs no quoting for the path, and the session protocol does not use it.
    static func isUsable(_ path: String) -> Bool {
        let segments = path.parts(at: UInt8(ascii: "/")).dropFirst()
        guard PathPrefix.isSafe(path), let name = segments.last, name.utf8.count > Self.suffix.utf8.count,
            name.dropping(name.utf8.count - Self.suffix.utf8.count).equals(Self.suffix),
            !segments.contains(where: { $0.equals(PollTarget.marker) })
        else { return false }
        return path.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/-._~".utf8.contains(byte)
            }
        }
    }

    /// Whether this is the path of some build, whichever.
    package func isBuild(_ path: String) -> Bool {
        guard path.begins(with: self.stem + "."),
            let (mark, kind) = path.dropping(self.stem.utf8.count + 1).split(at: UInt8(ascii: "."))
        else { return false }
        return mark.utf8.count == 16 && mark.utf8.allSatisfy { $0.hexValue != nil }
            && (kind.equals("js") || kind.equals("classic.js"))
    }
}
