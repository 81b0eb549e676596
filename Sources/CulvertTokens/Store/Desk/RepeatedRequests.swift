import Crypto

/// Finds requests that are sent again with their idempotency keys, and the secrets that were their answers.
struct RepeatedRequests {
    let store: DeskStore
    private var recent = RecentSecrets()

    init(store: DeskStore) {
        self.store = store
    }

    /// - Parameters:
    ///   - request: the operation and all it is asked with.
    ///   - key: the idempotency key; nil for a request that has none, and no record.
    static func record(
        _ request: String, key: String?, tokenID: String, generation: Int, at: Int64
    ) -> IdempotencyRecord? {
        guard let key else { return nil }
        let digest = Array(SHA256.hash(data: Array(request.utf8)))
        return IdempotencyRecord(key: key, request: digest, tokenID: tokenID, generation: generation, at: at)
    }

    /// The answer to a request that was done before; nil for a new one.
    func answer(to record: IdempotencyRecord?) throws(DeskError) -> (tokenID: String, secret: String)? {
        guard let record, let seen = try self.store.read({ try IdempotencyTable.record(key: record.key, $0) }),
            seen.at > record.at - IdempotencyRecord.lifetime
        else { return nil }
        guard seen.request == record.request else {
            throw .conflict("the idempotency key was used for another request")
        }
        guard let secret = self.recent[record.key] else {
            throw .conflict(
                "this request was already done, for token \"\(seen.tokenID)\"; its secret is no longer known: "
                    + "rotate the token")
        }
        return (seen.tokenID, secret)
    }

    /// Keeps the answer to a request that has been written.
    mutating func keep(_ secret: String, for record: IdempotencyRecord?) {
        if let record { self.recent[record.key] = secret }
    }
}
