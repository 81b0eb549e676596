/// A prefix of paths on segment borders: a route's path, or a path that a token opens.
package struct PathPrefix: Hashable, Sendable {
    /// Decoded, so that prefixes are compared and ordered by what they mean.
    let bytes: [UInt8]

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

    func covers(reading: UnsafeBufferPointer<UInt8>) -> Bool {
        self.bytes.withUnsafeBufferPointer { Self.isPrefix($0, of: reading) }
    }

    private static func isPrefix(_ prefix: UnsafeBufferPointer<UInt8>, of path: UnsafeBufferPointer<UInt8>) -> Bool {
        guard prefix.first == UInt8(ascii: "/"), path.begins(with: prefix) else { return false }
        return prefix.last == UInt8(ascii: "/") || path.count == prefix.count
            || path[prefix.count] == UInt8(ascii: "/")
    }

    /// Whether a server that ignores case takes `reading` for a path below the prefix.
    func coversIgnoringCase(reading: UnsafeBufferPointer<UInt8>) -> Bool {
        if self.bytes.contains(where: { $0 >= 0x80 }) { return self.coversIgnoringUnicodeCase(Array(reading)) }
        guard reading.count >= self.bytes.count else { return false }
        for index in self.bytes.indices where self.bytes[index].lowercased != reading[index].lowercased { return false }
        return self.bytes.last == UInt8(ascii: "/") || reading.count == self.bytes.count
            || reading[self.bytes.count] == UInt8(ascii: "/")
    }

    /// Segment by segment, as Unicode has it, since a server may ignore case and normal form of other letters too. This
    /// only ever refuses.
    private func coversIgnoringUnicodeCase(_ reading: [UInt8]) -> Bool {
        let slash = UInt8(ascii: "/")
        var own = self.bytes.split(separator: slash, omittingEmptySubsequences: false)
        let path = reading.split(separator: slash, omittingEmptySubsequences: false)
        if own.last?.isEmpty == true { own.removeLast() }
        guard path.count >= own.count else { return false }
        return zip(own, path).allSatisfy { one, other in
            // By Characters: what any server may take for the same is the same here.
            String(decoding: one, as: UTF8.self).lowercased() == String(decoding: other, as: UTF8.self).lowercased()
        }
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
