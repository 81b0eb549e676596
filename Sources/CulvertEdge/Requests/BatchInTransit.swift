import CulvertCore

/// Counts a large batch on its way to its session, whose loop may be another. It waits for its turn there, and the
/// session counts it from then on.
final class BatchInTransit: Sendable {
    private let memory: SessionMemory
    private let bytes: Int

    /// - Returns: nil for a request that brings few messages or none.
    init?(_ request: PollRequest, memory: SessionMemory) {
        guard case .send(let batch) = request.kind, request.cost > LoopSlices.fewMessages else { return nil }
        self.memory = memory
        self.bytes = batch.heldBytes
        _ = memory.add(self.bytes, isRequest: true)
    }

    deinit { _ = self.memory.add(-self.bytes, isRequest: true) }
}
