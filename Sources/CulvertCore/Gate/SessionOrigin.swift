/// Whether the origin that opened a session may count for a request of that session that has no `Origin` line.
///
/// A browser sends no `Origin` with a GET from a page of the edge's own origin (Fetch standard, "append a request
/// `Origin` header"), and such GETs are the polls of a session. `Sec-Fetch-Site` then says `same-origin`, and no script
/// can write that field. Over plain HTTP browsers send neither field. Then the session's identifier, which only the
/// session's own client knows, has to do for a GET. A page of another site may cause a GET without `Origin` too, but
/// its browser says `cross-site`.
package enum SessionOrigin {
    /// - Parameters:
    ///   - origins: every `Origin` line of a request that names a session.
    ///   - site: every `Sec-Fetch-Site` line.
    ///   - isPlainGet: the method is GET, and the request is not a WebSocket handshake. Browsers send an `Origin` with
    ///     every handshake.
    package static func mayCount(origins: [String], site: [String], isPlainGet: Bool) -> Bool {
        guard origins.isEmpty else { return false }
        guard let word = site.first else { return isPlainGet }
        return site.count == 1 && word.equals("same-origin")
    }
}
