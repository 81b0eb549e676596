package import CulvertConfig
import CulvertSystem

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
            self.errors(adminToken: adminToken, tried.filter { forStart || !$0.isOfTheMoment }) + database.errors
        // A start with errors changes nothing.
        let modes = errors.isEmpty ? ConfigWarnings.modes(of: self, adminToken: adminToken) : []
        let warnings =
            self.warnings(now: Clock.unixSeconds()) + database.warnings + modes
            + tried.filter { $0.isOfTheMoment && !forStart }.map(\.warning)
        return (errors.inOrder, warnings.inOrder)
    }

    /// The errors that `culvert serve` lists before it starts, which are those of ``check(adminToken:forStart:)``.
    ///
    /// A start opens and checks the database itself, which takes its time. So this looks at it only to complete the list
    /// beside other errors. It leaves out an address that is in use now, because the start itself tells of it.
    ///
    /// - Parameter hasSockets: another process or systemd gives the listening sockets, and nothing has to be bound.
    package func startErrors(adminToken: String?, hasSockets: Bool) -> [ConfigError] {
        let tried = hasSockets ? [] : self.tryAddresses().filter { !$0.isOfTheMoment }
        let found = self.errors(adminToken: adminToken, tried)
        return found.isEmpty ? [] : (found + self.checkDatabase().errors).inOrder
    }

    private func errors(adminToken: String?, _ tried: [AddressFault]) -> [ConfigError] {
        self.checkFiles() + self.checkAddresses() + self.checkState(adminToken: adminToken) + tried.map(\.error)
    }
}
