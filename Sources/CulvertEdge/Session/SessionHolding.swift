/// The memory that a session holds, and its state in the relief of memory. A part of ``Session``.
struct SessionHolding {
    /// Bytes counted in ``SessionMemory``.
    var bytes = 0
    /// The session's place in its loop's ``HolderIndex``.
    var place: HolderIndex.Place?
    /// Whether the relief has ended the session for its memory.
    var isRelieved = false
    /// Whether the session waits for ``LoopRelief/readOn()``.
    var isHeldBack = false
}
