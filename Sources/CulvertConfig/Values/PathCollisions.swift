import CulvertSystem
import Foundation
import Glibc

/// Finds two keys that lead to the same file among the database, the admin token and the Unix sockets. Culvert makes
/// each of them itself, so the second would find the first in its place.
package enum PathCollisions {
    /// A key and its path, in the order of the keys; nil for a file that the configuration does not have.
    package typealias Entry = (keyPath: String, path: String?)

    /// Compares the paths as texts.
    static func report(_ paths: [Entry], to errors: ConfigErrorCollector) {
        let places = ConfigPlaces(file: errors.file, errors.places)
        for fault in self.find(paths, places, { URL(fileURLWithPath: $0).standardized.path }) {
            errors.add(line: fault.line, column: fault.column, keyPath: fault.keyPath, fault.message)
        }
    }

    /// Compares the places to which the paths lead, behind all links.
    package static func find(_ paths: [Entry], _ places: ConfigPlaces) -> [ConfigError] {
        self.find(paths, places, self.place(of:))
    }

    /// - Parameter place: gives the same text for paths that lead to the same file.
    private static func find(
        _ paths: [Entry], _ places: ConfigPlaces, _ place: (String) -> String
    ) -> [ConfigError] {
        var found: [ConfigError] = []
        var seen: [String: String] = [:]
        for (keyPath, path) in paths {
            guard let path else { continue }
            // SQLite keeps files of its own beside the database.
            let suffixes = keyPath == "state" ? DatabaseFiles.suffixes : [""]
            let whole = place(path)
            for suffix in suffixes {
                guard let other = seen[whole + suffix] else { continue }
                // The error is at the key that the file has, when the other has its default.
                let (at, against) = places.contains(keyPath) ? (keyPath, other) : (other, keyPath)
                let isBeside = !suffix.isEmpty || self.isBeside(whole, other, seen)
                found.append(
                    places[at].error(
                        "\(path)\(suffix): this is \(isBeside ? "a" : "the") path of \(places.name(against))"
                            + (isBeside ? ": SQLite keeps a file of the database there" : "")
                            + "; choose another one"))
                break
            }
            for suffix in suffixes where seen[whole + suffix] == nil { seen[whole + suffix] = keyPath }
        }
        return found
    }

    /// Whether `place` is that of a file beside the database, which has the key `keyPath`.
    private static func isBeside(_ place: String, _ keyPath: String, _ seen: [String: String]) -> Bool {
        keyPath == "state"
            && DatabaseFiles.suffixes.dropFirst().contains { suffix in
                place.utf8.count > suffix.utf8.count && place.utf8.reversed().starts(with: suffix.utf8.reversed())
                    && seen[String(decoding: place.utf8.dropLast(suffix.utf8.count), as: UTF8.self)] == keyPath
            }
    }

    /// The path behind all links. A file that is missing is found by its folder; a path whose folder is missing is
    /// itself.
    private static func place(of path: String) -> String {
        if let real = self.real(path) { return real }
        let url = URL(fileURLWithPath: path)
        guard let folder = self.real(url.deletingLastPathComponent().path) else { return url.standardized.path }
        return (folder == "/" ? "" : folder) + "/" + url.lastPathComponent
    }

    private static func real(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
