import CulvertDemo
import Foundation
import NIOCore
import NIOPosix
import Testing

@Suite("Demo backend", .timeLimit(.minutes(1)))
struct DemoBackendTests {
    private func withBackend(_ body: (DemoBackend) async throws -> Void) async throws {
        let backend = try await DemoBackend.start(group: MultiThreadedEventLoopGroup.singleton)
        do {
            try await body(backend)
        } catch {
            try? await backend.stop()
            throw error
        }
        try await backend.stop()
    }

    @Test("Text and binary come back as they were", arguments: ["/echo", "/echo?a=b", "/", "/other"])
    func echo(target: String) async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, target) { client in
                try await client.send(.text, Array("grüße".utf8))
                try await client.send(.binary, [0, 255, 128])
                #expect(try await client.frame() == .init(.text, Array("grüße".utf8)))
                #expect(try await client.frame() == .init(.binary, [0, 255, 128]))
            }
        }
    }

    @Test("A fragmented message comes back whole, a ping in between is answered at once")
    func fragments() async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/echo") { client in
                try await client.send(.text, Array("one ".utf8), fin: false)
                try await client.send(.ping, [7])
                try await client.send(.continuation, Array("two ".utf8), fin: false)
                try await client.send(.continuation, Array("three".utf8))
                #expect(try await client.frame() == .init(.pong, [7]))
                #expect(try await client.frame() == .init(.text, Array("one two three".utf8)))
            }
        }
    }

    @Test("A message of exactly the limit comes back")
    func largest() async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/echo") { client in
                let payload = [UInt8](repeating: 0x61, count: DemoBackend.messageLimit)
                try await client.send(.binary, payload)
                #expect(try await client.frame() == .init(.binary, payload))
            }
        }
    }

    @Test("One byte more is refused with 1009", arguments: [true, false])
    func tooBig(fragmented: Bool) async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/echo") { client in
                let payload = [UInt8](repeating: 0x61, count: DemoBackend.messageLimit)
                if fragmented {
                    try await client.send(.binary, payload, fin: false)
                    try await client.send(.continuation, [0x61])
                } else {
                    try await client.send(.binary, payload + [0x61])
                }
                #expect(try await client.frame()?.closeCode == 1009)
            }
        }
    }

    @Test("A close is answered with the same code, and the connection ends", arguments: [1000, 1001, 4321] as [UInt16])
    func closing(code: UInt16) async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/echo") { client in
                try await client.send(.close, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array("bye".utf8))
                #expect(try await client.frame()?.closeCode == code)
                #expect(try await client.frame() == nil)
            }
        }
    }

    struct Violation: Sendable, CustomTestStringConvertible {
        var name: String
        var path = "/echo"
        var opcode: DemoOpcode
        var payload: [UInt8] = []
        var masked = true
        var reserved: UInt8 = 0
        var code: UInt16
        var testDescription: String { name }
    }

    @Test(
        "What breaks the protocol closes the connection with the right code",
        arguments: [
            Violation(name: "no mask", opcode: .text, payload: [0x61], masked: false, code: 1002),
            Violation(name: "reserved bit", opcode: .text, payload: [0x61], reserved: 0x40, code: 1002),
            Violation(name: "continuation of nothing", opcode: .continuation, payload: [0x61], code: 1002),
            Violation(name: "unknown opcode", opcode: .unknown, code: 1002),
            Violation(name: "ping too long", opcode: .ping, payload: .init(repeating: 0, count: 126), code: 1002),
            Violation(name: "not UTF-8", opcode: .text, payload: [0xC3, 0x28], code: 1007),
            Violation(name: "binary in the chat", path: "/chat", opcode: .binary, payload: [1], code: 1003),
        ]
    )
    func violations(_ violation: Violation) async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, violation.path) { client in
                try await client.send(
                    violation.opcode,
                    violation.payload,
                    masked: violation.masked,
                    reserved: violation.reserved
                )
                #expect(try await client.frame()?.closeCode == violation.code)
            }
        }
    }

    @Test("The chat sends every text to everybody, under the name the edge gives")
    func chat() async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/chat", user: "alice") { alice in
                try await DemoClient.connect(to: backend, "/chat") { guest in
                    try await alice.send(.text, Array(#"say "hi" / \"#.utf8))
                    let said = DemoFrame(.text, Array(#"{"from":"alice","text":"say \"hi\" / \\"}"#.utf8))
                    #expect(try await alice.frame() == said)
                    #expect(try await guest.frame() == said)
                    try await guest.send(.text, Array("ho".utf8))
                    let answer = DemoFrame(.text, Array(#"{"from":"someone","text":"ho"}"#.utf8))
                    #expect(try await alice.frame() == answer)
                    #expect(try await guest.frame() == answer)
                }
            }
        }
    }

    @Test("The chat is not heard on the echo path")
    func chatIsSeparate() async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/echo") { outsider in
                try await DemoClient.connect(to: backend, "/chat") { member in
                    try await member.send(.text, Array("hush".utf8))
                    #expect(try await member.frame()?.opcode == .text)
                    try await outsider.send(.ping, [1])
                    #expect(try await outsider.frame() == .init(.pong, [1]))
                }
            }
        }
    }

    @Test("A text that grows beyond the limit when escaped costs its sender the connection, nobody else")
    func growingText() async throws {
        try await withBackend { backend in
            try await DemoClient.connect(to: backend, "/chat") { listener in
                try await DemoClient.connect(to: backend, "/chat") { sender in
                    try await sender.send(.text, [UInt8](repeating: 1, count: DemoBackend.messageLimit / 2))
                    #expect(try await sender.frame()?.closeCode == 1009)
                    try await listener.send(.ping, [1])
                    #expect(try await listener.frame() == .init(.pong, [1]))
                }
            }
        }
    }

    @Test("A plain request is told to upgrade")
    func plainRequest() async throws {
        try await withBackend { backend in
            try await DemoClient.open(port: backend.port) { client in
                try await client.write("GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let head = try await client.head()
                #expect(head.hasPrefix("HTTP/1.1 426 "))
                #expect(head.lowercased().contains("upgrade: websocket\r\n"))
            }
        }
    }

    @Test("Stopping says 1001 to who is connected, and frees the port")
    func stopping() async throws {
        let backend = try await DemoBackend.start(group: MultiThreadedEventLoopGroup.singleton)
        try await DemoClient.connect(to: backend, "/chat") { client in
            try await backend.stop()
            #expect(try await client.frame()?.closeCode == 1001)
            #expect(try await client.frame() == nil)
        }
        await #expect(throws: (any Error).self) {
            try await DemoClient.open(port: backend.port) { _ in }
        }
    }
}
