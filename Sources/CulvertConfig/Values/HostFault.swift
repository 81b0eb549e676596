import CulvertCore

/// Says what keeps a text from being the host of a route or an entry of `admin.hosts`.
enum HostFault {
    /// - Parameters:
    ///   - text: a text that ``ConfigNode/hostName()`` does not take.
    ///   - isEntry: the text is an entry of a list; otherwise it is the host of a route.
    static func message(_ text: String, isEntry: Bool) -> String {
        "expected a host name without scheme and port" + self.advice(text, isEntry: isEntry)
    }

    private static func advice(_ text: String, isEntry: Bool) -> String {
        if text.contains(byte: UInt8(ascii: "*")) {
            return "; there are no wildcards, so write one \(isEntry ? "entry" : "route") for each name"
        }
        if text.contains(bytesOf: "://") { return "; drop the scheme" }
        if text.utf8.contains(where: { $0 >= 0x80 }) {
            return "; write a name of another alphabet in ASCII, as browsers send it (xn--…)"
        }
        // A text with a valid host is refused for its port only.
        if !text.isEmpty, HostPort.isValid(text) { return "; drop the port" }
        return ""
    }
}
