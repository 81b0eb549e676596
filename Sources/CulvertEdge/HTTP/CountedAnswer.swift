/// Counts the bytes of one answer in place of the connection that writes it. The connection calls it on its own loop.
protocol CountedAnswer: AnyObject, Sendable {
    /// Whether the answer is neither written nor gone.
    var isUnderWay: Bool { get }
    /// Whether the answer is under way, and has not been cut for a newer one.
    var isNewest: Bool { get }
    /// The answer is written, or its connection is gone. The first call counts.
    func release()
}
