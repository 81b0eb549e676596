import NIOCore
import Testing

@testable import CulvertCore

@Suite("Upstream head reader")
struct UpstreamHeadReaderTests {
    private static let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    private static let proceed = "HTTP/1.1 100 Continue\r\n\r\n"
    private static let switching = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n"
    private static let refusal = "HTTP/1.1 503 No\r\nContent-Length: 30\r\n\r\n"

    enum Outcome: Equatable {
        case switching(String, rest: String)
        case other(String, rest: String)
        case fault(UpstreamHeadReader.Fault)
        case more
    }

    /// What the reader makes of `text`, which comes in parts of `size` bytes. The rest is what it held, and what it was
    /// not given any more.
    private static func read(_ text: String, by size: Int = .max) -> Outcome {
        var reader = UpstreamHeadReader()
        var bytes = ByteBuffer(string: text)
        do throws(UpstreamHeadReader.Fault) {
            while let part = bytes.readSlice(length: min(size, bytes.readableBytes)), part.readableBytes > 0 {
                switch try reader.read(part) {
                case nil: continue
                case .switching(let head):
                    return .switching(String(buffer: head), rest: String(buffer: reader.takeRest()) + String(buffer: bytes))
                case .other(let head):
                    return .other(String(buffer: head), rest: String(buffer: reader.takeRest()) + String(buffer: bytes))
                }
            }
            return .more
        } catch {
            return .fault(error)
        }
    }

    @Test("The final head is found and interim ones are dropped, however the bytes come", arguments: 1...90)
    func findsTheHead(size: Int) {
        let rest = "\u{1}\u{2}\r\n\r\nHTTP/1.1 "
        #expect(
            Self.read(Self.hints + Self.proceed + Self.switching + rest, by: size)
                == .switching(Self.switching, rest: rest))
        #expect(Self.read(Self.hints + Self.refusal + rest, by: size) == .other(Self.refusal, rest: rest))
    }

    @Test("A lone line feed ends a line", arguments: [1, 7, .max])
    func lineFeeds(size: Int) {
        #expect(
            Self.read("HTTP/1.1 100 Go\n\nHTTP/1.1 101 Yes\nUpgrade: websocket\n\nrest", by: size)
                == .switching("HTTP/1.1 101 Yes\nUpgrade: websocket\n\n", rest: "rest"))
    }

    @Test("Eight interim answers are taken and a ninth is not", arguments: [1, 25, .max])
    func boundsInterimAnswers(size: Int) {
        func answers(_ count: Int) -> String { String(repeating: Self.proceed, count: count) + Self.switching }
        #expect(UpstreamHeadReader.interimLimit == 8)
        #expect(Self.read(answers(8), by: size) == .switching(Self.switching, rest: ""))
        #expect(Self.read(answers(9), by: size) == .fault(.tooManyInterimAnswers))
        #expect(Self.read(answers(10_000), by: size) == .fault(.tooManyInterimAnswers))
    }

    @Test(
        "All heads of an answer together have a bound",
        arguments: [
            // A reason phrase, a field and a number of fields without end, and interim answers that share the bound.
            "HTTP/1.1 200 " + String(repeating: "a", count: 70_000),
            "HTTP/1.1 101 Yes\r\nX: " + String(repeating: "a", count: 70_000),
            "HTTP/1.1 101 Yes\r\n" + String(repeating: "X: y\r\n", count: 12_000),
            String(
                repeating: "HTTP/1.1 103 Hints\r\nLink: " + String(repeating: "a", count: 20_000) + "\r\n\r\n", count: 4),
        ], [1000, .max])
    func boundsTheHeads(text: String, size: Int) {
        #expect(Self.read(text, by: size) == .fault(.headsTooLong))
        #expect(Self.read(text + "\r\n\r\n", by: size) == .fault(.headsTooLong))
    }

    @Test("A head that just fits is taken, whatever comes behind it in the same read")
    func takesWhatFits() {
        let begin = "HTTP/1.1 101 Yes\r\nX: "
        let filler = String(repeating: "a", count: UpstreamHeadReader.byteLimit - begin.utf8.count - 4)
        let head = begin + filler + "\r\n\r\n"
        let rest = String(repeating: "b", count: 100_000)
        #expect(Self.read(head + rest) == .switching(head, rest: rest))
        #expect(Self.read(begin + "a" + filler + "\r\n\r\n") == .fault(.headsTooLong))
    }

    @Test("What is no HTTP is known at its first wrong byte", arguments: ["SSH-2.0\n", "x", "HTTX", "\0", "\r\n"])
    func knowsHTTP(text: String) {
        #expect(Self.read(text, by: 1) == .fault(.notHTTP))
    }

    @Test(
        "A status that is no number of three digits is left to the decoder",
        arguments: ["1ab", "1000", "  1", "99", "0x1", "\u{661}00"])
    func leavesOddStatuses(status: String) {
        let head = "HTTP/1.1 \(status) Go\r\n\r\n"
        #expect(Self.read(head, by: 1) == .other(head, rest: ""))
    }

    @Test("A head in single bytes costs linear work")
    func linear() {
        let head = "HTTP/1.1 101 Yes\r\n" + String(repeating: "X: y\r\n", count: 10_000) + "\r\n"
        let begin = ContinuousClock.now
        #expect(Self.read(head, by: 1) == .switching(head, rest: ""))
        // Searched from its start with each byte it would be two thousand million bytes: minutes in a debug build.
        #expect(ContinuousClock.now - begin < .seconds(20))
    }
}
