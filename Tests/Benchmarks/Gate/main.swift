import AllocationCounter
import CulvertCore
import CulvertTokens
import Foundation
import GRDB

// What the gate costs for each decision, and how long the start takes over its tokens. Prints; judges nothing.

// gate-benchmark [tokens [case]]
let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let keyring = try loadTokens(arguments.first ?? 100_000)
for (index, row) in GateCase.all.enumerated() where arguments.count < 2 || arguments[1] == index { row.run(keyring) }

/// Writes a database of `count` tokens, and times what a start does with it: open, check, read, and one loop's tables.
func loadTokens(_ count: Int) throws -> TokenKeyring {
    let folder = FileManager.default.temporaryDirectory.appending(path: "culvert-bench-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appending(path: "culvert.db").path
    try TokenStore(path: path).close()
    try DatabaseQueue(path: path).write { database in
        for index in 0..<count {
            try database.execute(
                sql: """
                    INSERT INTO token (id, subject, routes, origins, note, created, expires)
                    VALUES (?, ?, '["/chat"]', ?, 'a note of some words', 1, 2000000000)
                    """,
                arguments: [
                    "token-\(index)", "subject-\(index % 1000)",
                    index % 2 == 0 ? nil : #"["https://*.example.com"]"#,
                ])
            try database.execute(
                sql: "INSERT INTO secret (token, generation, digest) VALUES (?, 1, ?)",
                arguments: ["token-\(index)", Data(TokenDigest(of: GateCase.secret(index)).bytes)])
        }
    }
    let clock = ContinuousClock()
    var entries: [TokenEntry] = []
    let reading = try clock.measure {
        let store = try TokenStore(path: path)
        entries = try store.entries()
        store.close()
    }
    var keyring = TokenKeyring()
    let indexing = clock.measure { keyring = TokenKeyring(entries) }
    print("load \(keyring.count) tokens: \(reading) to read, \(indexing) for a loop's tables")
    return keyring
}
