import Foundation

/// Finds two keys that give the same path to the database, the admin token and the Unix sockets. Culvert makes each of
/// them itself, so that the second would find the first in its place.
enum PathCollisions {
    /// - Parameter paths: in the order of their keys; nil where there is no such file.
    static func report(_ paths: [(keyPath: String, path: String?)], to errors: ConfigErrorCollector) {
        let places = ConfigPlaces(file: errors.file, errors.places)
        var seen: [String: String] = [:]
        for (keyPath, path) in paths {
            guard let path else { continue }
            let standard = URL(fileURLWithPath: path).standardized.path
            guard let other = seen[standard] else {
                seen[standard] = keyPath
                continue
            }
            // At the key that the file has, when the other has its default.
            let (at, against) = places.contains(keyPath) ? (keyPath, other) : (other, keyPath)
            let place = places[at]
            errors.add(
                line: place.line, column: place.column, keyPath: at,
                "\(path): \(places.name(against)) gives the same path; choose another one")
        }
    }
}
