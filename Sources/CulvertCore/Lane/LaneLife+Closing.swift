package import NIOCore

/// The end of a lane: its Close, the ends of its client and of its session, and the times at which it is closed.
extension LaneLife {
    private static let outOfMemory = CloseFrame(code: .tryAgainLater, reason: "server out of memory")

    package enum Cause: Equatable, Sendable {
        /// Culvert or the session closes the lane.
        case edge
        /// The client has sent a Close.
        case answer
        /// The client has broken the protocol. No answer is due from it: it is told at once that nothing more comes,
        /// and its connection waits for its own end.
        case failure
    }

    /// The lane says why it closes, and waits for the client's answer: a socket closed with bytes unread is reset, and
    /// a reset overtakes the Close (RFC 6455 7.1.1). Called only while the lane is not closing.
    ///
    /// - Parameters:
    ///   - hasClose: whether the client's Close is in the bytes that have come and were not taken.
    ///   - isWritable: whether the connection has room.
    package mutating func close(
        _ frame: CloseFrame, by cause: Cause, hasClose: Bool, isWritable: Bool, now: NIODeadline
    ) -> [LaneAction] {
        guard !self.isClosing else { return [] }
        var out = self.leaveSession()
        self.state = .closing(isFailure: cause == .failure)
        out += [.linger, .forget]
        guard isWritable else {
            // The bytes that wait there are of no use any more, and must not be kept for a client that reads nothing.
            self.wait = .nothing
            return out + [.cut]
        }
        out.append(.say(frame, then: self.ending(isAnswered: hasClose || cause == .answer, cause)))
        out.append(self.waitFor(.answer(until: now + Self.closingTime)))
        if self.intake.takeRead() { out.append(.read) }
        return out
    }

    private func ending(isAnswered: Bool, _ cause: Cause) -> LaneAction.Ending {
        if self.intake.isInputClosed { return .closeBehindOutput }
        if isAnswered { return .close }
        return cause == .failure ? .endOutput : .answer
    }

    private func leaveSession() -> [LaneAction] { self.generation.map { [.lost($0)] } ?? [] }

    // MARK: - the client's end

    /// The client has ended its direction: it sends no more, but reads what answers its Close.
    ///
    /// - Parameter time: for the session to take what came before.
    package mutating func inputClosed(time: TimeAmount, now: NIODeadline) -> [LaneAction] {
        self.intake.inputClosed()
        switch self.state {
        case .closing: return [.closeBehindOutput]
        case .gone: return []
        case .joining, .joined, .inUse: break
        }
        // Without a Close it is gone, whatever it might still read.
        if self.intake.turn == .client { return [.cut] }
        // The session is still to take what came before, and the Close may be behind that.
        return self.generation != nil && !self.hasFinal ? [self.waitFor(.rest(until: now + time))] : []
    }

    /// The connection has ended. Envelopes that have come whole count, as they would have a moment earlier: the driver
    /// takes them, and calls ``connectionClosed()``. Very many messages are an exception: they have not been
    /// acknowledged, and their client sends them again on another lane.
    package mutating func connectionCloses() { self.intake.connectionClosed() }

    /// The connection is gone.
    package mutating func connectionClosed() -> [LaneAction] {
        defer {
            self.state = .gone
            self.wait = .nothing
        }
        return self.leaveSession()
    }

    // MARK: - the session's end

    /// The session's Close was sent. The client is to acknowledge it, but need not.
    package mutating func finalSent() -> [LaneAction] { self.isClosing ? [] : [self.waitFor(.final)] }

    /// The session's Close is written.
    ///
    /// - Parameter time: for the client's acknowledgement.
    package mutating func finalWritten(time: TimeAmount, now: NIODeadline) -> [LaneAction] {
        guard !self.isClosing else { return [] }
        return [self.waitFor(.end(until: now + (self.isGoingAway ? Self.closingTime : time)))]
    }

    /// The server stops. A client that has got a Close, or will get one from a session of another loop, is waited for
    /// briefly.
    package mutating func goAway(now: NIODeadline) -> [LaneAction] {
        self.isGoingAway = true
        guard !self.isClosing else { return [] }
        if self.hasFinal { return [self.waitFor(.end(until: now + Self.closingTime))] }
        return self.isInUse ? [] : [.close(CloseFrame(code: .goingAway, reason: "server going away"))]
    }

    // MARK: - time

    /// When the lane's wait is over; nil if it waits for nothing that has a time.
    package var deadline: NIODeadline? {
        switch self.wait {
        case .nothing, .final: nil
        case .envelope(let until), .rest(let until), .end(let until), .answer(let until): until
        }
    }

    package mutating func timePassed(now: NIODeadline) -> [LaneAction] {
        guard let deadline = self.deadline, deadline <= now else { return [] }
        switch self.wait {
        case .nothing, .final: return []
        case .envelope: return [.close(CloseFrame(code: CloseCode(rawValue: 4408), reason: "no envelope came"))]
        case .rest, .end: return [.close(CloseFrame(code: .normal))]
        case .answer:
            self.wait = .nothing
            return [.cut]
        }
    }

    // MARK: - memory

    /// Whether no session uses the lane: it has brought no envelope, or it closes. Short of memory, such a lane is
    /// closed before any session is.
    package var isUnused: Bool { !self.isInUse }

    package enum OnShortage: Equatable, Sendable {
        /// The lane's session is closed, if it holds most.
        case relieve
        case act(LaneAction)
    }

    /// The lane holds more than before, and all together hold more than they may.
    package var onShortage: OnShortage { self.relief.map { .act($0) } ?? .relieve }

    /// How the lane gives its memory back; nil for a lane in use, which is closed with its session.
    package var relief: LaneAction? {
        switch self.state {
        case .inUse: nil
        case .joining, .joined: .close(Self.outOfMemory)
        case .closing, .gone: .cut
        }
    }
}
