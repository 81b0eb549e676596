import CulvertCore
import CulvertSystem

/// The `Date` of answers (RFC 9110 6.6.1), written once a second. Owned by a ``LoopState``, and used on its loop alone.
final class AnswerDates {
    private let now: () -> Int64
    private var second: Int64?
    private var text = ""

    /// - Parameter now: Unix seconds.
    init(now: @escaping () -> Int64 = Clock.unixSeconds) { self.now = now }

    var current: String {
        let second = self.now()
        if second != self.second {
            self.second = second
            self.text = HTTPDate.text(unixSeconds: second)
        }
        return self.text
    }
}
