/// A prefix of paths on segment borders: a route's path, or a path that a token opens.
package struct PathPrefix: Hashable, Sendable {
    /// Decoded, so that prefixes are compared and ordered by what they mean.
    let bytes: [UInt8]
    /// The same for servers that ignore case. See ``PathFold``.
    let folded: [UInt8]

    /// - Throws: what keeps every request from being matched by it. A prefix with a part that servers read in different
    ///   ways, such as parameters (`/a;b`), would match none: a request that it covers in one reading is not covered in
    ///   another.
    package init(_ text: String) throws(PathFault) {
        let result: Result<[UInt8], PathFault> = text.withBytes { bytes in
            Result { () throws(PathFault) in
                let readings = try PathReader.readings(of: bytes)
                guard readings.count <= 1 else { throw .ambiguous }
                return readings.first ?? Array(bytes)
            }
        }
        self.bytes = try result.get()
        self.folded = PathFold.fold(self.bytes)
    }

    /// Whether the prefix covers the path in every reading: `/chat` covers `/chat` and `/chat/a`, not `/chatter`.
    package func covers(_ path: RequestPath) -> Bool {
        self.bytes.withUnsafeBufferPointer { prefix in path.allReadings { Self.isPrefix(prefix, of: $0) } }
    }

    /// The same for a prefix that was not checked; one that cannot match covers nothing.
    package static func covers(_ prefix: String, _ path: RequestPath) -> Bool {
        // Most are plain, and cost no copy.
        let isPlain = prefix.withBytes { bytes in
            bytes.allSatisfy { $0 != UInt8(ascii: "%") && $0 != UInt8(ascii: ";") && $0 < 0x80 }
        }
        if isPlain { return prefix.withBytes { prefix in path.allReadings { Self.isPrefix(prefix, of: $0) } } }
        guard let prefix = try? PathPrefix(prefix) else { return false }
        return prefix.covers(path)
    }

    /// False also for a path that no request may have.
    package static func covers(_ prefix: String, _ path: String) -> Bool {
        guard let path = try? RequestPath(path) else { return false }
        return self.covers(prefix, path)
    }

    /// Whether one of the two prefixes covers the other, so that there are paths which both cover.
    package func meets(_ other: PathPrefix) -> Bool {
        self.bytes.withUnsafeBufferPointer { one in
            other.bytes.withUnsafeBufferPointer { Self.isPrefix(one, of: $0) || Self.isPrefix($0, of: one) }
        }
    }

    func covers(reading: UnsafeBufferPointer<UInt8>) -> Bool {
        self.bytes.withUnsafeBufferPointer { Self.isPrefix($0, of: reading) }
    }

    private static func isPrefix(_ prefix: UnsafeBufferPointer<UInt8>, of path: UnsafeBufferPointer<UInt8>) -> Bool {
        guard prefix.first == UInt8(ascii: "/"), path.begins(with: prefix) else { return false }
        return prefix.last == UInt8(ascii: "/") || path.count == prefix.count
            || path[prefix.count] == UInt8(ascii: "/")
    }

    /// Whether a server that ignores case, does not care for a slash or blanks at the end, or takes what follows a dot at
    /// the end for the format of its answer (Rails, Spring), takes a path for one below the prefix. This only ever
    /// refuses.
    ///
    /// - Parameter path: a reading of ASCII, or the front of another one that ``PathFold`` has folded.
    func coversLoosely(_ path: UnsafeBufferPointer<UInt8>) -> Bool {
        var length = self.folded.count
        if self.folded.last == UInt8(ascii: "/") { length -= 1 }
        guard path.count >= length else { return false }
        for index in 0..<length where self.folded[index] != path[index].lowercased { return false }
        return Self.ends(path[length...])
    }

    /// - Parameter rest: of a path, behind a prefix.
    private static func ends(_ rest: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        switch rest.first {
        case nil, UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: ";"), UInt8(ascii: "?"), UInt8(ascii: "#"):
            return true
        case UInt8(ascii: "."):
            let format = rest.last == UInt8(ascii: "/") ? rest.dropLast() : rest
            return !format.contains(UInt8(ascii: "/"))
        case UInt8(ascii: " "), UInt8(ascii: "+"):
            let segment = rest.prefix { $0 != UInt8(ascii: "/") }
            return segment.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: ".") }
        default: return false
        }
    }

    /// Whether this is `other` with a slash behind it. A configuration with both has two routes on purpose.
    func isSame(withSlash other: PathPrefix) -> Bool {
        self.bytes.count == other.bytes.count + 1 && self.bytes.last == UInt8(ascii: "/")
            && self.bytes.starts(with: other.bytes)
    }

    /// Nil for a path that may stand in a request or in a configuration; otherwise what is wrong with it.
    package static func fault(of path: String) -> PathFault? {
        path.withBytes { bytes in
            do throws(PathFault) {
                _ = try PathReader.readings(of: bytes)
                return nil
            } catch {
                return error
            }
        }
    }

    package static func isSafe(_ path: String) -> Bool { self.fault(of: path) == nil }
}
