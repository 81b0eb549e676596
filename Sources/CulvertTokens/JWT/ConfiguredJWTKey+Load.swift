package import CulvertCore
import CulvertSystem
import Foundation

/// How a key of the configuration is read.
extension ConfiguredJWTKey {
    /// Why a file gives no key, for the operator.
    package struct Unusable: Error, Equatable, CustomStringConvertible {
        package var file: String
        package var message: String
        package var description: String { "\(self.file): \(self.message)" }
    }

    /// - Throws: ``Unusable``.
    package func load() throws(Unusable) -> JWTKeyDescription {
        switch self.place {
        case .inline(let key): return key
        case .file(let path, let id, let algorithm):
            let data: Data
            do throws(RegularFile.Fault) {
                data = try RegularFile.read(path, most: 64 * 1024)
            } catch {
                if case .irregular(let fault) = error { throw Unusable(file: path, message: fault) }
                throw Unusable(file: path, message: "cannot be read, or has more than 64KiB")
            }
            let key: JWTKeyDescription
            do throws(JWTKeyDescription.Fault) {
                key = try JWTKeyDescription(file: Array(data), id: id, algorithm: algorithm)
            } catch {
                throw Unusable(file: path, message: error.message)
            }
            if key.id == nil { throw Unusable(file: path, message: "the key has no \"kid\"; give it an id") }
            return key
        }
    }
}
