import CulvertSystem
import Foundation
import Glibc
import Testing

@Suite("Log writer")
struct LogWriterTests {
    private struct Pipe {
        var read: CInt = -1
        var write: CInt = -1

        init() {
            var ends: [CInt] = [-1, -1]
            Glibc.pipe(&ends)
            (self.read, self.write) = (ends[0], ends[1])
        }

        /// Reads until `isDone`; a reader that sees nothing for ten seconds gives up.
        func lines(until isDone: ([Substring]) -> Bool) -> [Substring] {
            var bytes: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 65536)
            while true {
                let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
                if bytes.last == UInt8(ascii: "\n"), isDone(lines) { return lines }
                var waiting = pollfd(fd: self.read, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 10_000) > 0 else { return lines }
                let count = Glibc.read(self.read, &part, part.count)
                guard count > 0 else { return lines }
                bytes += part[..<count]
            }
        }
    }

    private func writer(_ pipe: Pipe, capacity: Int = 1 << 20) -> LogWriter {
        LogWriter(descriptor: pipe.write, capacity: capacity) { Array("dropped \($0)\n".utf8) }
    }

    @Test("Every line of several threads arrives once, and those of one thread in their order")
    func order() async {
        let pipe = Pipe()
        let writer = self.writer(pipe)
        await withTaskGroup(of: Void.self) { tasks in
            for thread in 0..<4 {
                tasks.addTask { for number in 0..<2000 { writer.write(Array("\(thread) \(number)\n".utf8)) } }
            }
        }
        let lines = pipe.lines { $0.count >= 8000 }
        for thread in 0..<4 {
            let own = lines.filter { $0.hasPrefix("\(thread) ") }
            #expect(own == (0..<2000).map { "\(thread) \($0)" })
        }
    }

    @Test("While nobody reads a writer waits for nothing; later the lines are there in order, and the gap is counted in its place")
    func aReaderThatStops() {
        let pipe = Pipe()
        let writer = self.writer(pipe, capacity: 100_000)
        let began = ContinuousClock.now
        let text = String(repeating: "x", count: 90)
        for number in 0..<20_000 { writer.write(Array("\(number) \(text)\n".utf8)) }
        // Two million bytes for a pipe that takes 65,536: a write that waits would wait for ever.
        #expect(ContinuousClock.now - began < .seconds(20))
        var seen = pipe.lines { $0.contains { $0.hasPrefix("dropped ") } }
        writer.write(Array("20000 after\n".utf8))
        seen += pipe.lines { $0.last == "20000 after" }
        var next = 0
        for line in seen {
            let word = line.split(separator: " ")[0]
            if word == "dropped" { next += Int(line.dropFirst(8)) ?? 0 } else {
                #expect(Int(word) == next)
                next += 1
            }
        }
        #expect(next == 20_001)
        #expect(seen.count < 4000)
    }

    @Test("A flush returns when all is written")
    func flush() {
        let pipe = Pipe()
        let writer = self.writer(pipe)
        for number in 0..<100 { writer.write(Array("\(number)\n".utf8)) }
        writer.flush()
        #expect(fcntl(pipe.read, F_SETFL, O_NONBLOCK) == 0)
        #expect(pipe.lines { $0.count >= 100 }.count == 100)
    }

    @Test("A flush for a reader that stands still gives up after a second or so")
    func flushWithoutReader() {
        let pipe = Pipe()
        let writer = self.writer(pipe)
        for number in 0..<20_000 { writer.write(Array("\(number)\n".utf8)) }
        let began = ContinuousClock.now
        writer.flush()
        let took = ContinuousClock.now - began
        #expect(took > .milliseconds(900) && took < .seconds(15), "\(took)")
    }

    @Test("A pipe that somebody made non-blocking loses nothing")
    func nonBlocking() {
        let pipe = Pipe()
        #expect(fcntl(pipe.write, F_SETFL, O_NONBLOCK) == 0)
        let writer = self.writer(pipe)
        for number in 0..<20_000 { writer.write(Array("\(number)\n".utf8)) }
        let lines = pipe.lines { $0.count >= 20_000 }
        #expect(lines == (0..<20_000).map { "\($0)" })
    }

    @Test("A full disk costs the lines of that time; the next line that can be written is behind their count")
    func failures() throws {
        let full = open("/dev/full", O_WRONLY)
        try #require(full >= 0)
        let writer = LogWriter(descriptor: full) { Array("dropped \($0)\n".utf8) }
        writer.write(Array("lost\n".utf8))
        writer.flush()
        writer.write(Array("lost\nlost\n".utf8))
        writer.flush()
        let pipe = Pipe()
        #expect(dup2(pipe.write, full) == full)
        writer.write(Array("here\n".utf8))
        #expect(pipe.lines { $0.count >= 2 } == ["dropped 3", "here"])
    }

    @Test("A reader that is gone ends neither the process nor the writer")
    func brokenPipe() {
        signal(SIGPIPE, SIG_IGN)
        let pipe = Pipe()
        let writer = self.writer(pipe)
        close(pipe.read)
        for _ in 0..<10 {
            writer.write(Array("nobody hears\n".utf8))
            writer.flush()
        }
    }
}
