/// The bytes that a holder has counted in ``SessionMemory``: given back at the latest when the holder goes.
struct MemoryHold: ~Copyable {
    private let memory: SessionMemory
    /// The holder is a connection that no session uses, and gives its bytes back before a session does.
    private(set) var isRequest: Bool
    private(set) var bytes = 0

    init(_ memory: SessionMemory, isRequest: Bool = false) {
        self.memory = memory
        self.isRequest = isRequest
    }

    deinit { if self.bytes != 0 { _ = self.memory.add(-self.bytes, isRequest: self.isRequest) } }

    /// Counts `bytes` in place of what was counted before.
    ///
    /// - Returns: what the process holds, if this made it more; nil if not.
    mutating func set(_ bytes: Int) -> Int? {
        let change = bytes - self.bytes
        guard change != 0 else { return nil }
        self.bytes = bytes
        let used = self.memory.add(change, isRequest: self.isRequest)
        return change > 0 ? used : nil
    }

    /// A session uses the holder from now on.
    mutating func handToSession() {
        guard self.isRequest else { return }
        self.isRequest = false
        self.memory.handToSession(self.bytes)
    }

    /// The holder gives all bytes back.
    mutating func release() { _ = self.set(0) }
}
