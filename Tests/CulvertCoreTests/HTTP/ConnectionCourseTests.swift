import Testing

@testable import CulvertCore

@Suite("The course of a connection")
struct ConnectionCourseTests {
    /// A course that has come to `phase` the shortest way.
    private static func course(in phase: ConnectionPhase) -> ConnectionCourse {
        var course = ConnectionCourse()
        switch phase {
        case .idle: break
        case .head: _ = course.bytesCame()
        case .deciding: course.headCame(isKeepAlive: true, most: 10)
        case .body: course.takeBody()
        case .answering: course.answer()
        case .draining: course.discardRest()
        case .renewing: course.renewDecoder()
        case .lingering: course.linger()
        case .upgraded: course.upgrade()
        case .closed: _ = course.closed()
        }
        return course
    }

    @Test("A request, and the next")
    func requests() {
        var course = ConnectionCourse()
        #expect(course.phase == .idle && course.isInHead && course.isFresh)
        let begins = (0..<3).map { _ in course.bytesCame() }
        #expect(begins == [true, false, false])
        #expect(course.phase == .head && course.isInHead)
        course.headCame(isKeepAlive: true, most: 10)
        #expect(course.phase == .deciding && course.mayAnswer && !course.isInHead)
        course.takeBody()
        #expect(course.phase == .body && course.mayAnswer)
        course.bodyCame()
        course.answer()
        #expect(course.phase == .answering && !course.mayAnswer && !course.isFresh)
        #expect(course.afterAnswer(isWhole: true, isClean: true) == .next)
        course.waitForRequest()
        #expect(course.bytesCame() == true)
    }

    @Test(
        "The last request is the one that says so, and the last that the bounds allow",
        arguments: [([true], 2, false), ([false], 2, true), ([true, true], 2, true), ([true, true], 3, false)])
    func last(isKeepAlive: [Bool], most: Int, isLast: Bool) {
        var course = ConnectionCourse()
        for isKeepAlive in isKeepAlive { course.headCame(isKeepAlive: isKeepAlive, most: most) }
        #expect(course.isLast == isLast)
    }

    @Test("Behind the last answer the connection is closed where nothing more comes, and lingers where more may come")
    func afterLast() {
        for (isWhole, isClean) in [(true, true), (true, false), (false, true), (false, false)] {
            var course = Self.course(in: .answering)
            #expect(course.afterAnswer(isWhole: isWhole, isClean: isClean) == (isWhole ? .next : .discardRest))
            course.takeNoMore()
            #expect(course.afterAnswer(isWhole: isWhole, isClean: isClean) == (isWhole && isClean ? .close : .linger))
        }
    }

    @Test("A request that has no answer yet is refused with one", arguments: ConnectionPhase.allCases)
    func refuses(phase: ConnectionPhase) {
        var course = Self.course(in: phase)
        let step = course.refuse()
        #expect(course.isLast && course.phase == phase)
        switch phase {
        case .idle, .head, .deciding, .body: #expect(step == .answer)
        case .draining: #expect(step == .linger)
        case .answering, .renewing, .lingering, .upgraded, .closed: #expect(step == .nothing)
        }
    }

    @Test("Where the server stops, a request that its owner has is answered", arguments: ConnectionPhase.allCases)
    func stops(phase: ConnectionPhase) {
        var course = Self.course(in: phase)
        let step = course.stop()
        #expect(course.isLast && course.phase == phase)
        switch phase {
        case .idle, .head, .body, .draining, .renewing: #expect(step == .close)
        case .answering: #expect(step == .hurry)
        case .deciding, .lingering, .upgraded, .closed: #expect(step == .nothing)
        }
    }

    @Test("The rest of each request has its own bound, and the end of the connection a larger one")
    func discards() {
        var course = ConnectionCourse()
        for _ in 0..<3 {
            course.discardRest()
            #expect(course.discard(ConnectionCourse.mostDrained) == false)
        }
        #expect(course.discard(1) == true)
        course.linger()
        #expect(course.discard(ConnectionCourse.mostLingered) == false)
        #expect(course.discard(1) == true)
    }

    @Test("A connection that is closed behind an answer goes on with its count")
    func closes() {
        var course = Self.course(in: .draining)
        _ = course.discard(1)
        course.close()
        #expect(course.phase == .lingering)
        #expect(course.discard(ConnectionCourse.mostLingered) == true)
    }

    @Test("A connection is closed once", arguments: ConnectionPhase.allCases)
    func closed(phase: ConnectionPhase) {
        var course = Self.course(in: phase)
        #expect(course.closed() == (phase != .closed))
        #expect(course.closed() == false)
        #expect(course.phase == .closed)
    }

    @Test("Another protocol takes the place while the owner has the request, and the client may still send")
    func upgrades() {
        for phase in ConnectionPhase.allCases {
            var course = Self.course(in: phase)
            #expect(course.mayUpgrade == (phase == .deciding))
            course.inputClosed()
            #expect(!course.mayUpgrade && course.isInputClosed)
        }
        var course = Self.course(in: .deciding)
        course.upgrade()
        #expect(course.phase == .upgraded)
        course.takeUpgradeBack()
        #expect(course.phase == .deciding)
    }
}
