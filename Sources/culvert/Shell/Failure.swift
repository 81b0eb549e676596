import ArgumentParser
import Foundation

/// How a command says what went wrong.
enum Failure {
    /// Prints the lines on standard error.
    ///
    /// - Returns: the code to leave with.
    static func report(_ lines: [String]) -> ExitCode {
        let text = lines.map { $0 + "\n" }.joined()
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
        return .failure
    }
}
