import Foundation
import Testing

/// Says what `swift test` leaves out.
@Suite("End to end, over real sockets")
struct SkippedTests {
    static let files: [String] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "EndToEnd")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasPrefix("test_") }.sorted()
    }()

    @Test(
        "needs Python, curl, openssl, Chromium and the release binary: run Tests/run",
        .disabled("not part of swift test: \(files.joined(separator: ", "))"))
    func endToEnd() {}
}
