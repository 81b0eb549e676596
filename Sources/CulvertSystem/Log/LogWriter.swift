import Dispatch
import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Writes lines to a descriptor from a thread of its own, so that a reader that stands still holds up nobody else:
/// lines wait in a bounded buffer, and past it they are dropped and counted. A line says how many, in their place.
///
/// The descriptor stays as it is: other processes may share it, and would be surprised by O_NONBLOCK.
package final class LogWriter: Sendable {
    /// Most bytes that wait. The same number again may be on its way out.
    package static let capacity = 4 << 20
    /// Lines of a burst are written together: the thread waits so many microseconds for more before it writes.
    private static let gathering: UInt32 = 1_000
    /// At the exit: how long a reader may take nothing, and how long it may take in all.
    private static let longestStall = Duration.seconds(1)
    private static let longestFlush = Duration.seconds(5)
    /// Called at the process's exit.
    private static let lastWords = Mutex<[@Sendable () -> Void]>([])

    private struct State {
        var buffer: LogBuffer
        /// The thread is at work, and looks at the buffer again before it rests.
        var isAwake = false
    }

    private let descriptor: CInt
    private let notice: @Sendable (_ dropped: Int) -> [UInt8]
    private let state: Mutex<State>
    private let wakeUp = DispatchSemaphore(value: 0)
    /// Bytes that the descriptor has taken, for ``flush()`` to see whether its reader moves.
    private let written = Atomic<Int>(0)

    /// - Parameters:
    ///   - descriptor: stays open.
    ///   - notice: a line, with its line feed, that says how many lines are missing.
    package init(
        descriptor: CInt, capacity: Int = LogWriter.capacity, notice: @escaping @Sendable (_ dropped: Int) -> [UInt8]
    ) {
        self.descriptor = descriptor
        self.notice = notice
        self.state = Mutex(State(buffer: LogBuffer(capacity: capacity)))
        Thread.detachNewThread { self.run() }
    }

    /// Takes one line with its line feed, or several; never waits for the descriptor. From any thread.
    package func write(_ line: some Collection<UInt8>) {
        let rests = self.state.withLock { state in
            state.buffer.append(line)
            defer { state.isAwake = true }
            return !state.isAwake
        }
        // A system call once for each burst, not for each line.
        if rests { self.wakeUp.signal() }
    }

    /// Returns when all lines are written, or when the reader has taken nothing for a second, or too little in five.
    package func flush() {
        let clock = ContinuousClock()
        let began = clock.now
        var moved = (at: began, written: self.written.load(ordering: .relaxed))
        while self.state.withLock({ $0.isAwake || !$0.buffer.isEmpty }) {
            usleep(500)
            let now = clock.now
            let written = self.written.load(ordering: .relaxed)
            if written != moved.written { moved = (now, written) }
            if now - moved.at > Self.longestStall || now - began > Self.longestFlush { return }
        }
    }

    /// Makes every way out of the process, except a crash, wait for ``flush()``.
    ///
    /// - Parameter first: called before, for what is still to be said.
    package func flushAtExit(first: @escaping @Sendable () -> Void) {
        let isFirst = Self.lastWords.withLock { words in
            words.append {
                first()
                self.flush()
            }
            return words.count == 1
        }
        if isFirst { atexit { LogWriter.sayLastWords() } }
    }

    private static func sayLastWords() {
        for words in self.lastWords.withLock(\.self) { words() }
    }

    // MARK: - the thread

    private func run() {
        var unsaid = 0
        while true {
            self.wakeUp.wait()
            usleep(Self.gathering)
            while let batch = self.next() {
                self.say(&unsaid)
                unsaid += self.write(all: batch.bytes) + batch.dropped
                self.say(&unsaid)
            }
        }
    }

    /// - Returns: nil when there is nothing to write; the next line wakes the thread then.
    private func next() -> LogBuffer.Batch? {
        self.state.withLock { state in
            guard !state.buffer.isEmpty else {
                state.isAwake = false
                return nil
            }
            return state.buffer.take()
        }
    }

    /// Says how many lines are missing; what cannot be said now is said later.
    private func say(_ unsaid: inout Int) {
        guard unsaid > 0, self.write(self.notice(unsaid)[...]) else { return }
        unsaid = 0
    }

    /// - Returns: how many lines are lost.
    private func write(all bytes: [UInt8]) -> Int {
        var rest = bytes[...]
        while !rest.isEmpty {
            let length = LogBuffer.chunkLength(of: rest)
            guard self.write(rest.prefix(length)) else {
                // A closed pipe, a full disk: the rest would fare no better, and the next batch tries again.
                return rest.count { $0 == UInt8(ascii: "\n") }
            }
            rest = rest.dropFirst(length)
        }
        return 0
    }

    private func write(_ bytes: ArraySlice<UInt8>) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Self.write(to: self.descriptor, $0) }
            if count > 0 {
                rest = rest.dropFirst(count)
                self.written.wrappingAdd(count, ordering: .relaxed)
            } else if count < 0, errno == EAGAIN || errno == EWOULDBLOCK {
                // Another process has made the shared descriptor non-blocking.
                var waiting = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&waiting, 1, 1_000)
            } else if count == 0 || errno != EINTR {
                return false
            }
        }
        return true
    }

    private static func write(to descriptor: CInt, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
            Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        #elseif canImport(Musl)
            Musl.write(descriptor, bytes.baseAddress, bytes.count)
        #else
            Darwin.write(descriptor, bytes.baseAddress, bytes.count)
        #endif
    }
}
