package import NIOCore

/// Owns the state of a resumable session towards its client: the lanes, the requests, and the messages in both
/// directions.
///
/// The session's driver calls a verb for each event, on the session's loop, and does the actions that the verb returns,
/// in their order. A ticket names a request, and a generation names a lane. After the verbs of an event the driver
/// calls ``deliver(_:_:)`` and ``bury(_:_:)``.
package struct ResumableClient: Sendable {
    package var traffic: ResumableTraffic
    package var lanes = ClientLanes()
    /// The `GET` that waits for a slice of the loop.
    package var turn = PollTurn()

    package init(settings: SessionSettings, now: NIODeadline) {
        self.traffic = ResumableTraffic(settings: settings, now: now)
    }

    /// Whether a poll that acknowledges `ack` would be answered with more than `messages` messages, or with bytes that
    /// cost more than `messages` messages.
    package func hasMore(than messages: Int, after ack: UInt64) -> Bool {
        !self.traffic.isClosed
            && self.traffic.stream.hasMore(than: messages, bytes: messages * WorkUnits.bytesPerMessage, after: ack)
    }

    /// Takes over the bounds and times of a new configuration.
    package mutating func adopt(_ settings: SessionSettings) { self.traffic.stream.adopt(settings) }

    // MARK: - towards the client

    /// Sends the messages that wait: on the lane, and to the parked poll. Lets the lane bring more if it may.
    package mutating func deliver(_ life: SessionLife, _ moment: ClientMoment) -> [ResumableAction] {
        var out: [ResumableAction] = []
        if !self.traffic.isClosed { _ = self.lanes.deliver(&self.traffic, moment, &out) }
        if self.traffic.parked != nil, let (_, batch) = self.traffic.stream.takeReady(now: moment.now) {
            self.traffic.answerParked(.messages(batch), &out)
        }
        if let lane = self.traffic.lane, lane.pending.isEmpty,
            self.lanes.readOn(self.traffic, life, moment) == .read(lane.generation)
        {
            self.traffic.stream.sockets.active?.waitsToRead = false
            out.append(.readLane(lane.generation))
        }
        return out
    }

    // MARK: - time

    package mutating func timePassed(_ life: inout SessionLife, _ moment: ClientMoment) -> [ResumableAction] {
        var out: [ResumableAction] = []
        if let deadline = self.traffic.lane?.acknowledgeAt, deadline <= moment.now {
            self.traffic.stream.sockets.active?.acknowledgeAt = nil
            if self.traffic.stream.owesAcknowledgement { self.lanes.acknowledge(&self.traffic, &out) }
        }
        if self.traffic.stream.takeExpired(now: moment.now) != nil { self.traffic.answerParked(.empty, &out) }
        guard self.traffic.stream.isAbandoned(hasEnded: life.hasEnded, now: moment.now), !self.traffic.isBuried else {
            return out
        }
        self.traffic.endForClient()
        if life.closing.ending == nil {
            self.traffic.abandon(CloseFrame(code: .goingAway, reason: "client stayed away"), &life, moment, &out)
        }
        return out
    }

    /// The time of the client's next deadline: an acknowledgement, the end of a parked poll, or the end of the client's
    /// absence.
    package func deadline(_ life: SessionLife) -> NIODeadline {
        let acknowledge = life.hasEnded ? nil : self.traffic.lane?.acknowledgeAt
        let earliest = acknowledge ?? .distantFuture
        if let parked = self.traffic.stream.parked { return min(earliest, parked.deadline) }
        let isWaited = life.hasEnded || life.closing.ending == nil
        guard isWaited, !self.traffic.stream.isAttended(hasEnded: life.hasEnded) else { return earliest }
        return min(earliest, self.traffic.stream.resumeDeadline)
    }

    // MARK: - the end

    /// Forgets the session once both close handshakes are over and the client has everything or gets nothing more. The
    /// session has to live until then, because only the session sees the end of its upstream's connection.
    package mutating func bury(_ life: SessionLife, _ moment: ClientMoment) -> [ResumableAction] {
        guard life.hasEnded, !self.traffic.isBuried, self.traffic.isClosed || self.traffic.stream.isDelivered else {
            return []
        }
        let frame = self.traffic.endFrame(life)
        let isDelivered = self.traffic.stream.isDelivered
        self.traffic.stage = .buried
        var out: [ResumableAction] = []
        self.traffic.answerParked(.gone(frame), &out)
        self.traffic.releaseLanes(isDelivered ? nil : frame, moment, &out)
        self.traffic.stream.forfeit(frame)
        out.append(.bury(frame))
        return out
    }
}
