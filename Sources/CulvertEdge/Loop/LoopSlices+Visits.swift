import NIOCore

/// Work on many sessions, which an operator or a change of the configuration asks for.
extension LoopSlices {
    /// The number of sessions on which such work is done in the turn of the loop that asks for it. The others have
    /// their turn in slices.
    static let visitsAtOnce = 64

    /// Calls `visit` with each of `elements`, the last one first, in slices of the loop, and at last with nil.
    ///
    /// - Returns: the last answer of `visit`.
    func visit<Element, Answer: Sendable>(
        _ elements: [Element], _ visit: @escaping (Element?) -> Answer
    ) -> EventLoopFuture<Answer> {
        let promise = self.loop.makePromise(of: Answer.self)
        var elements = elements
        self.repeatOften {
            let element = elements.popLast()
            let answer = visit(element)
            if element == nil { promise.succeed(answer) }
            return element != nil
        }
        return promise.futureResult
    }
}
