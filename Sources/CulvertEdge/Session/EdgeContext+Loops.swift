import NIOCore

/// What the control plane does on all event loops.
extension EdgeContext {
    /// Has all loops do it, each as soon as it can. A busy loop takes its time, and the others do not wait for it.
    func onLoops<Value: Sendable>(_ body: @escaping @Sendable (LoopState) -> Value) async -> [Value] {
        let futures = self.loops.map { loop in loop.eventLoop.submit { body(loop.value) } }
        var values: [Value] = []
        for future in futures {
            if let value = try? await future.get() { values.append(value) }
        }
        return values
    }

    /// On every loop at once; returns when all are done, or at `deadline`.
    func onLoops(
        until deadline: NIODeadline, _ body: @escaping @Sendable (LoopState) -> EventLoopFuture<Void>
    ) async {
        let loop = self.loops[0].eventLoop
        let all = EventLoopFuture.andAllComplete(
            self.loops.map { state in state.eventLoop.flatSubmit { body(state.value) } }, on: loop)
        let first = loop.makePromise(of: Void.self)
        all.whenComplete { _ in first.succeed() }
        let timer = deadline == .distantFuture ? nil : loop.scheduleTask(deadline: deadline) { first.succeed() }
        try? await first.futureResult.get()
        timer?.cancel()
    }
}
