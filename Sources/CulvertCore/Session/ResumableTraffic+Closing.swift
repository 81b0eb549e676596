import NIOCore

/// The verbs that end the session towards its client and its upstream.
extension ResumableTraffic {
    /// Handles an event that begins the session's end, or continues it.
    package mutating func close(
        _ event: CloseNegotiation.Event, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        self.negotiate(event, &life, moment, &out)
        return out
    }

    /// Culvert closes the session. It waits for no message's end, because messages of a resumable client come whole.
    package mutating func shutdown(
        _ frame: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        let verdict = life.shutdown(
            frame, patience: .zero, isAmidMessage: false, time: moment.closeTime, now: moment.now)
        guard case .close(let actions) = verdict else { return [] }
        var out: [ResumableAction] = []
        self.obey(actions, &life, moment, &out)
        return out
    }

    private mutating func negotiate(
        _ event: CloseNegotiation.Event, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) {
        self.obey(life.handle(event, time: moment.closeTime, now: moment.now), &life, moment, &out)
    }

    private mutating func obey(
        _ actions: CloseNegotiation.Actions, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) {
        if actions.began { out.append(.began) }
        if let frame = actions.toUpstream, !self.queue(frame, &life, moment, &out) { out.append(.sayUpstream(frame)) }
        if let frame = actions.toClient {
            // A client answers the Close by fetching it. The negotiation counts the Close as answered from now on.
            self.stream.finish(frame, now: moment.now)
            self.negotiate(.close(from: .client, frame), &life, moment, &out)
        }
        if actions.cutUpstream {
            self.drop(nil, &life, moment, &out)
            out.append(.closeUpstream(within: self.timeToClose(life, moment)))
        }
        if actions.ended, life.end() {
            self.drop(nil, &life, moment, &out)
            out.append(.end)
        }
    }

    /// Puts the Close for the upstream behind the messages that were taken.
    ///
    /// - Returns: false when no message waits, or the messages that wait do not pass any more.
    private mutating func queue(
        _ frame: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) -> Bool {
        guard !self.forwarding.isEmpty else { return false }
        guard life.closing.mayReceive(from: .server) else {
            self.drop(nil, &life, moment, &out)
            return false
        }
        self.forwarding.append(frame)
        return true
    }

    /// The client has sent a Close.
    mutating func closeFromClient(
        _ frame: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) {
        self.endForClient()
        // The client wants nothing more, and its session will be forgotten.
        out.append(.cutAnswer)
        self.negotiate(.close(from: .client, frame), &life, moment, &out)
        self.stream.finish(frame, now: moment.now)
        self.releaseLanes(frame, moment, &out)
    }

    /// Ends the session because its client is lost or stays away.
    mutating func abandon(
        _ frame: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) {
        self.endForClient()
        self.stream.finish(frame, now: moment.now)
        self.negotiate(.abandoned(frame), &life, moment, &out)
    }

    mutating func dismiss(
        _ frame: CloseFrame, upstreamReason: String, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) {
        let upstream = CloseFrame(code: .goingAway, reason: upstreamReason)
        self.negotiate(.expelled(frame, upstream: upstream), &life, moment, &out)
    }

    /// The session's token has died. The client gets no more messages, and its messages that wait are not forwarded.
    ///
    /// - Returns: the actions, and the requests that the driver answers with the reason.
    package mutating func expel(
        _ frame: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> (actions: [ResumableAction], tickets: [UInt64]) {
        self.endForClient()
        var (out, replies) = self.drop(&life, moment)
        out.insert(.cutAnswer, at: 0)
        let tickets = replies.map(\.ticket) + [self.parked].compactMap(\.self)
        self.parked = nil
        self.releaseLanes(frame, moment, &out)
        return (out, tickets)
    }

    /// The session is closed for the memory that it holds. Drops the messages of both directions.
    package mutating func forfeit(
        _ frame: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        self.endForClient()
        var out: [ResumableAction] = [.cutAnswer]
        self.stream.forfeit(frame)
        self.drop(frame, &life, moment, &out)
        self.answerParked(.gone(frame), &out)
        self.releaseLanes(frame, moment, &out)
        return out
    }

    /// Ends the session at once, without close handshakes.
    package mutating func cut(_ life: inout SessionLife, _ moment: ClientMoment) -> [ResumableAction] {
        var out: [ResumableAction] = []
        self.drop(nil, &life, moment, &out)
        if !life.hasEnded, life.handle(.deadline, time: .zero, now: moment.now).ended, life.end() { out.append(.end) }
        return out
    }

    /// Closes the lanes at the session's end. Sends `frame` on each lane that has not sent the final Close; nil when
    /// the client has acknowledged the end.
    mutating func releaseLanes(_ frame: CloseFrame?, _ moment: ClientMoment, _ out: inout [ResumableAction]) {
        let sockets = self.stream.sockets
        let hasSentClose = sockets.active?.hasSentClose ?? false
        for lane in [sockets.active, sockets.joining].compactMap(\.self) {
            _ = self.stream.socketLost(lane.generation, now: moment.now)
            if let frame, !hasSentClose || lane.generation != sockets.active?.generation {
                let batch = PollBatch(ack: self.stream.received, first: 0, close: frame)
                out.append(.send(batch, onLane: lane.generation))
            }
            out.append(.closeLane(lane.generation, CloseFrame(code: .normal)))
        }
    }
}
