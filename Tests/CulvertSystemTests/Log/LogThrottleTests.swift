@testable import CulvertSystem
import Logging
import NIOConcurrencyHelpers
import Testing

@Suite("Warnings that come again and again")
struct LogThrottleTests {
    @Test("A window lets its number of lines through, and counts the rest until it is over")
    func window() {
        var throttle = LogThrottle()
        var written = 0
        for _ in 0..<100_000 where throttle.admit("upstream failed", at: 5) == .write { written += 1 }
        #expect(written == LogThrottle.linesPerWindow)
        #expect(throttle.ended(at: 5 + LogThrottle.window - 1) == [])
        let expected = LogThrottle.Summary(message: "upstream failed", count: 100_000 - LogThrottle.linesPerWindow)
        #expect(throttle.ended(at: 5 + LogThrottle.window) == [expected])
        #expect(throttle.ended(at: 5 + LogThrottle.window) == [])
        #expect(throttle.admit("upstream failed", at: 5 + LogThrottle.window) == .write)
    }

    @Test("The first line that is left out asks for a report, the others do not; also in the next window")
    func reports() {
        var throttle = LogThrottle()
        for start in [0, LogThrottle.window] {
            for _ in 0..<LogThrottle.linesPerWindow { _ = throttle.admit("m", at: start) }
            #expect(throttle.admit("m", at: start) == .leaveOut(isFirst: true))
            #expect(throttle.admit("m", at: start) == .leaveOut(isFirst: false))
        }
        // Two windows that nobody asked about are one summary.
        #expect(throttle.finish() == [LogThrottle.Summary(message: "m", count: 4)])
    }

    @Test("One message's flood takes nothing from another")
    func others() {
        var throttle = LogThrottle()
        for _ in 0..<1000 { _ = throttle.admit("flood", at: 0) }
        #expect(throttle.admit("database failed", at: 0) == .write)
    }

    @Test("A flood of refusals for one reason takes nothing from another reason")
    func reasons() {
        let lines = NIOLockedValueBox<[String]>([])
        let sink = LogSink(format: .json, now: { 1 }) { line in
            lines.withLockedValue { $0.append(String(decoding: line, as: UTF8.self)) }
        }
        let logger = Logger(label: "edge") { label in LineLogHandler(label: label, level: .info, sink: sink) }
        let log = RefusalLog(logger: logger)
        func refuse(_ reason: String) {
            log.count(reason)
            log.log(
                RefusalLog.Refusal(
                    status: 404, reason: reason, isOpening: true, method: "GET", path: "/x", client: "192.0.2.1"))
        }
        for _ in 0..<LogThrottle.linesPerWindow + 7 { refuse("no_route") }
        refuse("bad_path")
        sink.finish()
        let written = lines.withLockedValue { $0 }
        #expect(written.count { $0.contains(#""reason":"no_route""#) } == LogThrottle.linesPerWindow)
        #expect(written.count { $0.contains(#""reason":"bad_path""#) } == 1)
        #expect(written.last?.contains(#""left_out":7,"of":"opening refused: no_route""#) == true)
        #expect(log.counted.map(\.reason) == ["bad_path", "no_route"])
        #expect(log.counted.map(\.count) == [1, LogThrottle.linesPerWindow + 7])
    }

    @Test("A clock that is set back begins a new window")
    func clock() {
        var throttle = LogThrottle()
        for _ in 0..<1000 { _ = throttle.admit("m", at: 1_000_000) }
        #expect(throttle.admit("m", at: 0) == .write)
    }

    @Test("Messages without number share a window past the table's size, and none is lost uncounted")
    func table() {
        var throttle = LogThrottle()
        var written = 0
        for number in 0..<10_000 where throttle.admit("message \(number)", at: 0) == .write { written += 1 }
        #expect(written < 1000)
        #expect(throttle.finish().map(\.count).reduce(0, +) == 10_000 - written)
    }

    @Test("A flood of a warning is written up to the bound, lines below a warning always, and the count at the end")
    func sink() {
        let lines = NIOLockedValueBox<[String]>([])
        let sink = LogSink(format: .text, now: { 0 }) { line in
            lines.withLockedValue { $0.append(String(decoding: line, as: UTF8.self)) }
        }
        let logger = Logger(label: "culvert") { LineLogHandler(label: $0, sink: sink) }
        for _ in 0..<1000 { logger.warning("upstream failed") }
        for _ in 0..<1000 { logger.info("session opened") }
        sink.finish()
        let written = lines.withLockedValue { $0 }
        #expect(written.count { $0.contains("upstream failed\n") } == LogThrottle.linesPerWindow)
        #expect(written.count { $0.contains("session opened") } == 1000)
        #expect(
            written.last
                == "1970-01-01T00:00:00.000Z warning culvert: log lines left out: too many of one message "
                + "left_out=900 of=\"upstream failed\"\n")
    }
}
