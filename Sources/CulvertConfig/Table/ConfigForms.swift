import CulvertCore

/// The forms of text that keys of several sections have.
extension ConfigNode {
    /// Reads the prefix of paths that a route covers, or that a token opens.
    func pathPrefix() -> String? {
        guard let text = self.string() else { return nil }
        do throws(PathFault) {
            _ = try PathPrefix(text)
            return text
        } catch {
            switch error {
            case .noSlash, .dotSegment: self.fail("expected a path that begins with a slash, without dot segments")
            case .ambiguous:
                self.fail(
                    "no request can match it: servers read parameters (;), ?, # and a point or space at the end of a"
                        + " segment in different ways, and such requests are refused")
            default: self.fail("no request can match it, since requests of this kind are refused: \(error.detail)")
            }
            return nil
        }
    }

    /// Reads a name or an address without a port, as in a `Host` field.
    func hostName() -> String? {
        guard let text = self.string()?.asciiLowercased else { return nil }
        let isLiteral = text.utf8.first == UInt8(ascii: "[")
        // No request with another kind of name is let in: the route would never match.
        guard !text.isEmpty, HostPort.isValid(text),
            isLiteral ? text.utf8.last == UInt8(ascii: "]") : !text.contains(byte: UInt8(ascii: ":"))
        else {
            self.fail(HostFault.message(text, isEntry: self.path.hasSuffix("]")))
            return nil
        }
        return text
    }

    /// Reads a token in the sense of RFC 9110 5.6.2.
    func fieldName() -> String? {
        guard let text = self.string() else { return nil }
        let isName = !text.isEmpty && text.utf8.allSatisfy(\.isTokenByte)
        if !isName { self.fail("expected a name of letters, digits and !#$%&'*+-.^_`|~") }
        return isName ? text : nil
    }

    /// Reads a date and time, as Unix seconds.
    func date() -> Int64? {
        guard let text = self.string() else { return nil }
        if let seconds = UnixTime.parse(text) { return seconds }
        self.fail("expected a date and time, such as 2027-01-01T00:00:00Z")
        return nil
    }
}

extension ConfigMembers {
    /// Reads a close code that an endpoint may send, and that a client can act on.
    func closeCode(_ key: Key) -> CloseCode {
        let number = UInt16(self.string(key)) ?? 0
        if !CloseCode.ofOperators.contains(number) { self[key]?.fail("expected \(ConfigText.closeCode.summary)") }
        return CloseCode(rawValue: number)
    }
}

extension CloseCode {
    /// Those that an operator may have sessions closed with.
    package static let ofOperators: Set<UInt16> = Set([1000, 1001, 1008, 1012, 1013] + (3000...4999))
}
