extension ProxyConfig {
    /// Gives everything that `culvert check` says of a configuration that could be read: the faults that keep a start
    /// from succeeding, and the places that are probably mistakes.
    ///
    /// - Parameters:
    ///   - adminToken: the value of `CULVERT_ADMIN_TOKEN`.
    ///   - forStart: an address that is in use now is an error. Else it is a warning, because before a reload or a
    ///     takeover the running Culvert uses its addresses.
    package func check(adminToken: String?, forStart: Bool) -> (errors: [ConfigError], warnings: [ConfigError]) {
        let tried = self.tryAddresses()
        let database = self.checkDatabase()
        let errors =
            self.checkFiles() + self.checkAddresses() + self.checkState(adminToken: adminToken) + database.errors
            + tried.filter { forStart || !$0.isOfTheMoment }.map(\.error)
        let warnings =
            self.warnings(now: Clock.unixSeconds()) + database.warnings
            + tried.filter(\.isOfTheMoment).map(\.warning)
        return (errors.inOrder, warnings.inOrder)
    }
}
