/// The health of one server by its checks. It changes after a number of equal results in a row.
package struct Health: Equatable, Sendable {
    package enum Change: Equatable, Sendable {
        case becameHealthy
        case becameUnhealthy
    }

    private let rise: Int
    private let fall: Int
    /// In a row, against what is believed.
    private var contrary = 0
    /// Nil until it is known; it is believed healthy until then.
    package private(set) var isHealthy: Bool?

    /// - Parameters:
    ///   - rise: checks in a row that an unhealthy server must pass; 1 or more.
    ///   - fall: checks in a row that another must fail; 1 or more.
    ///   - isHealthy: what is known already.
    package init(rise: Int, fall: Int, isHealthy: Bool? = nil) {
        self.rise = rise
        self.fall = fall
        self.isHealthy = isHealthy
    }

    /// - Returns: nil if the health has not changed. The first passed check makes a new server healthy, and is not a
    ///   change.
    package mutating func checked(passed: Bool) -> Change? {
        guard passed != self.isHealthy ?? true else {
            self.contrary = 0
            if passed { self.isHealthy = true }
            return nil
        }
        self.contrary += 1
        guard self.contrary >= (passed ? self.rise : self.fall) else { return nil }
        self.contrary = 0
        self.isHealthy = passed
        return passed ? .becameHealthy : .becameUnhealthy
    }
}
