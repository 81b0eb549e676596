import CulvertCore

/// The text that a session keeps of its client, and shows to operators.
extension SessionFacts {
    /// Bytes of text beyond what any session has. A path may be as long as a header section.
    var heldBytes: Int {
        let origins = self.origins.reduce(0) { $0 + $1.utf8.count }
        let others = (self.host?.utf8.count ?? 0) + (self.userAgent?.utf8.count ?? 0)
        return max(0, self.basePath.utf8.count + others + origins - 1024)
    }

    var pathShown: String { PollTarget.shown(self.basePath) }

    /// The first `Origin`. A browser sends exactly one.
    var originShown: String? { self.origins.first.map { ShownText.clean($0, limit: ShownText.longestOrigin) } }
}
