import NIOCore
import Testing

@testable import CulvertEdge

@Suite("Reports of a shortage of descriptors")
struct AcceptReportsTests {
    private func time(_ seconds: Double) -> NIODeadline { .uptimeNanoseconds(UInt64(seconds * 1e9)) }

    @Test("A shortage is told at once, every ten seconds while it lasts, and when it is over; not at every pause")
    func shortage() {
        var reports = AcceptReports()
        var lines: [AcceptReports.Line] = []
        let first = reports.paused(at: self.time(100))
        #expect(first == .init(line: .paused(pauses: 1), lookIn: AcceptReports.calm))
        // Twenty listeners pause ten times a second for a minute.
        for tick in 1..<12_000 {
            let answer = reports.paused(at: self.time(100 + Double(tick) / 200))
            #expect(answer.lookIn == nil)
            if let line = answer.line { lines.append(line) }
        }
        #expect(lines.count == 5)
        #expect(lines.first == .paused(pauses: 2000))
        #expect(reports.look(at: self.time(160)).line == nil)
        #expect(reports.look(at: self.time(166)) == .init(line: .over(pauses: 12_000, lasted: .milliseconds(59_995))))
        #expect(reports.look(at: self.time(170)) == .init())
        #expect(reports.paused(at: self.time(171)).line == .paused(pauses: 1))
    }

    @Test("A look before the calm asks for another at its end")
    func looks() {
        var reports = AcceptReports()
        _ = reports.paused(at: self.time(1))
        _ = reports.paused(at: self.time(4))
        #expect(reports.look(at: self.time(6)) == .init(lookIn: .seconds(3)))
        #expect(reports.look(at: self.time(9)).line == .over(pauses: 2, lasted: .seconds(3)))
    }
}
