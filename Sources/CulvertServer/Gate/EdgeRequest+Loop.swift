import CulvertCore
import NIOHTTP1

extension LoopMark {
    /// Of this process. Another process that takes its listeners over has another.
    static let ofProcess: LoopMark = {
        // The system's generator is cryptographically secure.
        var generator = SystemRandomNumberGenerator()
        return LoopMark(random: (generator.next(), generator.next()))
    }()
}

/// Refuses openings that go round. Without this one opening of a route whose upstream leads to the edge itself would dial
/// until the process has no descriptor left.
extension EdgeRequest {
    /// - Returns: whether the request was refused.
    func refusesLoop() -> Bool {
        let detail: String
        switch LoopMark.ofProcess.finding(in: self.head.headers[LoopMark.field]) {
        case .passes: return false
        case .returned:
            detail = "This server has sent the request itself: the address of an upstream leads back to it."
        case .tooMany:
            detail = "The request has passed \(LoopMark.most) proxies or more, by its field \(LoopMark.field)."
        }
        self.respond(.problem(508, "loop_detected", detail))
        return true
    }
}
