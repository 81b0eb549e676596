/// A WebSocket by which a client finds out whether WebSockets work. It leads to no session. ``RequestRouter`` begins
/// it, on the request's loop.
struct LaneProbe {
    let handshake: LaneHandshake

    func begin() {
        guard let place = self.handshake.takePlace() else { return }
        let handler = ProbeHandler(place: place, timers: self.handshake.request.state.timers)
        _ = self.handshake.switchProtocols(to: handler)
    }
}
