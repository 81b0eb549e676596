package import CulvertCore

/// A key of JSON Web Tokens that counts, or did until it was retired.
package struct ListedJWTKey: Sendable {
    package var id: String?
    package var algorithm: SignatureAlgorithm
    package var source: JWTKey.Source
    /// RFC 7638; nil for a secret.
    package var thumbprint: String?
    package var note: String?
    /// Unix seconds.
    package var createdAt: Int64?
    package var until: Int64?
}

/// The keys of JSON Web Tokens that the desk serves: it changes those of the store, and knows those of the configuration
/// and of sets, which the authority has. Each operation writes, and gives what the authority is to be told.
struct DeskJWTKeys {
    private static let limit = 64

    /// All that the store has of keys, for the authority.
    struct State: Sendable {
        var keys: [StoredJWTKey]
        /// Of keys that were deleted, their ends by thumbprint.
        var ended: [String: Int64]
        /// Later states have greater numbers.
        var version: Int
    }

    private let store: DeskStore
    private var version = 0

    init(store: DeskStore) {
        self.store = store
    }

    /// What the store has, which another process may have written.
    func stored() throws(DeskError) -> [StoredJWTKey] {
        try self.store.read(JWTKeyTable.all)
    }

    func ended() throws(DeskError) -> [String: Int64] {
        try self.store.read(JWTKeyTable.ended)
    }

    /// What was written is not read again: that could fail, and the change would be on the disk alone.
    mutating func state(_ keys: [StoredJWTKey], ended: [String: Int64]) -> State {
        self.version += 1
        return State(keys: keys, ended: ended, version: self.version)
    }

    /// A key that can be added.
    func key(_ description: JWTKeyDescription, note: String) throws(DeskError) -> StoredJWTKey {
        guard let id = description.id else { throw .invalid(member: "/id", "missing, and the JWK has no \"kid\"") }
        if description.material.isSecret {
            throw .invalid(member: "/jwk", "HS256 secrets belong in the configuration, not in the database")
        }
        return StoredJWTKey(
            id: try TokenRules.id(id), description: description, note: try TokenRules.note(note),
            createdAt: self.store.now())
    }

    /// - Parameter known: the keys that the authority has.
    mutating func add(_ key: StoredJWTKey, known: [JWTKey], by caller: AdminCaller) throws(DeskError) -> State {
        if known.contains(where: { $0.description.id == key.id && $0.source == .config }) {
            throw .conflict("the configuration has a key with the id \"\(key.id)\"")
        }
        let stored = try self.stored()
        if stored.contains(where: { $0.id == key.id }) { throw .conflict("another key has the id \"\(key.id)\"") }
        if let same = stored.first(where: { $0.thumbprint == key.thumbprint && $0.until != nil }) {
            throw .conflict("the same key has the id \"\(same.id)\", and is retired")
        }
        if stored.count >= Self.limit { throw .conflict("there are \(Self.limit) keys; delete one first") }
        let algorithm = key.description.algorithm.rawValue
        return try self.save(key, beside: stored, "jwt.key.add", detail: algorithm, by: caller)
    }

    /// - Parameter known: the keys that the authority has.
    mutating func retire(
        id: String, overlap: Int64, known: [JWTKey], by caller: AdminCaller
    ) throws(DeskError) -> (key: StoredJWTKey, state: State) {
        var (key, others) = try self.changeable(id, known: known)
        key.until = min(key.until ?? .max, self.store.now() + overlap)
        let state = try self.save(key, beside: others, "jwt.key.retire", detail: "overlap \(overlap)s", by: caller)
        return (key, state)
    }

    /// - Parameter known: the keys that the authority has.
    mutating func delete(id: String, known: [JWTKey], by caller: AdminCaller) throws(DeskError) -> State {
        let (key, others) = try self.changeable(id, known: known)
        let thumbprint = key.thumbprint
        // The caller may mean this entry alone, or the key itself.
        if key.until == nil,
            known.contains(where: { $0.source != .store && $0.thumbprint == thumbprint })
                || others.contains(where: { $0.thumbprint == thumbprint })
        {
            throw .conflict(
                "the same key is in the configuration, in a set of keys or under another id; retire it first, and "
                    + "delete it then")
        }
        let line = self.store.line("jwt.key.delete", id, by: caller)
        var ended = try self.ended()
        let until = min(key.until ?? .max, ended[thumbprint] ?? .max, self.store.now())
        ended[thumbprint] = until
        try self.store.write(line) { database in
            try JWTKeyTable.remove(id: id, database)
            try JWTKeyTable.setEnd(of: thumbprint, until, database)
        }
        return self.state(others, ended: ended)
    }

    private func changeable(
        _ id: String, known: [JWTKey]
    ) throws(DeskError) -> (key: StoredJWTKey, others: [StoredJWTKey]) {
        let stored = try self.stored()
        if let key = stored.first(where: { $0.id == id }) { return (key, stored.filter { $0.id != id }) }
        guard let key = known.first(where: { $0.description.id == id && $0.source != .store }) else {
            throw .notFound("key \"\(id)\" of JWTs")
        }
        let place = key.source == .config ? "the configuration file" : "a set of keys"
        throw .readOnly("the key \"\(id)\" of JWTs stands in \(place)")
    }

    private mutating func save(
        _ key: StoredJWTKey, beside others: [StoredJWTKey], _ action: String, detail: String, by caller: AdminCaller
    ) throws(DeskError) -> State {
        let line = self.store.line(action, key.id, detail: detail, by: caller)
        var ended = try self.ended()
        // A key that was deleted counts again when it is added again.
        ended[key.thumbprint] = nil
        try self.store.write(line) { database in
            try JWTKeyTable.put(key, database)
            try JWTKeyTable.setEnd(of: key.thumbprint, nil, database)
        }
        return self.state(others + [key], ended: ended)
    }
}

extension ListedJWTKey {
    /// A key of the store.
    ///
    /// - Parameter until: the end that holds, which may be that of a copy.
    init(_ key: StoredJWTKey, until: Int64?) {
        self.init(
            id: key.id, algorithm: key.description.algorithm, source: .store,
            thumbprint: key.description.material.thumbprint, note: key.note, createdAt: key.createdAt,
            until: until)
    }

    /// A key of the configuration or of a set.
    init(_ key: JWTKey, until: Int64?) {
        let material = key.description.material
        self.init(
            id: key.description.id, algorithm: key.description.algorithm, source: key.source,
            thumbprint: material.isSecret ? nil : material.thumbprint, until: until)
    }
}
