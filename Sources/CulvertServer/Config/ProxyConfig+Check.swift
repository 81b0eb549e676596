extension ProxyConfig {
    /// All that `culvert check` says of a configuration that could be read: what keeps a start from succeeding, and
    /// what is probably a mistake.
    ///
    /// - Parameters:
    ///   - adminToken: the value of `CULVERT_ADMIN_TOKEN`.
    ///   - forStart: an address that is in use now is an error. Else it is a warning, and nothing where a Culvert of
    ///     this user uses it: before a reload or a takeover that is as it should be.
    package func check(adminToken: String?, forStart: Bool) -> (errors: [ConfigError], warnings: [ConfigError]) {
        let tried = self.tryAddresses()
        let errors =
            self.checkFiles() + self.checkAddresses() + self.checkState(adminToken: adminToken, opensDatabase: true)
            + tried.filter { forStart || !$0.isOfTheMoment }.map(\.error)
        let inTheWay = tried.filter { $0.isOfTheMoment && !$0.isOurs }.map(\.error)
        return (errors.inOrder, (self.warnings(now: Clock.unixSeconds()) + inTheWay).inOrder)
    }
}
